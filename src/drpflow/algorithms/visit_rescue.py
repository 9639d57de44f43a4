"""WCS and zero point for detectors that lack them, from the rest of their visit.

The pointing gives a WCS that is off by what the detector is off its place in the camera file (a
pixel or so). Its stars then match the reference catalogue within arcseconds, without any search for
patterns: their offsets pile up at one shift, which with a small affine map is taken over if
the pile stands out of the chance pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.sky_match import match_nearest
from drpflow.algorithms.visit_geometry import fit_affine
from drpflow.data.geometry import Box
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.plane_maps import AffineMap
from drpflow.data.sky_wcs import VISIT, SkyWcs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.config.consolidate_visit import PointingConfig, RescueConfig
    from drpflow.data.reference_stars import ReferenceStars

    Floats: TypeAlias = NDArray[np.float64]
    Columns: TypeAlias = Mapping[str, NDArray[Any]]

_NOT_POSITIONS = ("centroid_flag", "sky_source")
_ROUNDS = 10


@dataclass(frozen=True, eq=False)
class RescuedWcs:
    """A WCS that is not the detector's own.

    Parameters
    ----------
    wcs
        The WCS.
    source
        ``"stars"`` if stars made it, ``"pointing"`` if only the other detectors did.
    error_arcsec
        How far it may be off.
    n_stars
        Stars behind it.
    """

    wcs: SkyWcs
    source: str
    error_arcsec: float
    n_stars: int = 0


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Stars and references that may belong together, in field coordinates, degrees."""

    before: Floats
    after: Floats
    error: Floats
    star: NDArray[np.intp]


def shift_to_stars(
    pointed: SkyWcs,
    columns: Columns,
    reference: ReferenceStars,
    error_arcsec: float,
    rescue: RescueConfig,
    pointing: PointingConfig,
) -> RescuedWcs:
    """Return a detector's WCS by the pointing, moved onto the reference stars if that is sure.

    Parameters
    ----------
    pointed
        WCS by the pointing, with a visit map.
    columns
        Sources of the detector: x, y, xErr, yErr, psfFlux_instFlux.
    reference
        Stars at the epoch of the exposure.
    error_arcsec
        How far `pointed` may be off.
    rescue, pointing
        Parameters.
    """
    unmoved = RescuedWcs(pointed, "pointing", error_arcsec)
    pairs = _pairs(pointed, columns, reference, rescue)
    if len(pairs.star) < rescue.min_stars:
        return unmoved
    offset = (pairs.after - pairs.before) * 3600.0
    near = _pile(offset, rescue)
    chance = len(offset) * (rescue.peak_arcsec / rescue.match_radius_arcsec) ** 2
    # The best of many places is compared: their number counts as trials.
    needed = chance + rescue.min_significance * np.sqrt(chance + 1.0)
    if np.unique(pairs.star[near]).size < max(rescue.min_stars, needed):
        return unmoved
    moved = AffineMap(np.eye(2), (offset[near] / 3600.0).mean(axis=0))
    for _ in range(_ROUNDS):
        residual = (pairs.after - np.stack(moved.forward(*pairs.before.T), axis=1)) * 3600.0
        distance = np.hypot(*residual.T)
        scatter = max(np.median(distance[near]) / 1.18, rescue.centroid_floor_arcsec)
        now = distance <= rescue.clip_sigma * scatter
        if now.sum() < rescue.min_stars:
            return unmoved
        moved = fit_affine(
            pairs.before[now], pairs.after[now], pairs.error[now], pointing.scale_sigma
        )
        if np.array_equal(now, near):
            break
        near = now
    visit_map = _composed(moved, pointed)
    # Not divided by the number of stars: what the affine map cannot follow does not average out.
    spread = float(np.sqrt(np.average(distance[near] ** 2, weights=pairs.error[near] ** -2)))
    return RescuedWcs(pointed.with_visit_map(visit_map), "stars", spread, int(near.sum()))


def matched_share(
    wcs: SkyWcs, columns: Columns, reference: ReferenceStars, config: RescueConfig
) -> float:
    """Return which share of a detector's stars a WCS brings onto reference stars, beyond chance.

    Of the brightest stars, no more than there are reference stars on the detector; chance is what
    as many positions within ``peak_arcsec`` of a reference star would be.
    """
    x, y = wcs.world_to_pixel_values(reference.ra, reference.dec)
    box = box_of(wcs)
    inside = np.flatnonzero((x > -0.5) & (x < box.x1 - 0.5) & (y > -0.5) & (y < box.y1 - 0.5))
    rows = _stars(columns)[: inside.size]
    if rows.size < config.min_stars:
        return 0.0
    place = wcs.pixel_to_world_values(columns["x"][rows], columns["y"][rows])
    pairs = match_nearest(*place, reference.ra[inside], reference.dec[inside], config.peak_arcsec)
    area_arcsec2 = box.width * box.height * wcs.pixel_area_arcsec2(*box.center)
    chance = 1 - np.exp(-inside.size * np.pi * config.peak_arcsec**2 / area_arcsec2)
    return float(len(pairs) / rows.size - chance)


def neighbor_zero_point(
    own: Mapping[int, PhotoCalib], response_mag: Mapping[int, float], detector: int, scatter: float
) -> PhotoCalib | None:
    """Return a detector's zero point from those of the others.

    ``Z_d = mean(Z_j - r_j) + r_d``, r the response of each detector relative to the others; weights
    are those of the errors and of the scatter among detectors, which the result has, too.

    Parameters
    ----------
    own
        Calibrations that stars gave, by detector.
    response_mag
        r by detector, 0 where there is none.
    detector
        Which one is wanted.
    scatter
        Scatter among detectors, mag.
    """
    if not own:
        return None
    values = np.array([c.zero_point_mag - response_mag.get(d, 0.0) for d, c in own.items()])
    errors = np.array([c.zero_point_error_mag for c in own.values()])
    if len(values) > 2:
        # The median of many is safe from one detector that is wrong.
        middle = float(np.median(values))
        scatter = max(scatter, 1.4826 * float(np.median(np.abs(values - middle))))
    else:
        middle = float(np.average(values, weights=1 / (errors**2 + scatter**2)))
    mean_error = np.sqrt(1 / np.sum(1 / (errors**2 + scatter**2)))
    zero_point = middle + response_mag.get(detector, 0.0)
    return PhotoCalib.from_zero_point(zero_point, float(np.hypot(scatter, mean_error)))


def box_of(wcs: SkyWcs) -> Box:
    """Return the box of a detector's pixels."""
    assert wcs.pixel_shape is not None
    return Box(0, wcs.pixel_shape[0], 0, wcs.pixel_shape[1])


def _pairs(
    wcs: SkyWcs, columns: Columns, reference: ReferenceStars, config: RescueConfig
) -> _Pairs:
    """Return every pair of a star and a reference star within the radius."""
    from scipy.spatial import cKDTree

    # No more stars than could be in the catalogue: the brightest.
    rows = _stars(columns)[: max(4 * len(reference), config.min_stars)]
    before = np.stack(wcs.stage_input(VISIT, columns["x"][rows], columns["y"][rows]), axis=1)
    start = np.stack(wcs.stage(VISIT).forward(*before.T), axis=1)
    after = np.stack(wcs.projection.from_sky(reference.ra, reference.dec), axis=1)
    known = np.isfinite(after).all(axis=1)
    if not rows.size or not known.any():
        return _Pairs(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0), np.zeros(0, np.intp))
    listed = np.flatnonzero(known)
    near = cKDTree(after[listed]).query_ball_point(start, config.match_radius_arcsec / 3600.0)
    star = np.repeat(np.arange(rows.size), [len(n) for n in near])
    other = listed[np.concatenate([np.asarray(n, np.intp) for n in near])]
    scale = wcs.pixel_scale_arcsec(*box_of(wcs).center)
    measured = scale * np.hypot(columns["xErr"][rows], columns["yErr"][rows])[star] / np.sqrt(2)
    listed_error = np.nan_to_num(np.hypot(reference.ra_err, reference.dec_err)[other]) / 1414.0
    error = np.sqrt(measured**2 + listed_error**2 + config.centroid_floor_arcsec**2) / 3600.0
    return _Pairs(start[star], after[other], error, star)


def _stars(columns: Columns) -> NDArray[np.intp]:
    """Return rows of sources with positions, the brightest first."""
    flux = columns["psfFlux_instFlux"]
    good = np.isfinite(columns["x"]) & np.isfinite(columns["y"]) & np.isfinite(columns["xErr"])
    good &= np.isfinite(columns["yErr"]) & np.isfinite(flux)
    for name in _NOT_POSITIONS:
        if name in columns:
            good &= ~columns[name]
    rows = np.flatnonzero(good)
    return rows[np.argsort(-flux[rows], kind="stable")]


def _pile(offset: Floats, config: RescueConfig) -> NDArray[np.bool_]:
    """Return which offsets lie about the place where most of them agree."""
    from scipy.spatial import cKDTree

    tree = cKDTree(offset)
    counts = tree.query_ball_point(offset, config.peak_arcsec, return_length=True)
    near = np.zeros(len(offset), bool)
    near[tree.query_ball_point(offset[int(np.argmax(counts))], config.peak_arcsec)] = True
    return near


def _composed(moved: AffineMap, wcs: SkyWcs) -> AffineMap:
    """Return the map that applies the visit map of a WCS and then another."""
    first = wcs.stage(VISIT)
    assert isinstance(first, AffineMap)
    return AffineMap(moved.matrix @ first.matrix, moved.matrix @ first.offset + moved.offset)
