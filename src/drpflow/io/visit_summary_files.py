"""The files of updateVisitSummary: what its script reads and writes."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow import __version__
from drpflow.data.ap_corr import ApCorrMap
from drpflow.data.background import Background
from drpflow.data.component_table import ComponentTable
from drpflow.data.detector_info import DetectorInfo
from drpflow.data.final_parts import FinalParts, FinalVisit, PieceWcs
from drpflow.data.geometry import ValidPolygon
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.provenance import Provenance
from drpflow.data.psf import Psf
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.star_wings import StarWingsLayer
from drpflow.data.transmission import TransmissionCurve
from drpflow.errors import DrpflowError
from drpflow.io.astrometric_files import sip_columns
from drpflow.io.cache import ComponentCache
from drpflow.io.camera_yaml import load_camera, read_filter_throughputs
from drpflow.io.characterization_files import exposure_opener
from drpflow.io.component_tables import ComponentRows, write_component_table
from drpflow.io.consolidate_files import read_references
from drpflow.io.datasets import DatasetTable
from drpflow.io.exposure_fits import read_component
from drpflow.io.fits_index import FitsIndex
from drpflow.io.schemas import load_schema
from drpflow.io.tables import read_table
from drpflow.io.visit_info_files import path_of, read_visit_info

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.data.exposure import Exposure

    Columns: TypeAlias = dict[str, NDArray[Any]]
    Curve: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]

NAME = "final_visit_summary"
# What is read by name is imported here by statement, so that its code counts.
_KINDS = (SkyWcs, Psf, PhotoCalib, ApCorrMap, ValidPolygon, DetectorInfo, Background)
_LAYERS = (StarWingsLayer, TransmissionCurve)
_FROM = {
    "psf": "final_characterization_summary",
    "ap_corr": "final_characterization_summary",
    "photo_calib": "fgcm_photo_calib",
    "valid_polygon": "initial_visit_summary",
    "detector": "initial_visit_summary",
    "background": "visit_background",
}
_STARS = "final_characterization_stars"
_STAR_COLUMNS = (
    "detector", "x", "y", "ixx", "iyy", "ixy", "ixxPSF", "iyyPSF", "ixyPSF", "shape_flag",
    "centroid_flag", "calib_psf_candidate", "calib_psf_used", "calib_psf_reserved",
)  # fmt: skip
_WCS, _ATMOSPHERE = "final_astrometry_wcs", "fgcm_transmission_atmosphere"
_INPUTS = (
    "visit_info", "initial_visit_summary", "initial_pvi", "visit_background",
    "final_characterization_summary", _STARS, "fgcm_photo_calib", _ATMOSPHERE, _WCS,
    "reference_stars",
)  # fmt: skip


def read_inputs(options: Mapping[str, Any], pieces: Sequence[int], margin_deg: float) -> FinalVisit:
    """Read all that is known of a visit but its pixels.

    Parameters
    ----------
    options
        ``camera``; ``order``: HEALPix order of the astrometric solution; paths ``visit_info``,
        ``initial_visit_summary``, ``visit_background``, ``final_characterization_summary``,
        ``final_characterization_stars``, ``fgcm_photo_calib``, ``fgcm_transmission_atmosphere``;
        ``final_astrometry_wcs`` with ``{visit}`` and ``{skypix}``; ``reference_stars`` or None.
    pieces
        Pieces of the astrometric solution that the visit touches.
    margin_deg
        Margin around the field in which reference stars are read.

    Returns
    -------
    FinalVisit
        What cannot be read is missing, and the fault is the reason.

    Raises
    ------
    InputError
        If the metadata, the preliminary summary or the camera file cannot be read.
    """
    info, camera = read_visit_info(options["visit_info"]), load_camera(options["camera"])
    tables = _Tables(options, info.visit, pieces)
    detectors = {d: tables.detector(d) for d in tables.ids}
    atmosphere, why = _atmosphere(Path(options[_ATMOSPHERE]))
    curves: dict[int, Curve] = {}
    for item in camera.filters:
        if item.physical_filter == info.physical_filter:
            curves = read_filter_throughputs(item, [d.id for d in camera.detectors])
    wcss = {d: p.preliminary for d, p in detectors.items() if p.preliminary is not None}
    references = read_references(options.get("reference_stars"), camera, wcss, margin_deg)
    return FinalVisit(
        info, camera, detectors, int(options["order"]), atmosphere, why, curves, references
    )


def _atmosphere(path: Path) -> tuple[TransmissionCurve | None, str]:
    try:
        found = read_component(FitsIndex(path), TransmissionCurve.KIND, ComponentCache())
    except DrpflowError as fault:
        return None, str(fault)
    if not isinstance(found, TransmissionCurve):
        return None, f"{path} holds a {type(found).__name__}"
    return found, ""


class _Tables:
    """The tables of a visit, opened once."""

    def __init__(self, options: Mapping[str, Any], visit: int, pieces: Sequence[int]) -> None:
        self.cache = ComponentCache()
        self.options = options
        first = Path(options["initial_visit_summary"])
        wanted = ["detector", "wcs_source", "wcs_error"]
        self.first = _by_detector(read_table(first, wanted).to_dict())
        self.ids = sorted(self.first)
        self.faults: dict[str, str] = {}
        self.cells = {name: self._open(Path(options[name])) for name in sorted({*_FROM.values()})}
        self.labels = {
            name: self._columns(name, columns)
            for name, columns in (
                ("final_characterization_summary", ["psf_source", "ap_corr_source"]),
                ("fgcm_photo_calib", ["zero_point_err", "offset_err", "flag", "n_star"]),
            )
        }
        paths = {p: path_of(options[_WCS], visit=visit, skypix=p) for p in pieces}
        self.solutions = {p: _Solution(path, self.cache) for p, path in paths.items()}

    def _open(self, path: Path) -> ComponentRows | None:
        try:
            return ComponentRows(path, "detector", self.cache)
        except (DrpflowError, OSError) as fault:
            self.faults[str(path)] = str(fault)
            return None

    def _columns(self, name: str, columns: list[str]) -> dict[int, dict[str, Any]]:
        try:
            return _by_detector(read_table(self.options[name], ["detector", *columns]).to_dict())
        except DrpflowError:
            return {}  # the components of that table tell why

    @cached_property
    def stars(self) -> Columns:
        """Columns of the stars, none if they cannot be read."""
        try:
            return read_table(self.options[_STARS], list(_STAR_COLUMNS)).to_dict()
        except DrpflowError:
            return {}

    def _component(self, name: str, detector: int) -> tuple[Any, str]:
        """Return a component, or None and why it is missing."""
        dataset = _FROM[name]
        cells = self.cells[dataset]
        if cells is None:
            return None, self.faults[str(Path(self.options[dataset]))]
        try:
            return cells.component(name, detector), ""
        except DrpflowError as fault:
            return None, self._reason(cells, name, detector) or str(fault)

    @staticmethod
    def _reason(cells: ComponentRows, name: str, detector: int) -> str:
        try:
            return cells.missing(name, detector) or ""
        except DrpflowError as fault:
            return str(fault)

    def detector(self, detector: int) -> FinalParts:
        """Return what is known of a detector."""
        components, missing = {}, {}
        for name in _FROM:
            found, why = self._component(name, detector)
            if found is None:
                missing[name] = why
            else:
                components[name] = found
        background = components.pop("background", None)
        first = self.first[detector]
        rescued = float(first["wcs_error"]) if first["wcs_source"] != "fit" else float("nan")
        photometry = self.labels["fgcm_photo_calib"].get(detector, {})
        labels = dict(self.labels["final_characterization_summary"].get(detector, {}))
        if photometry:
            labels["zero_point_err"] = float(photometry["zero_point_err"])
            labels["offset_err"] = float(photometry["offset_err"])
            labels["zero_point_flag"] = int(photometry["flag"])
        return FinalParts(
            components,
            missing,
            {p: solution.wcs(detector) for p, solution in self.solutions.items()},
            self._preliminary(detector),
            rescued,
            background,
            self._stars_of(detector),
            int(photometry.get("n_star", 0)),
            labels,
        )

    def _preliminary(self, detector: int) -> SkyWcs | None:
        cells = self.cells["initial_visit_summary"]
        try:
            found = None if cells is None else cells.component("wcs", detector)
        except DrpflowError:
            return None
        return found if isinstance(found, SkyWcs) else None

    def _stars_of(self, detector: int) -> Columns:
        if not self.stars:
            return {}
        rows = np.flatnonzero(self.stars["detector"] == detector)
        return {name: values[rows] for name, values in self.stars.items()}


class _Solution:
    """The WCSs of a visit from one piece of the sky."""

    def __init__(self, path: Path, cache: ComponentCache) -> None:
        self.fault, self.columns = "", {}
        try:
            self.cells = ComponentRows(path, "detector", cache)
            self.columns = _by_detector(
                read_table(path, ["detector", "wcs_error", "n_good"]).to_dict()
            )
        except (DrpflowError, OSError) as fault:
            self.fault = str(fault)

    def wcs(self, detector: int) -> PieceWcs:
        """Return the WCS of a detector, or why there is none."""
        if self.fault or detector not in self.columns:
            why = self.fault or "the solution knows no such detector"
            return PieceWcs(None, why, float("nan"), 0)
        row = self.columns[detector]
        try:
            found = self.cells.component("wcs", detector)
        except DrpflowError as fault:
            why = self.cells.missing("wcs", detector) or str(fault)
            return PieceWcs(None, why, float("nan"), 0)
        return PieceWcs(found, "", float(row["wcs_error"]), int(row["n_good"]))


def _by_detector(columns: Mapping[str, NDArray[Any]]) -> dict[int, dict[str, Any]]:
    """Return the rows of a table by detector."""
    names = [name for name in columns if name != "detector"]
    return {
        int(d): {name: columns[name][row] for name in names}
        for row, d in enumerate(columns["detector"])
    }


def opener(options: Mapping[str, Any]) -> Callable[[int], Exposure]:
    """Return the function that opens the ``initial_pvi`` of a detector."""
    return exposure_opener(options["initial_pvi"])


def write_summary(table: ComponentTable, visit: int, options: Mapping[str, Any]) -> None:
    """Write ``final_visit_summary``.

    Parameters
    ----------
    table
        A row a detector.
    visit
        The visit.
    options
        ``final_visit_summary``: the file; ``order``. For the provenance ``config`` (the section),
        ``code`` (fingerprint) and the input files.
    """
    entry = DatasetTable.load().dataset(NAME)
    write_component_table(
        options[NAME],
        ComponentTable(table.rows, {**table.columns, **sip_columns(table)}),
        entry.holds,
        entry.row or "detector",
        load_schema(NAME),
        dataset=NAME,
        data_id={"visit": visit},
        provenance=_provenance(options),
        meta={"healpix_order": int(options["order"]), "healpix_scheme": "nested"},
    )


def _provenance(options: Mapping[str, Any]) -> Provenance:
    files = []
    for name in _INPUTS:
        given = options.get(name)
        paths = given if isinstance(given, list) else [given]
        files += [{"name": name, "path": str(path)} for path in paths if path]
    stages = {name: source for name, source in _FROM.items() if name != "background"}
    return Provenance(
        version=__version__,
        task="updateVisitSummary",
        config=options["config"].model_dump(mode="json"),
        code=options.get("code", ""),
        inputs=tuple(files),
        stages={**stages, "wcs": _WCS, "transmission": _ATMOSPHERE},
    )
