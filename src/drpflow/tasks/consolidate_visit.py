"""consolidateVisit: the detectors of a visit side by side, and what they can do for each other.

Pixels are not read. From the WCSs that succeeded comes the pointing of the visit, from that a WCS
for detectors that have none, from the stars that these then match a zero point; where no star
matches, the other detectors' zero points stand in. ``docs/tasks/consolidateVisit.md`` has
equations, parameters and figures.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.algorithms.depth import depth_statistics, wcs_statistics
from drpflow.algorithms.photometry import calibrate_photometry
from drpflow.algorithms.source_calibration import (
    calibrate_fluxes,
    calibrate_positions,
    reference_offsets,
)
from drpflow.algorithms.visit_geometry import fit_pointing
from drpflow.algorithms.visit_rescue import (
    RescuedWcs,
    box_of,
    matched_share,
    neighbor_zero_point,
    shift_to_stars,
)
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.summary_stats import STATISTICS, SummaryStats
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.algorithms.photometry import Photometry
    from drpflow.algorithms.visit_geometry import Pointing
    from drpflow.config.consolidate_visit import ConsolidateVisitConfig
    from drpflow.data.camera import Camera
    from drpflow.data.photo_calib import PhotoCalib
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.data.visit_info import VisitInfo

    Columns = Mapping[str, NDArray[Any]]

HELD = ("wcs", "psf", "photo_calib", "ap_corr", "valid_polygon", "detector", "summary_stats")
"""Components of ``initial_visit_summary``."""
_NEEDED = ("psf", "wcs", "photo_calib")
# What a wrong WCS has written into the stars, and its absence.
_MATCHES = {
    "reference_id": 0,
    "reference_separation": np.nan,
    "calib_astrometry_used": False,
    "calib_photometry_used": False,
}


@dataclass(frozen=True)
class DetectorProducts:
    """What calibrateImage made of a detector.

    Parameters
    ----------
    components
        Components of ``initial_pvi`` by name; those not in `HELD` are passed over. ``photo_calib``
        is that from electrons to nJy.
    missing
        Why components are missing.
    stars
        Columns of ``initial_stars_detector``; empty if there are none.
    """

    components: Mapping[str, Any]
    missing: Mapping[str, str] = field(default_factory=dict)
    stars: Columns = field(default_factory=dict)


@dataclass(frozen=True)
class ConsolidatedVisit:
    """What consolidateVisit makes of a visit.

    Parameters
    ----------
    summary
        ``initial_visit_summary``: components and columns, a row a detector.
    stars
        Columns of ``initial_stars``; empty if no detector has any.
    numbers
        Figures for the status file.
    problem
        Why detectors remain without use, or None if all are of use.
    """

    summary: ComponentTable
    stars: dict[str, NDArray[Any]]
    numbers: dict[str, float | int | str]
    problem: AlgorithmError | None = None


@dataclass(eq=False)
class _Detector:
    """A detector while its visit is put together."""

    key: int
    products: DetectorProducts
    components: dict[str, Any]
    missing: dict[str, str]
    stars: dict[str, NDArray[Any]]
    wcs_source: str = "none"
    photo_calib_source: str = "none"
    wcs_error: float = float("nan")
    wcs_rejected: bool = False
    n_photom_star: int | None = None
    changed: bool = False

    @property
    def wcs(self) -> SkyWcs | None:
        return self.components.get("wcs")

    @property
    def photo_calib(self) -> PhotoCalib | None:
        return self.components.get("photo_calib")

    def drop(self, name: str, reason: str) -> None:
        self.components.pop(name, None)
        self.missing[name] = reason

    def put(self, name: str, value: Any) -> None:
        self.components[name] = value
        self.missing.pop(name, None)
        self.changed = True

    def lost(self) -> str:
        """Return why the detector is of no use, or an empty text."""
        reasons = (f"{n}: {self.missing.get(n, 'missing')}" for n in _NEEDED if self._lacks(n))
        return next(reasons, "")

    def _lacks(self, name: str) -> bool:
        return self.components.get(name) is None


def consolidate_visit(
    detectors: Mapping[int, DetectorProducts],
    camera: Camera,
    visit_info: VisitInfo,
    config: ConsolidateVisitConfig,
    references: ReferenceStars | None = None,
) -> ConsolidatedVisit:
    """Gather the detectors of a visit and make good what they lack.

    Parameters
    ----------
    detectors
        What calibrateImage made, by detector id; detectors whose isr failed have no components.
    camera
        Geometry of the camera.
    visit_info
        Boresight, time and filter.
    config
        The section ``consolidate_visit``.
    references
        Reference stars of the field at the epoch of the catalogue, None without a catalogue.
    """
    work = [_start(key, detectors[key]) for key in sorted(detectors)]
    fitted = {d.key: d.wcs for d in work if d.wcs is not None}
    pointing = fit_pointing(fitted, camera, visit_info, config.pointing)
    now = references
    if references is not None and visit_info.mjd is not None:
        now = references.at_epoch(visit_info.mjd)
    if pointing is not None:
        for d in work:
            _place(d, pointing, now, visit_info.band, config)
    _borrow_zero_points(work, visit_info, config)
    for d in work:
        if d.changed:
            _refresh(d, visit_info, config)
        if _has_stars(d):
            d.stars |= reference_offsets(d.stars, now)
    columns = _summary_columns(work, pointing, visit_info)
    rows = {d.key: ComponentRow(d.components, d.missing) for d in work}
    return ConsolidatedVisit(
        ComponentTable(rows, columns), _all_stars(work), _numbers(work, pointing), _problem(work)
    )


def _start(key: int, products: DetectorProducts) -> _Detector:
    components = {n: c for n, c in products.components.items() if n in HELD and c is not None}
    missing = {n: r for n, r in products.missing.items() if n in HELD and n not in components}
    stars = dict(products.stars)
    if stars and "sky_source" in stars:
        kept = ~stars["sky_source"]
        stars = {name: values[kept] for name, values in stars.items()}
    d = _Detector(key, products, components, missing, stars)
    d.wcs_source = "fit" if d.wcs is not None else "none"
    d.photo_calib_source = "fit" if d.photo_calib is not None else "none"
    return d


def _reject(d: _Detector, pointing: Pointing) -> None:
    """Drop a WCS that the other detectors contradict, and what was made with it."""
    off = pointing.offset_arcsec[d.key]
    d.drop("wcs", f"it is {off:.3g} arcsec off the pointing of the other detectors")
    if d.photo_calib is not None:
        d.drop("photo_calib", "its stars were matched by a WCS that is wrong")
    d.wcs_source = d.photo_calib_source = "none"
    d.wcs_rejected = True
    for name, nothing in _MATCHES.items():
        if name in d.stars:
            d.stars[name] = np.full_like(d.stars[name], nothing)
    d.changed = True


def _place(
    d: _Detector,
    pointing: Pointing,
    references: ReferenceStars | None,
    band: str,
    config: ConsolidateVisitConfig,
) -> None:
    """See to it that a detector has a WCS, its own if that holds."""
    doubted = d.key in pointing.rejected
    if d.wcs is not None and not doubted:
        return
    error_arcsec = pointing.error_arcsec(config.pointing.detector_offset_arcsec)
    found = RescuedWcs(pointing.wcs(d.key), "pointing", error_arcsec)
    if references is not None and len(references) and _has_stars(d):
        if doubted and d.wcs is not None:
            share = matched_share(d.wcs, d.stars, references, config.rescue)
            doubted = share < config.rescue.min_matched_share
        found = shift_to_stars(
            found.wcs, d.stars, references, error_arcsec, config.rescue, config.pointing
        )
    if d.wcs is not None and not doubted and found.source != "stars":
        # Its stars side with it: it is the camera file that has this detector elsewhere.
        return
    if d.wcs is not None:
        _reject(d, pointing)
    _rescue(d, found, references, band, config)


def _rescue(
    d: _Detector,
    found: RescuedWcs,
    references: ReferenceStars | None,
    band: str,
    config: ConsolidateVisitConfig,
) -> None:
    """Give a detector a WCS that is not its own, and the zero point that its stars then give."""
    d.put("wcs", found.wcs)
    d.wcs_source, d.wcs_error = found.source, found.error_arcsec
    if found.source != "stars" or references is None or d.photo_calib is not None:
        return
    try:
        photometry = calibrate_photometry(
            d.stars, found.wcs, references, band, box_of(found.wcs), config.rescue.photometry
        )
    except AlgorithmError as error:
        d.missing["photo_calib"] = error.message
        return
    d.put("photo_calib", photometry.zero_point.photo_calib())
    d.photo_calib_source, d.n_photom_star = "stars", photometry.zero_point.n_used
    _note_matches(d, photometry, references)


def _note_matches(d: _Detector, photometry: Photometry, references: ReferenceStars) -> None:
    """Write down which reference star each star is."""
    rows = photometry.source_rows
    for name, values in (
        ("reference_id", references.id[photometry.reference_rows]),
        ("reference_separation", photometry.separation_arcsec),
        ("calib_photometry_used", photometry.zero_point.used),
    ):
        if name in d.stars:
            column = d.stars[name].copy()
            column[rows] = values
            d.stars[name] = column


def _has_stars(d: _Detector) -> bool:
    return len(d.stars.get("x", ())) > 0


def _borrow_zero_points(
    work: list[_Detector], visit_info: VisitInfo, config: ConsolidateVisitConfig
) -> None:
    """Give detectors without a zero point that of the others."""
    own = {d.key: d.photo_calib for d in work if d.photo_calib is not None}
    response = config.rescue.response_mag.get(visit_info.physical_filter, {})
    for d in work:
        # Without a PSF there is no flux that it could calibrate.
        if d.photo_calib is not None or d.components.get("psf") is None:
            continue
        found = neighbor_zero_point(own, response, d.key, config.rescue.neighbor_scatter_mag)
        if found is not None:
            d.put("photo_calib", found)
            d.photo_calib_source = "neighbors"


def _refresh(d: _Detector, visit_info: VisitInfo, config: ConsolidateVisitConfig) -> None:
    """Bring columns and statistics in line with the new components."""
    if _has_stars(d):
        d.stars |= calibrate_positions(d.stars, d.wcs) | calibrate_fluxes(d.stars, d.photo_calib)
    old: SummaryStats = d.components.get("summary_stats") or SummaryStats()
    values = dict(old)
    if d.wcs_source != "fit":
        for name in ("astromOffsetMean", "astromOffsetStd", "nAstromStar"):
            values.pop(name, None)
    if d.photo_calib_source != "fit":
        values |= {"nPhotomStar": d.n_photom_star or 0}
    if d.wcs is not None:
        values |= wcs_statistics(d.wcs, visit_info)
    if d.photo_calib is not None:
        zero_point = d.photo_calib.zero_point_mag
        values |= depth_statistics(SummaryStats(values), zero_point, visit_info, config.depth)
    d.components["summary_stats"] = SummaryStats(values)


def _summary_columns(
    work: list[_Detector], pointing: Pointing | None, visit_info: VisitInfo
) -> dict[str, NDArray[Any]]:
    """Return the plain columns of the summary, a row a detector."""
    number, nan = len(work), float("nan")
    offsets = {} if pointing is None else pointing.offset_arcsec
    projection = None if pointing is None else pointing.projection
    boresight = {
        f"boresight_{name}": np.full(number, getattr(projection, f"{name}_deg", nan))
        for name in ("ra", "dec", "rotation")
    }
    stats = [d.components.get("summary_stats") or SummaryStats() for d in work]
    return {
        "visit": np.full(number, visit_info.visit, np.int64),
        "wcs_source": np.array([d.wcs_source for d in work], np.str_),
        "photo_calib_source": np.array([d.photo_calib_source for d in work], np.str_),
        "wcs_rejected": np.array([d.wcs_rejected for d in work], bool),
        "wcs_offset": np.array([offsets.get(d.key, nan) for d in work]),
        "wcs_error": np.array([d.wcs_error for d in work]),
        **boresight,
        "n_stars": np.array([len(d.stars.get("x", ())) for d in work], np.int32),
        "lost": np.array([d.lost() for d in work], np.str_),
        **{name: np.array([s.value(name) for s in stats]) for name in STATISTICS},
    }


def _all_stars(work: list[_Detector]) -> dict[str, NDArray[Any]]:
    """Return the stars of all detectors below each other, in the order of the detectors."""
    parts = [d.stars for d in work if _has_stars(d)]
    if not parts:
        return {}
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _numbers(work: list[_Detector], pointing: Pointing | None) -> dict[str, float | int | str]:
    numbers: dict[str, float | int | str] = {
        "detectors": len(work),
        "usable": sum(not d.lost() for d in work),
        "wcs_rescued": sum(d.wcs_source in {"stars", "pointing"} for d in work),
        "zero_points_rescued": sum(d.photo_calib_source in {"stars", "neighbors"} for d in work),
        "stars": sum(len(d.stars.get("x", ())) for d in work),
    }
    if pointing is not None:
        numbers["wcs_rejected"] = sum(d.wcs_rejected for d in work)
        numbers["pointing_offset_arcsec"] = round(pointing.shift_arcsec, 3)
        used = [pointing.offset_arcsec[key] for key in pointing.used]
        numbers["pointing_residual_arcsec"] = round(max(used), 4)
    return numbers


def _problem(work: list[_Detector]) -> AlgorithmError | None:
    """Return the declared failure of a visit that remains incomplete, or None."""
    lost = {d.key: d.lost() for d in work if d.lost()}
    if not lost:
        return None
    first, reason = next(iter(lost.items()))
    what = "no detector is" if len(lost) == len(work) else f"{len(lost)} of {len(work)} are not"
    return AlgorithmError(
        f"{what} usable; detector {first}: {reason}"
        if what[0] == "n"
        else f"{what} usable, such as detector {first}: {reason}",
        {"detectors": len(work), "lost": len(lost)},
        "The status of calibrateImage has the reason of each detector",
    )
