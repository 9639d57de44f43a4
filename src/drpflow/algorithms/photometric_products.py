"""The columns of fgcm's products: zero points, standard stars and parameters of a calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.data.star_color import ColorMeaning

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.fgcm import FgcmResult
    from drpflow.data.photometric_tables import Observations, Stars, Visits

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]
    Columns: TypeAlias = dict[str, NDArray[Any]]

_A = 2.5 / np.log(10.0)
_NO_REFERENCES, _NO_COLORS = 64, 128


def flags_of(result: FgcmResult) -> NDArray[np.int32]:
    """Return the flags of the zero points, with those of their group and of all, (V, D)."""
    flag = result.flag.astype(np.int32).copy()
    flag[~result.tied] |= _NO_REFERENCES
    if not result.stars.slope_measured.any():
        flag |= _NO_COLORS
    return flag


def zero_point_columns(
    result: FgcmResult, flag: NDArray[np.int32], visits: Visits, ids: NDArray[np.int32]
) -> Columns:
    """Return the columns of ``fgcm_zero_points``, by visit and detector."""
    n_visits, n_detectors = result.zero_point.shape
    visit = np.repeat(np.arange(n_visits), n_detectors)
    order = np.argsort(ids)
    detector = np.tile(order, n_visits)
    filters = np.array(visits.physical_filters)
    terms, pivots = color_terms(result)
    return {
        "visit": visits.id[visit],
        "detector": ids[detector].astype(np.int32),
        "band": np.array(result.bands)[result.visit_band[visit]],
        "physical_filter": filters[visits.physical_filter[visit]],
        "night": visits.night[visit],
        "flag": flag[visit, detector],
        "zero_point": result.zero_point[visit, detector],
        "zero_point_err": result.zero_point_error[visit, detector],
        "offset_err": result.offset_error[visit],
        "gray": result.gray[visit, detector],
        "n_star": result.n_star[visit, detector].astype(np.int32),
        "color_term": terms[visit, detector],
        "color_pivot": pivots[result.visit_band[visit]],
        "clear_probability": result.clear_probability[visit],
        "group": result.group[visit].astype(np.int32),
        "cloud_flux_offset": result.cloud_flux_offset[visit, detector],
    }


def color_terms(result: FgcmResult) -> tuple[Floats, Floats]:
    """Return by how much redder stars need other zero points, and for which colour they hold.

    Returns
    -------
    terms : ndarray, shape (V, D)
        Magnitudes per magnitude of the colour between the first and the last band; 0 where no
        colours are known. To first order: the fit itself uses the slope of each star's spectrum.
    pivots : ndarray, shape (B,)
        Colour of the star of reference slope, NaN where no colours are known.
    """
    color = result.standard_mag[:, 0] - result.standard_mag[:, -1]
    terms = np.zeros(result.zero_point.shape)
    pivots = np.full(len(result.bands), np.nan)
    for band in range(len(result.bands)):
        slope = result.stars.slope[:, band]
        known = np.isfinite(color) & result.stars.slope_measured[:, band]
        if len(result.bands) < 2 or known.sum() < 2 or np.ptp(color[known]) == 0:
            continue
        middle = np.abs(color - np.median(color[known])) < 3 * np.std(color[known])
        rise, start = np.polyfit(color[known & middle], slope[known & middle], 1)
        if rise != 0:
            pivots[band] = (result.reference_slope[band] - start) / rise
        mine = result.visit_band == band
        terms[mine] = _A * rise * (result.i10[mine] - result.i10_standard[band])
    return terms, pivots


def standard_star_columns(result: FgcmResult, stars: Stars, observations: Observations) -> Columns:
    """Return the columns of ``fgcm_standard_stars``, and ``row``, the row of each star."""
    s = result.stars
    offset_err, relative = _scales(result, observations)
    row, band = np.nonzero(s.n_total > 0)
    color = s.mag[:, 0] - s.mag[:, -1]
    known = np.isfinite(color) & (len(result.bands) > 1)
    usual = color_meaning(result).usual_mag
    return {
        "row": row,
        "isolated_star_id": stars.id[row],
        "band": np.array(result.bands)[band],
        "mag_std": s.mag[row, band],
        "mag_err": s.err[row, band],
        "offset_err": offset_err[row, band],
        "relative": relative[row, band],
        "n_good": s.n_good[row, band].astype(np.int32),
        "n_total": s.n_total[row, band].astype(np.int32),
        "chi2": s.chi2[row, band],
        "color": np.where(known, color, usual)[row],
        "color_assumed": ~known[row],
        "variable": s.variable[row],
        "reserved": stars.reserved[row],
    }


def _scales(result: FgcmResult, observations: Observations) -> tuple[Floats, Bools]:
    """Return how well the scale of each star's visits is known, the worst, and if it is relative.

    Returns
    -------
    offset_err : ndarray, shape (S, B)
        NaN for stars that no calibrated visit shows.
    relative : ndarray, shape (S, B)
        Whether a visit of the star is in a group without reference stars.
    """
    o, shape = observations, result.standard_mag.shape
    known = np.isfinite(result.zero_point)[o.visit, o.detector] & np.isfinite(o.mag)
    visit = o.visit[known]
    star, band = o.star[known], result.visit_band[visit]
    error, relative = np.full(shape, np.nan), np.zeros(shape, np.bool_)
    np.fmax.at(error, (star, band), result.offset_error[visit])
    np.logical_or.at(relative, (star, band), ~result.tied[visit])
    return error, relative


def color_meaning(result: FgcmResult) -> ColorMeaning:
    """Return what ``color`` of the standard stars is."""
    s = result.stars
    color = s.mag[:, 0] - s.mag[:, -1]
    known = np.isfinite(color)
    if len(result.bands) < 2 or not known.any():
        return ColorMeaning()
    return ColorMeaning((result.bands[0], result.bands[-1]), float(np.median(color[known])))


def parameter_columns(result: FgcmResult) -> Columns:
    """Return the columns of ``fgcm_parameters``."""
    p = result.parameters

    def whole(name: str, kind: type[np.integer[Any]]) -> NDArray[Any]:
        values = (getattr(item, name) for item in p)
        return np.array([-1 if value is None else value for value in values], kind)

    def text(name: str) -> NDArray[np.str_]:
        return np.array([getattr(item, name) or "" for item in p], np.str_)

    return {
        "name": text("name"),
        "night": whole("night", np.int32),
        "visit": whole("visit", np.int64),
        "epoch": whole("epoch", np.int32),
        "physical_filter": text("filter"),
        "band": text("band"),
        "detector": whole("detector", np.int32),
        "value": np.array([item.value for item in p], float),
        "error": np.array([item.error for item in p], float),
        "unit": text("unit"),
    }
