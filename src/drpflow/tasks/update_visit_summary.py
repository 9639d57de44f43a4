"""updateVisitSummary: the final components of a visit's detectors, checked, with their statistics.

A component is from the task that makes the final one, or it is missing: the preliminary one never
stands in. ``docs/tasks/updateVisitSummary.md`` has inputs, guards and figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.final_summary import (
    corner_displacement_arcsec,
    depth,
    final_sky,
    nearest_piece,
    passband,
    psf_figures,
    star_offsets,
    why_not,
)
from drpflow.algorithms.visit_geometry import fit_pointing
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.geometry import Box
from drpflow.data.summary_stats import STATISTICS
from drpflow.errors import AlgorithmError, DrpflowError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drpflow.algorithms.visit_geometry import Pointing
    from drpflow.config.update_visit_summary import UpdateVisitSummaryConfig
    from drpflow.data.exposure import Exposure
    from drpflow.data.final_parts import FinalParts, FinalVisit
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.summary_stats import SummaryStats
    from drpflow.data.visit_info import VisitInfo

    Numbers: TypeAlias = dict[str, float | int | str]

HELD = (
    "wcs", "psf", "photo_calib", "ap_corr", "transmission", "valid_polygon", "detector",
    "summary_stats",
)  # fmt: skip
"""Components of ``final_visit_summary``."""
_NEVER_MADE = "it was never made"
_NAN = float("nan")


@dataclass(frozen=True, eq=False)
class UpdatedVisit:
    """What updateVisitSummary makes.

    Parameters
    ----------
    summary
        ``final_visit_summary``.
    numbers
        Figures for the status file.
    problem
        What is missing, or None.
    """

    summary: ComponentTable
    numbers: Numbers
    problem: AlgorithmError | None = None


@dataclass(eq=False)
class _Detector:
    """A detector while its visit is put together."""

    parts: FinalParts
    box: Box
    components: dict[str, Any]
    missing: dict[str, str]
    piece: int = -1
    wcs_error: float = _NAN
    wcs_change: float = _NAN
    n_astrom: int | None = None
    stats: SummaryStats | None = None

    def drop(self, name: str, reason: str) -> None:
        self.components.pop(name, None)
        self.missing[name] = reason

    def put(self, name: str, value: Any) -> None:
        self.components[name] = value
        self.missing.pop(name, None)

    def lost(self) -> str:
        """Return what is missing and why, or an empty text."""
        return "; ".join(f"{name}: {self.missing[name]}" for name in sorted(self.missing))


def update_visit_summary(
    visit: FinalVisit,
    exposure_of: Callable[[int], Exposure],
    config: UpdateVisitSummaryConfig,
) -> UpdatedVisit:
    """Gather the final components of a visit and make their statistics.

    Parameters
    ----------
    visit
        What the tasks before have made.
    exposure_of
        Opens the ``initial_pvi`` of a detector; one is held at a time.
    config
        The section ``updateVisitSummary``.
    """
    work = {key: _start(visit, key, parts) for key, parts in sorted(visit.detectors.items())}
    for key, d in work.items():
        _choose_wcs(d, visit.order, config)
        _add_transmission(d, key, visit)
    fitted = {key: d.components["wcs"] for key, d in work.items() if "wcs" in d.components}
    pointing = fit_pointing(fitted, visit.camera, visit.info, config.pointing)
    now = visit.references
    if now is not None and visit.info.mjd is not None:
        now = now.at_epoch(visit.info.mjd)
    for key, d in work.items():
        _add_statistics(d, key, exposure_of, now, visit.info, config)
    rows = {key: ComponentRow(d.components, _held(d.missing)) for key, d in work.items()}
    columns = _columns(work, pointing, visit.info)
    return UpdatedVisit(ComponentTable(rows, columns), _numbers(work, pointing), _problem(work))


def _start(visit: FinalVisit, key: int, parts: FinalParts) -> _Detector:
    components = {n: c for n, c in parts.components.items() if n in HELD and c is not None}
    missing = {
        name: parts.missing.get(name, _NEVER_MADE)
        for name in HELD
        if name not in components and name not in ("wcs", "transmission", "summary_stats")
    }
    if parts.background is None:
        missing["background"] = parts.missing.get("background", _NEVER_MADE)
    return _Detector(parts, Box.from_shape(visit.camera.detector(key).shape), components, missing)


def _choose_wcs(d: _Detector, order: int, config: UpdateVisitSummaryConfig) -> None:
    """Take the WCS of the nearest piece of the sky that has one, if it can be believed."""
    found = {piece: item for piece, item in d.parts.pieces.items() if item.wcs is not None}
    if not found:
        reasons = [item.reason for item in d.parts.pieces.values() if item.reason]
        d.drop("wcs", reasons[0] if reasons else "no piece of the sky has solved it")
        return
    anchor = d.parts.preliminary or next(item.wcs for item in found.values() if item.wcs)
    ra, dec = (float(v) for v in anchor.pixel_to_world_values(*d.box.center))
    d.piece = nearest_piece(order, sorted(found), ra, dec)
    item = found[d.piece]
    assert item.wcs is not None
    if d.parts.preliminary is not None:
        d.wcs_change = corner_displacement_arcsec(item.wcs, d.parts.preliminary, d.box)
    reason = why_not(d.wcs_change, d.parts.rescued_error_arcsec, config.wcs)
    if reason:
        d.piece = -1
        d.drop("wcs", reason)
        return
    d.put("wcs", item.wcs)
    d.wcs_error, d.n_astrom = item.error_arcsec, item.n_stars


def _add_transmission(d: _Detector, key: int, visit: FinalVisit) -> None:
    names = {item.physical_filter: item for item in visit.camera.filters}
    item = names.get(visit.info.physical_filter)
    if visit.atmosphere is None or not visit.atmosphere.factors:
        d.drop("transmission", visit.no_atmosphere or "fgcm has no atmosphere of the visit")
    elif item is None:
        d.drop("transmission", f"the camera has no filter {visit.info.physical_filter!r}")
    else:
        d.put("transmission", passband(visit.atmosphere, item, visit.curves.get(key)))


def _add_statistics(
    d: _Detector,
    key: int,
    exposure_of: Callable[[int], Exposure],
    references: ReferenceStars | None,
    info: VisitInfo,
    config: UpdateVisitSummaryConfig,
) -> None:
    """Make all statistics that the components allow."""
    values: dict[str, float] = {}
    wcs, psf, stars = d.components.get("wcs"), d.components.get("psf"), d.parts.stars
    if psf is not None and "x" in stars:
        values |= psf_figures(psf, stars, d.box, d.components.get("ap_corr"))
    if d.parts.background is not None:
        try:
            values |= final_sky(exposure_of(key), d.parts.background, config.depth)
        except DrpflowError as fault:
            d.missing["sky"] = str(fault)
    if wcs is not None:
        values["nAstromStar"] = float(d.n_astrom or 0)
        if "x" in stars:
            values |= star_offsets(wcs, stars, references, config.match_radius_arcsec)
    calibration = d.components.get("photo_calib")
    if calibration is not None:
        values["nPhotomStar"] = float(d.parts.n_photom_star)
    d.stats = depth(values, wcs, calibration, info, config.depth)
    d.components["summary_stats"] = d.stats


def _held(missing: Mapping[str, str]) -> dict[str, str]:
    return {name: reason for name, reason in missing.items() if name in HELD}


def _columns(
    work: Mapping[int, _Detector], pointing: Pointing | None, info: VisitInfo
) -> dict[str, Any]:
    """Return the plain columns, a row a detector."""
    number, every = len(work), list(work.values())
    offsets = {} if pointing is None else pointing.offset_arcsec
    projection = None if pointing is None else pointing.projection
    labels = [d.parts.labels for d in every]
    return {
        "visit": np.full(number, info.visit, np.int64),
        "physical_filter": np.array([info.physical_filter] * number, np.str_),
        "band": np.array([info.band] * number, np.str_),
        "wcs_skypix": np.array([d.piece for d in every], np.int64),
        "wcs_error": np.array([d.wcs_error for d in every], float),
        "wcs_change": np.array([d.wcs_change for d in every], float),
        "zero_point_err": np.array([one.get("zero_point_err", _NAN) for one in labels], float),
        "offset_err": np.array([one.get("offset_err", _NAN) for one in labels], float),
        "zero_point_flag": np.array([one.get("zero_point_flag", 0) for one in labels], np.int32),
        "psf_source": np.array([one.get("psf_source", "none") for one in labels], np.str_),
        "ap_corr_source": np.array([one.get("ap_corr_source", "none") for one in labels], np.str_),
        **{
            f"boresight_{name}": np.full(number, getattr(projection, f"{name}_deg", _NAN))
            for name in ("ra", "dec", "rotation")
        },
        "pointing_offset": np.array([offsets.get(key, _NAN) for key in work], float),
        "has_background": np.array([d.parts.background is not None for d in every], bool),
        "lost": np.array([d.lost() for d in every], np.str_),
        **{name: np.array([_value(d, name) for d in every], float) for name in STATISTICS},
    }


def _value(d: _Detector, name: str) -> float:
    return _NAN if d.stats is None else d.stats.value(name)


def _numbers(work: Mapping[int, _Detector], pointing: Pointing | None) -> Numbers:
    """Return the figures for the status file."""
    numbers: Numbers = {"detectors": len(work)}
    numbers |= {
        f"without_{name}": lacking
        for name in (*HELD[:-1], "background")
        if (lacking := sum(name in d.missing for d in work.values()))
    }
    changes = np.array([d.wcs_change for d in work.values()], float)
    if np.isfinite(changes).any():
        numbers["median_wcs_change_arcsec"] = round(float(np.nanmedian(changes)), 4)
    if pointing is not None:
        numbers["pointing_offset_arcsec"] = round(pointing.shift_arcsec, 3)
    for name in ("zeroPoint", "psfSigma", "magLim", "effTime"):
        values = np.array([_value(d, name) for d in work.values()], float)
        if np.isfinite(values).any():
            numbers[f"median_{name}"] = round(float(np.nanmedian(values)), 4)
    return numbers


def _problem(work: Mapping[int, _Detector]) -> AlgorithmError | None:
    """Return the declared failure of a visit that is incomplete, or None."""
    lost = {key: d.lost() for key, d in work.items() if d.missing}
    if not lost:
        return None
    first, reason = next(iter(lost.items()))
    return AlgorithmError(
        f"{len(lost)} of {len(work)} detectors lack something, such as {first}: {reason}",
        {"detectors": len(work), "incomplete": len(lost)},
        "The column lost of final_visit_summary tells all; what is missing the task that makes it "
        "has lost",
    )


def nothing(visit: int, detectors: tuple[int, ...], why: str) -> ComponentTable:
    """Return the summary of a visit that could not be put together.

    Parameters
    ----------
    visit
        The visit.
    detectors
        Its detectors, as far as they are known.
    why
        What failed.
    """
    rows = {key: ComponentRow({}, dict.fromkeys(HELD, why)) for key in sorted(detectors)}
    number = len(rows)
    nan, none = np.full(number, np.nan), np.array(["none"] * number, np.str_)
    numbers = (
        "wcs_error", "wcs_change", "zero_point_err", "offset_err", "boresight_ra",
        "boresight_dec", "boresight_rotation", "pointing_offset", *STATISTICS,
    )  # fmt: skip
    return ComponentTable(
        rows,
        {
            "visit": np.full(number, visit, np.int64),
            "physical_filter": np.array([""] * number, np.str_),
            "band": np.array([""] * number, np.str_),
            "wcs_skypix": np.full(number, -1, np.int64),
            "zero_point_flag": np.zeros(number, np.int32),
            **dict.fromkeys(("psf_source", "ap_corr_source"), none),
            "has_background": np.zeros(number, bool),
            "lost": np.array([why] * number, np.str_),
            **dict.fromkeys(numbers, nan),
        },
    )
