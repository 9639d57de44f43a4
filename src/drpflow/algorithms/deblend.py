"""Division of blends: which part of a footprint's light belongs to which of its peaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.algorithms.close_pairs import split_close_pairs
from drpflow.algorithms.deblend_templates import Group, Scene, fit_as_points, fit_templates
from drpflow.data.footprints import Footprints
from drpflow.data.heavy_footprints import HeavyFootprints
from drpflow.kernels import deblend as kernels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from drpflow.algorithms.deblend_templates import Points, Templates
    from drpflow.config.deblend import DeblendConfig
    from drpflow.data.psf_base import Psf

    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]
    Int32 = NDArray[np.int32]
    Int64 = NDArray[np.int64]
    Bool = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Deblended:
    """Sources, each with its share of the light.

    Attributes
    ----------
    children
        All sources, in the order of the footprints and, within a blend, of its peaks; those of
        footprints with a single peak with the pixels as they are.
    parent
        Row of the footprint that each came from, int64, shape (n,).
    n_peaks
        Peaks of that footprint, int32, shape (n,).
    is_point
        Whether its template was the PSF, bool, shape (n,); False if it was not blended.
    blendedness
        Part of the light under its template that belongs to its neighbours, float32, shape (n,).
    skipped
        Whether its blend was not divided, bool, shape (n,); the brightest peak then has all of
        the light. Either no template could be made for any peak, or it is too large.
    too_big
        Whether it was not, because it is larger than the configuration allows, bool, shape (n,).
    n_dropped
        Peaks that have no light of their own beside their neighbours, and are no sources.
    """

    children: HeavyFootprints
    parent: Int64
    n_peaks: Int32
    is_point: Bool
    blendedness: Float32
    skipped: Bool
    too_big: Bool
    n_dropped: int


def deblend(
    image: Float32,
    variance: Float32,
    bad: Bool,
    footprints: Footprints,
    psf: Psf,
    config: DeblendConfig,
) -> Deblended:
    """Divide footprints with several peaks into sources.

    1. All peaks are fitted together as point sources (flux, and place near the peak).
    2. A peak whose core looks like a point source, by χ², has the PSF as its template. The
       others get a template that is symmetric about the peak and falls outwards, made from the
       image without the point sources. Peaks without light of their own are dropped.
    3. The templates' weights are those of non-negative least squares.
    4. The light of each pixel is divided in the ratio of the weighted templates; what no template
       reaches goes to the nearest source. The sum over all sources is the image.

    Blends with more peaks or pixels than the configuration allows stay whole.

    Parameters
    ----------
    image, variance
        Image without its sky, electron, and its variance, electron², float32, shape (ny, nx).
    bad
        Pixels that are not to be fitted, shape (ny, nx). Their light is divided like that of all;
        what is no number counts as 0.
    footprints
        Sets of pixels with their peaks, not overlapping; those without peaks give no source.
    psf
        Model of the PSF.
    config
        Limits. Blends that are larger stay whole.

    Raises
    ------
    AlgorithmError
        If the PSF model has no positive sum somewhere.

    Notes
    -----
    Symmetric templates after Lupton (SDSS) and Rubin's deblender. The time grows with the number
    of peaks, not with the size of the blends: 0.25 ms a peak, 0.3 GB for 4096² pixels.
    """
    finite = np.isfinite(image)
    image = np.where(finite, image, np.float32(0))
    unusable = bad | ~finite | ~(variance > 0) | ~np.isfinite(variance)
    footprints = split_close_pairs(image, variance, unusable, footprints, psf, config)
    peaks = footprints.n_peaks()
    small = (peaks <= config.max_peaks) & (footprints.areas() <= config.max_area_pix)
    blended = np.flatnonzero((peaks > 1) & small)
    whole = np.flatnonzero((peaks == 1) | (peaks > 1) & ~small)
    parts = [_undivided(image, footprints, whole)]
    if blended.size:
        labels = footprints.select(blended).labels(image.shape)
        canvas = (image.copy(), np.zeros_like(image), np.zeros_like(image))
        scene = Scene(image, variance, unusable, labels, *canvas)
        groups = _groups(footprints, blended, config.group_peaks)
        parts += [_divide(scene, group, psf, config) for group in groups]
    return _in_order(parts)


def _groups(footprints: Footprints, blended: Int64, limit: int) -> Iterator[Group]:
    """Yield the blends in groups of about as many peaks as the limit says."""
    peaks = footprints.n_peaks()[blended]
    number = (np.cumsum(peaks) - 1) // limit
    for members in np.split(np.arange(blended.size), np.flatnonzero(np.diff(number)) + 1):
        rows = blended[members]
        label = (members + 1).astype(np.int32)
        owner = np.repeat(label, peaks[members])
        yield Group(rows, footprints.select(rows), label, owner)


def _divide(scene: Scene, group: Group, psf: Psf, config: DeblendConfig) -> Deblended:
    """Deblend a group of blends."""
    points = fit_as_points(scene, group, psf, config)
    templates = fit_templates(scene, group, points, psf, config)
    return _apportion(scene, group, points, templates, config)


def _apportion(
    scene: Scene, group: Group, points: Points, templates: Templates, config: DeblendConfig
) -> Deblended:
    """Divide the light of a group's pixels among its sources."""
    shapes = (group.owner, templates.values, templates.first, templates.boxes, templates.weights)
    floor, total, labels = scene.largest, scene.total, scene.labels
    kernels.add_templates(floor, floor, labels, *shapes, True)
    np.multiply(floor, np.float32(config.min_share), out=floor)
    kernels.add_templates(total, floor, labels, *shapes, False)
    counts = np.empty(group.owner.size, np.int64)
    none = np.empty(0, np.int32)
    kernels.apportion(
        scene.image, total, floor, labels, *shapes, counts, none, none, none.astype(np.float32)
    )
    rows, columns = np.empty((2, int(counts.sum())), np.int32)
    shares = np.empty(rows.size, np.float32)
    own, everything = kernels.apportion(
        scene.image, total, floor, labels, *shapes, counts, rows, columns, shares
    )
    rest_rows, rest_columns, rest_owner, skipped = _leftovers(scene, group, points, templates)
    owner = np.concatenate([np.repeat(np.arange(counts.size), counts), rest_owner])
    children, kept = _collect(
        group.blends,
        (points.x, points.y),
        owner,
        np.concatenate([rows, rest_rows]),
        np.concatenate([columns, rest_columns]),
        np.concatenate([shares, scene.image[rest_rows, rest_columns]]),
        scene.image.shape[1],
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.where(everything > 0, 1 - own / everything, 0.0)
    blend = np.repeat(np.arange(group.rows.size), group.blends.n_peaks())[kept]
    return Deblended(
        children=children,
        parent=group.rows[blend],
        n_peaks=group.blends.n_peaks()[blend].astype(np.int32),
        is_point=points.is_point[kept],
        blendedness=np.clip(part, 0, 1).astype(np.float32)[kept],
        skipped=skipped[blend],
        too_big=np.zeros(blend.size, np.bool_),
        n_dropped=int((~kept).sum()),
    )


def _leftovers(
    scene: Scene, group: Group, points: Points, templates: Templates
) -> tuple[Int32, Int32, Int64, Bool]:
    """Return the pixels that no template reaches, with their nearest source.

    The last array says which blends have no template at all; their brightest peak has the light.
    """
    first = group.blends.first_peak
    of_peak = np.repeat(np.arange(group.rows.size), group.blends.n_peaks())
    lit = templates.weights > 0
    skipped = np.bincount(of_peak, lit, group.rows.size) == 0
    lit[first[:-1][skipped]] = True
    sources = np.lexsort((points.y, of_peak))
    sources = sources[lit[sources]]
    first_source = np.searchsorted(of_peak[sources], np.arange(group.rows.size + 1))
    rows, columns = group.blends.pixels()
    blend = np.repeat(np.arange(group.rows.size, dtype=np.int32), group.blends.areas())
    left = ~(scene.total[rows, columns] > 0)
    rows, columns, blend = rows[left], columns[left], blend[left]
    nearest = np.empty(rows.size, np.int64)
    kernels.nearest_source(
        rows, columns, blend, first_source, points.x[sources], points.y[sources], nearest
    )
    return rows, columns, sources[nearest], skipped


def _collect(
    blends: Footprints,
    centers: tuple[Float64, Float64],
    owner: Int64,
    rows: Int32,
    columns: Int32,
    values: Float32,
    width: int,
) -> tuple[HeavyFootprints, Bool]:
    """Make heavy footprints of pixels that are given in any order; tell which peaks have some."""
    key = (owner * (rows.max(initial=0) + 1) + rows) * width + columns
    # Two sorted runs: merging them costs little.
    order = np.argsort(key, kind="stable")
    key, owner, rows, columns = key[order], owner[order], rows[order], columns[order]
    n = blends.peak_x.size
    counts = np.bincount(owner, minlength=n)
    kept = counts > 0
    breaks = np.ones(key.size, bool)
    breaks[1:] = (np.diff(key) != 1) | (np.diff(rows) != 0) | (np.diff(owner) != 0)
    start = np.flatnonzero(breaks)
    end = np.append(start[1:], key.size) - 1
    spans = np.bincount(owner[start], minlength=n)[kept]
    footprints = Footprints(
        span_y=rows[start],
        span_x0=columns[start],
        span_x1=columns[end] + 1,
        first_span=np.concatenate([[0], np.cumsum(spans)]),
        peak_x=centers[0][kept],
        peak_y=centers[1][kept],
        peak_significance=blends.peak_significance[kept],
        first_peak=np.arange(kept.sum() + 1),
    )
    return HeavyFootprints(footprints, values[order]), kept


def _undivided(image: Float32, footprints: Footprints, rows: Int64) -> Deblended:
    """Return sources without neighbours, and blends that are too large as one source each."""
    single = footprints.select(rows)
    peaks = single.n_peaks()
    return Deblended(
        HeavyFootprints.from_image(single.with_first_peak(), image),
        rows,
        n_peaks=peaks.astype(np.int32),
        is_point=np.zeros(rows.size, np.bool_),
        blendedness=np.zeros(rows.size, np.float32),
        skipped=peaks > 1,
        too_big=peaks > 1,
        n_dropped=0,
    )


def _in_order(parts: list[Deblended]) -> Deblended:
    """Join parts and sort them by footprint; the order of the peaks in a blend is kept."""
    parent = np.concatenate([p.parent for p in parts])
    order = np.argsort(parent, kind="stable")
    return Deblended(
        children=HeavyFootprints.concatenate([p.children for p in parts]).select(order),
        parent=parent[order],
        n_peaks=np.concatenate([p.n_peaks for p in parts])[order],
        is_point=np.concatenate([p.is_point for p in parts])[order],
        blendedness=np.concatenate([p.blendedness for p in parts])[order],
        skipped=np.concatenate([p.skipped for p in parts])[order],
        too_big=np.concatenate([p.too_big for p in parts])[order],
        n_dropped=sum(p.n_dropped for p in parts),
    )
