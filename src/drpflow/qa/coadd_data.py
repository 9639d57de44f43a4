"""What the report shows of coadds: patches put together on their tract, in large blocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.data.geometry import Box
from drpflow.data.psf_moments import adaptive_moments
from drpflow.data.warp_masks import KINDS, WarpMask
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from drpflow.data.exposure import Exposure
    from drpflow.io.store import Store

    Floats = NDArray[np.float32]

COADD, COUNTS, MASKS = "coadd", "coadd_n_image", "warp_mask"
# Blocks along the longer side of a tract's pictures.
_LONG_SIDE = 700
# Places along the side of a patch at which PSF and depth are taken.
_PLACES = 6
_SIGMAS = 5.0
_MAG_OF_NJY = 31.4
_FWHM_OF_SIGMA = 2.3548


@dataclass(frozen=True, eq=False)
class BandCoadd:
    """The coadds of a tract in a band.

    Parameters
    ----------
    band
        The band.
    image
        Mean of each block, nJy; NaN where there is nothing.
    counts
        Visits in each block.
    depth_mag, fwhm_arcsec
        Magnitude of a point source at 5 sigma, and 2.355 sigma of the PSF, by place; NaN where
        there is nothing.
    artifacts
        By visit, which class of :data:`KINDS` covers each block, -1 for none.
    areas
        By visit, the share of the visit's pixels that its artifacts cover, by class.
    """

    band: str
    image: Floats
    counts: Floats
    depth_mag: Floats
    fwhm_arcsec: Floats
    artifacts: dict[int, NDArray[np.int8]] = field(default_factory=dict)
    areas: dict[int, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class TractCoadds:
    """The coadds of a tract.

    Parameters
    ----------
    tract
        Its number.
    block_pix
        Side of a block.
    pixel_scale_arcsec
        Side of a pixel.
    bands
        Its bands.
    """

    tract: int
    block_pix: int
    pixel_scale_arcsec: float
    bands: list[BandCoadd]


def read_tracts(store: Store) -> Iterator[TractCoadds]:
    """Yield what there is of each tract; one coadd is held at a time."""
    places: dict[int, dict[str, list[int]]] = {}
    for data_id in store.query(COADD):
        bands = places.setdefault(int(data_id["tract"]), {})
        bands.setdefault(str(data_id["band"]), []).append(int(data_id["patch"]))
    for tract, bands in sorted(places.items()):
        band = min(bands)
        first = store.get(COADD, tract=tract, patch=bands[band][0], band=band)
        shape = _tract_shape(first)
        block = max(1, -(-max(shape) // _LONG_SIDE))
        scale = float(first.wcs.pixel_scale_arcsec(*first.box.center)) if first.wcs else np.nan
        made = [
            _band(store, tract, band, bands[band], shape, block, scale) for band in sorted(bands)
        ]
        yield TractCoadds(tract, block, scale, made)


def _tract_shape(exposure: Exposure) -> tuple[int, int]:
    """Return (ny, nx) of the tract that a coadd is of."""
    known = exposure.wcs.pixel_shape if exposure.wcs is not None else None
    return (known[1], known[0]) if known is not None else (exposure.box.y1, exposure.box.x1)


def _band(
    store: Store,
    tract: int,
    band: str,
    patches: list[int],
    shape: tuple[int, int],
    block: int,
    scale: float,
) -> BandCoadd:
    blocks = (-(-shape[0] // block), -(-shape[1] // block))
    planes = {name: np.full(blocks, np.nan, np.float32) for name in ("image", "counts")}
    places: dict[str, NDArray[np.float32]] = {
        name: np.full(blocks, np.nan, np.float32) for name in ("depth", "fwhm")
    }
    visits: dict[int, NDArray[np.int8]] = {}
    areas: dict[int, dict[str, int]] = {}
    for patch in sorted(patches):
        place: dict[str, Any] = {"tract": tract, "patch": patch, "band": band}
        coadd = store.get(COADD, **place)
        _put(planes["image"], np.asarray(coadd.image), coadd.box, block)
        _put_points(places, coadd, block, scale)
        if store.exists(COUNTS, **place):
            counts = store.get(COUNTS, **place)
            _put(planes["counts"], np.asarray(counts.image), counts.box, block)
        for data_id in store.query(MASKS, **place):
            visit = int(data_id["visit"])
            found = WarpMask.from_columns(store.get(MASKS, **data_id).to_dict())
            shown = visits.setdefault(visit, np.full(blocks, -1, np.int8))
            area = areas.setdefault(visit, dict.fromkeys(KINDS, 0))
            _put_artifacts(shown, area, found, coadd.box, block)
    return BandCoadd(
        band, planes["image"], planes["counts"], places["depth"], places["fwhm"], visits, areas
    )


def _put(canvas: Floats, image: NDArray[Any], box: Box, block: int) -> None:
    """Put the means of whole blocks of a patch on the canvas."""
    inner = _whole_blocks(box, block)
    if inner.is_empty:
        return
    means = _means(image[inner.slices(box.xy0)], block)
    rows, columns = _on_canvas(inner, block)
    known = np.isfinite(means)
    canvas[rows, columns][known] = means[known]


def _means(image: NDArray[Any], block: int) -> NDArray[np.float64]:
    """Return the mean of the finite pixels of each block, NaN where there is none."""
    ny, nx = (n // block for n in image.shape)
    blocks = image.reshape(ny, block, nx, block).astype(np.float64)
    known = np.isfinite(blocks)
    number = known.sum(axis=(1, 3))
    total = np.where(known, blocks, 0).sum(axis=(1, 3))
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _whole_blocks(box: Box, block: int) -> Box:
    """Return the largest box in a box of whole blocks, counted from the tract's first pixel."""
    x0, y0 = (-(-value // block) * block for value in (box.x0, box.y0))
    x1, y1 = (value // block * block for value in (box.x1, box.y1))
    return Box(x0, max(x0, x1), y0, max(y0, y1))


def _on_canvas(inner: Box, block: int) -> tuple[slice, slice]:
    return (
        slice(inner.y0 // block, inner.y1 // block),
        slice(inner.x0 // block, inner.x1 // block),
    )


def _put_points(
    places: dict[str, NDArray[np.float32]], coadd: Exposure, block: int, scale: float
) -> None:
    """Fill the surroundings of a few places with depth and size of the PSF there."""
    x_edges = np.linspace(coadd.box.x0, coadd.box.x1, _PLACES + 1).astype(int)
    y_edges = np.linspace(coadd.box.y0, coadd.box.y1, _PLACES + 1).astype(int)
    if coadd.psf is None:
        return
    variance = np.asarray(coadd.variance)
    for y0, y1 in pairwise(y_edges.tolist()):
        for x0, x1 in pairwise(x_edges.tolist()):
            cell = Box(x0, x1, y0, y1)
            known = variance[cell.slices(coadd.box.xy0)]
            known = known[np.isfinite(known) & (known > 0)]
            if not known.size:
                continue
            try:
                depth, sigma = _point(coadd, cell, float(np.median(known)))
            except AlgorithmError:
                continue
            rows = slice(cell.y0 // block, -(-cell.y1 // block))
            columns = slice(cell.x0 // block, -(-cell.x1 // block))
            places["depth"][rows, columns] = depth
            places["fwhm"][rows, columns] = _FWHM_OF_SIGMA * sigma * scale


def _point(coadd: Exposure, cell: Box, variance: float) -> tuple[float, float]:
    """Return the magnitude of a point source at 5 sigma, and the sigma of the PSF in pixels.

    The flux Σ p I / Σ p² has the variance v/Σp², times what the correlation of the pixels' noise
    makes of it.
    """
    assert coadd.psf is not None
    x, y = cell.center
    psf = np.asarray(coadd.psf.compute_kernel_image(x, y), np.float64)
    squared = variance / float((psf**2).sum())
    noise = coadd.components.get("noise_covariance")
    if noise is not None:
        squared *= float(noise.factor(psf))
    depth = _MAG_OF_NJY - 2.5 * np.log10(_SIGMAS * np.sqrt(squared))
    moments, _, _ = adaptive_moments(psf)
    return float(depth), float(moments.determinant_radius)


def _put_artifacts(
    shown: NDArray[np.int8], area: dict[str, int], found: WarpMask, box: Box, block: int
) -> None:
    """Mark the blocks of which a pixel belongs to an artifact, and count pixels by class."""
    inner = _whole_blocks(box, block)
    if inner.is_empty or not len(found):
        return
    rows, columns = _on_canvas(inner, block)
    part = shown[rows, columns]
    for number, kind in enumerate(KINDS):
        painted = found.paint(inner, kinds=[kind])
        area[kind] += int(painted.sum())
        ny, nx = part.shape
        part[painted.reshape(ny, block, nx, block).any(axis=(1, 3))] = number
