"""fgcm: zero points of all visits from one fit of atmosphere, instrument and stars.

``docs/tasks/fgcm.md`` has inputs, products and figures, ``docs/algorithms/fgcm.md`` the model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.fgcm import calibrate
from drpflow.algorithms.fgcm.field import local_design
from drpflow.algorithms.photometric_input import (
    VisitInput,
    detectors_of,
    visits_of,
    with_references,
)
from drpflow.data.air import AirState
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.geometry import Box
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.polynomial import Basis2D, Domain, Polynomial2D
from drpflow.data.transmission import TransmissionCurve
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.algorithms.fgcm import FgcmResult
    from drpflow.algorithms.fgcm.cycles import Cycle
    from drpflow.config.fgcm_task import FgcmTaskConfig
    from drpflow.data.camera import Camera, Detector
    from drpflow.data.look_up_table import LookUpTable
    from drpflow.data.photometric_tables import Observations, Stars, Visits
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.visit_info import VisitInfo

    Floats: TypeAlias = NDArray[np.float64]
    Columns: TypeAlias = dict[str, NDArray[Any]]

_A = 2.5 / np.log(10.0)
_IMPOSSIBLE, _NO_REFERENCES, _NO_COLORS = 16, 64, 128
# A magnitude that is a polynomial of degree n is, to 1e-5, a flux factor of degree n + 2.
_EXTRA_ORDER = 2
_NODES = np.cos(np.pi * (np.arange(8) + 0.5) / 8)


@dataclass(frozen=True, eq=False)
class Survey:
    """What a run has measured.

    Parameters
    ----------
    camera, look_up_table
        The camera and its passbands.
    visits
        Metadata and columns of the summary of each visit, by number.
    unreadable
        Why other visits could not be read.
    observations
        Detections; ``visit`` counts `visits`, ``detector`` the detectors of the camera.
    stars, skypix
        Isolated stars with the HEALPix pixel of each.
    pixels
        HEALPix pixels that shall have a product, with stars or not.
    references
        Reference stars, None without a catalogue.
    """

    camera: Camera
    look_up_table: LookUpTable
    visits: Sequence[tuple[VisitInfo, Columns]]
    unreadable: Mapping[int, str]
    observations: Observations
    stars: Stars
    skypix: NDArray[np.int64]
    pixels: Sequence[int]
    references: ReferenceStars | None


@dataclass(frozen=True, eq=False)
class Calibrated:
    """What fgcm makes.

    Parameters
    ----------
    photo_calibs
        ``fgcm_photo_calib`` by visit.
    atmospheres
        ``fgcm_transmission_atmosphere`` by visit.
    standard_stars
        Columns of ``fgcm_standard_stars`` by HEALPix pixel; of pixels without stars none.
    zero_points, parameters
        Columns of ``fgcm_zero_points`` and ``fgcm_parameters``.
    numbers
        Figures for the status file.
    problem
        Why visits have no zero point, or None if all have.
    """

    photo_calibs: dict[int, ComponentTable]
    atmospheres: dict[int, TransmissionCurve]
    standard_stars: dict[int, Columns]
    zero_points: Columns
    parameters: Columns
    numbers: dict[str, float | int | str]
    problem: AlgorithmError | None = None


def fgcm(
    survey: Survey, config: FgcmTaskConfig, progress: Callable[[Cycle], None] | None = None
) -> Calibrated:
    """Calibrate a survey.

    Parameters
    ----------
    survey
        What was measured.
    config
        The section ``fgcm``.
    progress
        Called after each cycle.

    Raises
    ------
    AlgorithmError
        If no visit can be calibrated, or nothing ties any two observations to each other or to a
        reference star.
    """
    camera, table = survey.camera, survey.look_up_table
    chosen, observations, lost = _calibratable(survey)
    if not chosen:
        numbers = {"n_lost_visits": len(lost)}
        raise AlgorithmError("no visit can be calibrated", numbers, _first(lost))
    visits, detectors = visits_of(chosen, camera), detectors_of(camera)
    stars = with_references(
        survey.stars,
        survey.references,
        visits.bands,
        float(np.mean(visits.mjd)),
        config.sources.match_radius_arcsec,
    )
    result = calibrate(observations, visits, detectors, stars, table, config, progress)
    flag = flags_of(result, tied_bands(stars, len(visits.bands), config))
    made = _Products(result, flag, visits, camera, table)
    photo_calibs = {v: _no_photo_calibs((), why) for v, why in lost.items()}
    photo_calibs |= {item.info.visit: made.photo_calibs(k, item) for k, item in enumerate(chosen)}
    atmospheres = dict.fromkeys(lost, table.atmosphere(table.standard_atmosphere))
    atmospheres |= {item.info.visit: made.atmosphere(k) for k, item in enumerate(chosen)}
    for k in np.flatnonzero(~np.isfinite(result.zero_point).any(axis=1)):
        lost[int(visits.id[k])] = "none of its detectors has a zero point"
    return Calibrated(
        photo_calibs,
        atmospheres,
        _by_pixel(standard_star_columns(result, stars), survey),
        zero_point_columns(result, flag, visits, detectors.id),
        parameter_columns(result),
        _numbers(result, visits, len(stars), len(observations)) | {"n_lost_visits": len(lost)},
        _problem(lost),
    )


def _calibratable(survey: Survey) -> tuple[list[VisitInput], Observations, dict[int, str]]:
    """Return the visits that can be calibrated, their observations, and why others cannot."""
    known = set(survey.look_up_table.filters)
    given = [VisitInput(*visit) for visit in survey.visits]
    reasons = [item.lacks(known) for item in given]
    lost = dict(survey.unreadable)
    lost |= {v.info.visit: why for v, why in zip(given, reasons, strict=True) if why}
    good = np.array([not why for why in reasons], np.bool_)
    chosen = [item for item, why in zip(given, reasons, strict=True) if not why]
    if good.all():
        return chosen, survey.observations, lost
    kept = survey.observations.take(good[survey.observations.visit])
    rows = (np.cumsum(good) - 1).astype(np.int32)
    return chosen, replace(kept, visit=rows[kept.visit]), lost


def _by_pixel(columns: Columns, survey: Survey) -> dict[int, Columns]:
    """Return the rows of standard stars by HEALPix pixel."""
    owner = survey.skypix[columns.pop("row")]
    pixels = sorted({*survey.pixels, *(int(p) for p in np.unique(survey.skypix))})
    return {p: {n: values[owner == p] for n, values in columns.items()} for p in pixels}


def nothing(visits: Iterable[int], skypix: Iterable[int], why: str) -> Calibrated:
    """Return the products of a calibration that failed: no zero point, air unknown."""
    numbers = list(visits)
    return Calibrated(
        {v: _no_photo_calibs((), why) for v in numbers},
        dict.fromkeys(numbers, TransmissionCurve()),
        {p: {} for p in skypix},
        {},
        {},
        {},
    )


def _no_photo_calibs(detectors: Iterable[int], why: str) -> ComponentTable:
    ids = [int(d) for d in detectors]
    rows = {d: ComponentRow({}, {"photo_calib": why}) for d in ids}
    nan = np.full(len(ids), np.nan)
    return ComponentTable(
        rows,
        {
            "flag": np.full(len(ids), _IMPOSSIBLE, np.int32),
            **dict.fromkeys(("zero_point", "zero_point_err", "gray"), nan),
            "n_star": np.zeros(len(ids), np.int32),
        },
    )


class _Products:
    """Turns a result into what is stored by visit."""

    def __init__(
        self,
        result: FgcmResult,
        flag: NDArray[np.int32],
        visits: Visits,
        camera: Camera,
        look_up_table: LookUpTable,
    ) -> None:
        self.result, self.flag, self.visits, self.camera = result, flag, visits, camera
        self.table = look_up_table

    def photo_calibs(self, visit: int, given: VisitInput) -> ComponentTable:
        """Return the calibrations of a visit (a row of the tables)."""
        ids = [d.id for d in self.camera.detectors]
        present = given.summary.get("detector")
        kept = ids if present is None else sorted({int(d) for d in present} & set(ids))
        place = np.array([ids.index(d) for d in kept], np.intp)
        rows = {d: self._row(visit, int(k)) for d, k in zip(kept, place, strict=True)}
        r = self.result
        return ComponentTable(
            rows,
            {
                "flag": self.flag[visit, place],
                "zero_point": r.zero_point[visit, place],
                "zero_point_err": r.zero_point_error[visit, place],
                "gray": r.gray[visit, place],
                "n_star": r.n_star[visit, place].astype(np.int32),
            },
        )

    def _row(self, visit: int, detector: int) -> ComponentRow:
        point = float(self.result.zero_point[visit, detector])
        if not np.isfinite(point):
            return ComponentRow({}, {"photo_calib": "the visit's clouds or stars allow none"})
        seconds = float(self.visits.exposure_time_s[visit])
        calib = photo_calib_of(
            point + 2.5 * float(np.log10(seconds)),
            float(self.result.zero_point_error[visit, detector]),
            self.result.field[visit, detector],
            self.camera.detectors[detector],
        )
        return ComponentRow({"photo_calib": calib})

    def atmosphere(self, visit: int) -> TransmissionCurve:
        """Return the air of a visit."""
        air = {name: float(values[visit]) for name, values in self.result.air.items()}
        return self.table.atmosphere(AirState(**air))


def photo_calib_of(
    zero_point_mag: float, error_mag: float, field: Floats, detector: Detector
) -> PhotoCalib:
    """Return the calibration of a detector whose zero point varies over it.

    Parameters
    ----------
    zero_point_mag, error_mag
        AB magnitude of 1 electron, averaged over the detector, and its error.
    field
        Legendre coefficients of what is added to it, without the constant: see
        :class:`drpflow.algorithms.fgcm.FgcmResult`.
    detector
        Gives the size.
    """
    mean = PhotoCalib.from_zero_point(zero_point_mag, error_mag)
    if not np.any(field):
        return mean
    order = _order(field.size + 1)
    u, v = (w.ravel() for w in np.meshgrid(_NODES, _NODES))
    factor = 10 ** (-0.4 * (local_design(u, v, order)[:, 1:] @ field))
    nx, ny = detector.size_pix
    basis = Basis2D(order + _EXTRA_ORDER, Domain.of_box(Box.from_shape((ny, nx))))
    x, y = (u + 1) * nx / 2 - 0.5, (v + 1) * ny / 2 - 0.5
    coefficients = np.linalg.lstsq(basis.design(x, y), factor, rcond=None)[0]
    return PhotoCalib(mean.mean, mean.error, Polynomial2D(basis, np.asarray(coefficients, float)))


def _order(n_terms: int) -> int:
    return int((np.sqrt(8 * n_terms + 1) - 3) / 2 + 0.5)


def flags_of(result: FgcmResult, tied: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the flags of the zero points, with those that hold for a band or for all, (V, D).

    Parameters
    ----------
    result
        The calibration.
    tied
        Which bands have reference stars, (B,).
    """
    flag = result.flag.astype(np.int32).copy()
    flag[~tied[result.visit_band]] |= _NO_REFERENCES
    if not result.stars.slope_measured.any():
        flag |= _NO_COLORS
    return flag


def tied_bands(stars: Stars, n_bands: int, config: FgcmTaskConfig) -> NDArray[np.bool_]:
    """Return which bands have reference stars, (B,)."""
    if stars.reference_mag is None or not config.reference.use:
        return np.zeros(n_bands, np.bool_)
    return np.asarray(np.isfinite(stars.reference_mag).any(axis=0))


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


def standard_star_columns(result: FgcmResult, stars: Stars) -> Columns:
    """Return the columns of ``fgcm_standard_stars``, and ``row``, the row of each star."""
    s = result.stars
    row, band = np.nonzero(s.n_total > 0)
    color = s.mag[:, 0] - s.mag[:, -1]
    known = np.isfinite(color) & (len(result.bands) > 1)
    usual = float(np.median(color[known])) if known.any() else float("nan")
    return {
        "row": row,
        "isolated_star_id": stars.id[row],
        "band": np.array(result.bands)[band],
        "mag_std": s.mag[row, band],
        "mag_err": s.err[row, band],
        "n_good": s.n_good[row, band].astype(np.int32),
        "n_total": s.n_total[row, band].astype(np.int32),
        "chi2": s.chi2[row, band],
        "color": np.where(known, color, usual)[row],
        "color_assumed": ~known[row],
        "variable": s.variable[row],
        "reserved": stars.reserved[row],
    }


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


def _numbers(
    result: FgcmResult, visits: Visits, n_stars: int, n_observations: int
) -> dict[str, float | int | str]:
    numbers: dict[str, float | int | str] = {
        "n_visits": len(visits),
        "n_photometric": int(result.photometric.sum()),
        "n_stars": n_stars,
        "n_observations": n_observations,
        "n_cycles": len(result.history),
        "n_groups": max(
            np.unique(result.group[result.visit_band == b]).size for b in range(len(result.bands))
        ),
    }
    for k, band in enumerate(result.bands):
        mine = result.zero_point_error[result.visit_band == k]
        if np.isfinite(mine).any():
            numbers[f"zero_point_err_{band}_mag"] = round(float(np.nanmedian(mine)), 5)
        numbers[f"noise_floor_{band}_mag"] = round(float(result.noise_floor_mag[k]), 5)
    if result.notes:
        numbers["notes"] = "; ".join(result.notes)
    return numbers


def _problem(lost: Mapping[int, str]) -> AlgorithmError | None:
    if not lost:
        return None
    return AlgorithmError(
        f"{len(lost)} visits have no zero point: {_first(lost)}", {"n_lost_visits": len(lost)}
    )


def _first(lost: Mapping[int, str]) -> str:
    """Return a few of the visits with their reasons."""
    return "; ".join(f"visit {v}: {lost[v]}" for v in sorted(lost)[:3])
