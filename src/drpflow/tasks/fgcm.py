"""fgcm: zero points of all visits from one fit of atmosphere, instrument and stars.

``docs/tasks/fgcm.md`` has inputs, products and figures, ``docs/algorithms/fgcm.md`` the model.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.fgcm import calibrate
from drpflow.algorithms.fgcm.field import local_design
from drpflow.algorithms.fgcm.layout import n_terms
from drpflow.algorithms.photometric_input import (
    VisitInput,
    check_usable,
    detectors_of,
    visits_of,
    with_references,
)
from drpflow.algorithms.photometric_products import (
    color_meaning,
    flags_of,
    parameter_columns,
    standard_star_columns,
    zero_point_columns,
)
from drpflow.algorithms.photometric_reasons import of_whole_visits, reasons
from drpflow.data.air import AirState
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.geometry import Box
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.polynomial import Basis2D, Domain, Polynomial2D
from drpflow.data.star_color import ColorMeaning
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
    from drpflow.data.solved_instrument import HeldParameter, SolvedInstrument
    from drpflow.data.visit_info import VisitInfo

    Floats: TypeAlias = NDArray[np.float64]
    Columns: TypeAlias = dict[str, NDArray[Any]]

_IMPOSSIBLE = 16
# A magnitude that is a polynomial of degree n is, to 1e-5, a flux factor of degree n + 2.
_EXTRA_ORDER = 2


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
    n_elsewhere
        Detections on visits that cannot be read, or on detectors that the camera has not.
    instrument
        That of the earlier solution of which the reference stars are, None with another catalogue.
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
    n_elsewhere: int = 0
    instrument: SolvedInstrument | None = None


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
    color
        What the colours of the standard stars are.
    """

    photo_calibs: dict[int, ComponentTable]
    atmospheres: dict[int, TransmissionCurve]
    standard_stars: dict[int, Columns]
    zero_points: Columns
    parameters: Columns
    numbers: dict[str, float | int | str]
    problem: AlgorithmError | None = None
    color: ColorMeaning = field(default_factory=ColorMeaning)


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
        lacking = {"n_lost_visits": len(lost)}
        raise AlgorithmError("no visit can be calibrated", lacking, _first(lost))
    visits, detectors = visits_of(chosen, camera), detectors_of(camera)
    stars = with_references(
        survey.stars,
        survey.references,
        visits.bands,
        float(np.mean(visits.mjd)),
        config.sources.match_radius_arcsec,
    )
    check_usable(observations)
    held: tuple[HeldParameter, ...] = ()
    if survey.instrument is not None:
        config, held = in_own_system(config), survey.instrument.photometry
    result = calibrate(observations, visits, detectors, stars, table, config, progress, held)
    flag = flags_of(result)
    without = reasons(result, observations, stars, config)
    made = _Products(result, flag, visits, camera, table, without)
    photo_calibs = {v: _no_photo_calibs((), why) for v, why in lost.items()}
    photo_calibs |= {item.info.visit: made.photo_calibs(k, item) for k, item in enumerate(chosen)}
    atmospheres = dict.fromkeys(lost, TransmissionCurve())
    atmospheres |= {item.info.visit: made.atmosphere(k) for k, item in enumerate(chosen)}
    whole = of_whole_visits(without, *result.zero_point.shape)
    lost |= {int(visits.id[k]): why for k, why in whole.items()}
    numbers = _numbers(result, visits, stars, observations)
    numbers |= {"n_lost_visits": len(lost), "n_elsewhere": survey.n_elsewhere}
    return Calibrated(
        photo_calibs,
        atmospheres,
        _by_pixel(standard_star_columns(result, stars, observations), survey),
        zero_point_columns(result, flag, visits, detectors.id),
        parameter_columns(result),
        numbers,
        _problem(lost),
        color_meaning(result),
    )


def in_own_system(config: FgcmTaskConfig) -> FgcmTaskConfig:
    """Return the configuration for reference magnitudes that an earlier solution has made.

    They are in the passbands of the camera, for stars of any colour, and neighbours share no error
    but those that the earlier visits have.
    """
    exact = {"color_term_sigma": 0.0, "systematic_mag": 0.0, "color_percentile": (0.0, 100.0)}
    return config.model_copy(update={"reference": config.reference.model_copy(update=exact)})


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
            **dict.fromkeys(("zero_point", "zero_point_err", "offset_err", "gray"), nan),
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
        without: dict[tuple[int, int], str],
    ) -> None:
        self.result, self.flag, self.visits, self.camera = result, flag, visits, camera
        self.table, self.without = look_up_table, without

    def photo_calibs(self, visit: int, given: VisitInput) -> ComponentTable:
        """Return the calibrations of a visit (a row of the tables), or why there is none."""
        ids = [d.id for d in self.camera.detectors]
        present = given.summary.get("detector")
        kept = ids if present is None else sorted({int(d) for d in present} & set(ids))
        place = np.array([ids.index(d) for d in kept], np.intp)
        field = self.result.field_of(visit)
        rows = {d: self._row(visit, int(k), field[k]) for d, k in zip(kept, place, strict=True)}
        r = self.result
        return ComponentTable(
            rows,
            {
                "flag": self.flag[visit, place],
                "zero_point": r.zero_point[visit, place],
                "zero_point_err": r.zero_point_error[visit, place],
                "offset_err": np.full(place.size, r.offset_error[visit]),
                "gray": r.gray[visit, place],
                "n_star": r.n_star[visit, place].astype(np.int32),
            },
        )

    def _row(self, visit: int, detector: int, field: Floats) -> ComponentRow:
        point = float(self.result.zero_point[visit, detector])
        if not np.isfinite(point):
            return ComponentRow({}, {"photo_calib": self.without[visit, detector]})
        seconds = float(self.visits.exposure_time_s[visit])
        calib = photo_calib_of(
            point + 2.5 * float(np.log10(seconds)),
            float(self.result.zero_point_error[visit, detector]),
            field,
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
    used = np.flatnonzero(field)
    if used.size == 0:
        return mean
    order = _order(int(used[-1]) + 2)
    field = np.pad(field, (0, order + 1))[: n_terms(order) - 1]
    number = order + _EXTRA_ORDER + 2
    t = np.cos(np.pi * (np.arange(number) + 0.5) / number)
    u, v = (w.ravel() for w in np.meshgrid(t, t))
    factor = 10 ** (-0.4 * (local_design(u, v, order)[:, 1:] @ field))
    nx, ny = detector.size_pix
    basis = Basis2D(order + _EXTRA_ORDER, Domain.of_box(Box.from_shape((ny, nx))))
    x, y = (u + 1) * nx / 2 - 0.5, (v + 1) * ny / 2 - 0.5
    coefficients = np.linalg.lstsq(basis.design(x, y), factor, rcond=None)[0]
    return PhotoCalib(mean.mean, mean.error, Polynomial2D(basis, np.asarray(coefficients, float)))


def _order(number: int) -> int:
    """Return the order of the smallest polynomial with so many terms."""
    return int(np.ceil((np.sqrt(8 * number + 1) - 3) / 2 - 1e-9))


def _numbers(
    result: FgcmResult, visits: Visits, stars: Stars, observations: Observations
) -> dict[str, float | int | str]:
    rejected, seen = result.rejected, result.n_star.any(axis=1)
    numbers: dict[str, float | int | str] = {
        "n_visits": len(visits),
        "n_photometric": int(result.photometric.sum()),
        "n_stars": len(stars),
        "n_observations": len(observations),
        "n_without_flux": rejected.not_finite,
        "n_large_error": rejected.large_error,
        "n_duplicates": rejected.duplicate,
        "n_single": rejected.single,
        "n_outliers": rejected.outlying,
        "n_reference_outliers": rejected.outlying_references,
        "n_cycles": len(result.history),
        "n_groups": max(
            np.unique(result.group[seen & (result.visit_band == b)]).size
            for b in range(len(result.bands))
        ),
    }
    for k, band in enumerate(result.bands):
        mine = result.zero_point_error[result.visit_band == k]
        if np.isfinite(mine).any():
            numbers[f"zero_point_err_{band}_mag"] = round(float(np.nanmedian(mine)), 5)
        numbers[f"noise_floor_{band}_mag"] = round(float(result.noise_floor_mag[k]), 5)
    if observations.cloud_mag is not None:
        numbers["n_cloud_flux_images"] = int(np.isfinite(result.cloud_flux_offset).sum())
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
