"""What the report shows of the global photometric calibration, gathered from its products."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.data.detector_info import DetectorInfo
from drpflow.data.flux_errors import own_errors
from drpflow.errors import MissingDatasetError
from drpflow.io.schemas import load_schema
from drpflow.qa.trend_figures import band_colors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from drpflow.data.camera import Detector
    from drpflow.data.photo_calib import PhotoCalib
    from drpflow.data.table import Table
    from drpflow.data.visit_info import VisitInfo
    from drpflow.io.store import Store

    Floats: TypeAlias = NDArray[np.float64]
    Columns: TypeAlias = dict[str, NDArray[Any]]

IN_FIT, NOT_IN_FIT, CLOUDY, CLOUDY_NOT_IN_FIT, IMPOSSIBLE, FEW_STARS = 1, 2, 4, 8, 16, 32
"""Bits of the flags of ``fgcm_zero_points``."""
PHOTOMETRIC = IN_FIT | NOT_IN_FIT

_SUMMARY, _CALIBS = "initial_visit_summary", "fgcm_photo_calib"
_USUAL_FLUX = "normCompTophatFlux"
_CORRECTION = "apCorr", "apCorrErr"
_MAG_PER_RELATIVE_ERROR = 2.5 / np.log(10.0)


@dataclass(frozen=True, eq=False)
class Photometry:
    """The calibration of a run.

    Parameters
    ----------
    zero_points, parameters
        Columns of ``fgcm_zero_points`` and ``fgcm_parameters``.
    visits
        Metadata of the visits, as far as they can be read.
    detectors
        By id, those that are known by position.
    calibs
        Calibration by visit and detector.
    lost
        Why others have none.
    first_calibs
        Those that calibrateImage gave, with their variation over the detector.
    flux
        The flux that was calibrated.
    """

    zero_points: Columns
    parameters: Columns
    visits: dict[int, VisitInfo] = field(default_factory=dict)
    detectors: dict[int, Detector] = field(default_factory=dict)
    calibs: dict[tuple[int, int], PhotoCalib] = field(default_factory=dict)
    lost: dict[tuple[int, int], str] = field(default_factory=dict)
    first_calibs: dict[tuple[int, int], PhotoCalib] = field(default_factory=dict)
    flux: str = _USUAL_FLUX

    @property
    def bands(self) -> list[str]:
        """Bands in the order of their wavelengths, others in alphabetical order."""
        return list(band_colors(str(b) for b in self.zero_points["band"]))

    @property
    def has_cloud_flux(self) -> bool:
        """Whether clouds were followed by another flux anywhere."""
        return bool(np.isfinite(self.zero_points.get("cloud_flux_offset", np.nan)).any())

    def mjd(self, visit: int) -> float:
        """Return the time of a visit, NaN if it is not known."""
        info = self.visits.get(visit)
        return float("nan") if info is None or info.mjd is None else info.mjd


@dataclass(frozen=True, eq=False)
class Measurements:
    """Calibrated detections of stars that do not vary; arrays have an entry a detection, (N,).

    Parameters
    ----------
    star
        Identifier.
    band
        Index into :attr:`Photometry.bands`.
    visit, detector, x, y
        Where it was seen.
    mag_first
        AB magnitude after calibrateImage alone.
    mag_first_mean
        The same with one zero point a detector.
    mag_raw
        AB magnitude with the zero points of the global calibration.
    mag
        The same with the colour of the star taken into account.
    mag_err
        Standard deviation of the measured flux beside what the stars of an image share.
    standard
        Standard magnitude of the star.
    reserved
        Whether the star is in no fit.
    photometric
        Whether the zero point is that of a photometric visit.
    """

    star: NDArray[np.int64]
    band: NDArray[np.int32]
    visit: NDArray[np.int64]
    detector: NDArray[np.int32]
    x: Floats
    y: Floats
    mag_first: Floats
    mag_first_mean: Floats
    mag_raw: Floats
    mag: Floats
    mag_err: Floats
    standard: Floats
    reserved: NDArray[np.bool_]
    photometric: NDArray[np.bool_]

    def select(self, rows: NDArray[Any]) -> Measurements:
        """Return some of them."""
        return Measurements(*(getattr(self, n)[rows] for n in self.__dataclass_fields__))

    @classmethod
    def join(cls, parts: list[Measurements]) -> Measurements:
        """Return all of them."""
        names = cls.__dataclass_fields__
        return cls(*(np.concatenate([getattr(p, n) for p in parts]) for n in names))


def read_photometry(store: Store) -> Photometry | None:
    """Return the calibration of a run, None if it has none yet."""
    if not store.exists("fgcm_zero_points"):
        return None
    table = store.get("fgcm_zero_points")
    about = table.meta.get("provenance", {}).get("config", {}).get("sources", {})
    parameters = store.get("fgcm_parameters") if store.exists("fgcm_parameters") else None
    found = Photometry(
        table.to_dict(),
        parameters.to_dict() if parameters is not None else {},
        flux=str(about.get("flux", _USUAL_FLUX)),
    )
    for data_id in store.query(_CALIBS):
        _add_visit(store, found, int(data_id["visit"]))
    return found


def _add_visit(store: Store, to: Photometry, visit: int) -> None:
    if store.exists("visit_info", visit=visit):
        to.visits[visit] = store.get("visit_info", visit=visit)
    table = store.get(_CALIBS, visit=visit)
    for detector in table["detector"].tolist():
        calib, why = _component(table, "photo_calib", detector)
        if calib is None:
            to.lost[visit, detector] = why
        else:
            to.calibs[visit, detector] = calib
    if not store.exists(_SUMMARY, visit=visit):
        return
    summary = store.get(_SUMMARY, visit=visit)
    for detector in summary["detector"].tolist():
        calib, _ = _component(summary, "photo_calib", detector)
        if calib is not None:
            to.first_calibs[visit, detector] = calib
        if detector not in to.detectors:
            about, _ = _component(summary, "detector", detector)
            if isinstance(about, DetectorInfo):
                to.detectors[detector] = about.detector


def _component(table: Table, name: str, detector: int) -> tuple[Any, str]:
    """Return a component of a row, or None and why it is missing."""
    try:
        return table.component(name, detector=detector), ""
    except MissingDatasetError as error:
        return None, str(error).partition(f"detector={detector}: ")[2]


def read_measurements(store: Store, of: Photometry) -> Iterator[Measurements]:
    """Yield the calibrated detections of each piece of the sky that has any.

    Parameters
    ----------
    store
        The run.
    of
        Its calibration.
    """
    known = {c.name for c in load_schema("isolated_stars_source").columns}
    columns = [
        "isolated_star_id", "visit", "detector", "band", "x", "y",
        *(f"{of.flux}_{part}" for part in ("instFlux", "instFluxErr", "flag")),
        *(n for part in _CORRECTION if (n := f"{of.flux}_{part}") in known),
    ]  # fmt: skip
    table = _ZeroPointTable(of)
    for data_id in store.query("fgcm_standard_stars"):
        if not store.exists("isolated_stars_source", **data_id):
            continue
        stars = store.get("fgcm_standard_stars", **data_id).to_dict()
        sources = store.get("isolated_stars_source", columns=columns, **data_id).to_dict()
        if len(stars["band"]) and len(sources["band"]):
            yield _measurements(stars, sources, of, table)


class _ZeroPointTable:
    """Rows of the zero points by visit and detector."""

    def __init__(self, of: Photometry) -> None:
        z = of.zero_points
        self.images = _Codes(z["visit"], z["detector"])
        self.values = z

    def get(self, name: str, rows: NDArray[np.intp], default: float) -> Floats:
        """Return a column in some rows, -1 for none; what is not finite is the default."""
        values = np.append(self.values[name].astype(float), default)[rows]
        return np.where(np.isfinite(values), values, default)


class _Codes:
    """Finds rows by two whole numbers, without a look at each row in Python."""

    def __init__(self, first: NDArray[Any], second: NDArray[Any]) -> None:
        self.first, self.second = np.unique(first), np.unique(second)
        code = self._code(first, second)
        self.order = np.argsort(code, kind="stable")
        self.sorted = code[self.order]

    def rows(self, first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.intp]:
        """Return the row of each pair, -1 for those that are not there."""
        if not self.sorted.size:
            return np.full(first.size, -1, np.intp)
        code = self._code(first, second)
        place = np.minimum(np.searchsorted(self.sorted, code), self.sorted.size - 1)
        return np.where((self.sorted[place] == code) & (code >= 0), self.order[place], -1)

    def _code(self, first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.int64]:
        i, j = (_place(a, b) for a, b in ((self.first, first), (self.second, second)))
        code = i * (self.second.size + 1) + j
        return np.where((i < 0) | (j < 0), -1, code)


def _place(sorted_values: NDArray[Any], values: NDArray[Any]) -> NDArray[np.int64]:
    """Return where values stand in a sorted list, -1 for those that are not in it."""
    if not sorted_values.size:
        return np.full(values.size, -1, np.int64)
    place = np.minimum(np.searchsorted(sorted_values, values), sorted_values.size - 1)
    return np.where(sorted_values[place] == values, place, -1)


def _measurements(
    stars: Columns, sources: Columns, of: Photometry, table: _ZeroPointTable
) -> Measurements:
    """Return the usable detections of stars with a standard magnitude in their band."""
    steady = ~stars["variable"] & np.isfinite(stars["mag_std"])
    stars = {name: values[steady] for name, values in stars.items()}
    band = _numbers(of.bands, stars["band"])
    at = _Codes(stars["isolated_star_id"], band).rows(
        sources["isolated_star_id"], _numbers(of.bands, sources["band"])
    )
    flux, error = (sources[f"{of.flux}_{part}"] for part in ("instFlux", "instFluxErr"))
    good = (at >= 0) & ~sources[f"{of.flux}_flag"] & (flux > 0) & (error > 0)
    shared = [sources[n][good] for p in _CORRECTION if (n := f"{of.flux}_{p}") in sources]
    at, flux, error = at[good], flux[good], error[good]
    if len(shared) == len(_CORRECTION):
        error = own_errors(flux, error, *shared)
    visit, detector, x, y = (sources[name][good] for name in ("visit", "detector", "x", "y"))
    rows = table.images.rows(visit, detector)
    first, first_mean, raw = _calibrated(of, visit, detector, (flux, x, y))
    color = stars["color"][at] - table.get("color_pivot", rows, np.nan)
    chromatic = table.get("color_term", rows, 0.0) * np.where(np.isfinite(color), color, 0.0)
    found = Measurements(
        star=stars["isolated_star_id"][at],
        band=band[at].astype(np.int32),
        visit=visit,
        detector=detector,
        x=x,
        y=y,
        mag_first=first,
        mag_first_mean=first_mean,
        mag_raw=raw,
        mag=raw + chromatic,
        mag_err=_MAG_PER_RELATIVE_ERROR * error / flux,
        standard=stars["mag_std"][at],
        reserved=stars["reserved"][at],
        photometric=(table.get("flag", rows, 0).astype(int) & PHOTOMETRIC) > 0,
    )
    return found.select(np.isfinite(found.mag))


def _numbers(bands: list[str], names: NDArray[Any]) -> NDArray[np.int64]:
    """Return the place of each name in the list of bands, -1 for others."""
    found = np.full(names.size, -1, np.int64)
    for number, band in enumerate(bands):
        found[names == band] = number
    return found


def _calibrated(
    of: Photometry,
    visit: NDArray[np.int64],
    detector: NDArray[np.int32],
    measured: tuple[Floats, Floats, Floats],
) -> Floats:
    """Return magnitudes by the calibrations of each detection's image, (3, N).

    Those of calibrateImage, the same with one zero point a detector, and the global ones; NaN where
    there is none. `measured` are flux, x and y.
    """
    mag = np.full((3, visit.size), np.nan)
    order = np.lexsort((detector, visit))
    new = np.flatnonzero((np.diff(visit[order]) != 0) | (np.diff(detector[order]) != 0)) + 1
    for rows in np.split(order, new) if order.size else []:
        key = int(visit[rows[0]]), int(detector[rows[0]])
        first, final = of.first_calibs.get(key), of.calibs.get(key)
        plain = replace(first, field=None) if first is not None else None
        for out, calib in zip(mag, (first, plain, final), strict=True):
            if calib is not None:
                out[rows] = calib.flux_to_magnitude(*(values[rows] for values in measured))
    return mag
