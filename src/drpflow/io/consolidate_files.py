"""The files of consolidateVisit: what its script reads and writes. No pixels are read."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from drpflow import __version__
from drpflow.data.ap_corr import ApCorrMap
from drpflow.data.detector_info import DetectorInfo
from drpflow.data.geometry import ValidPolygon
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.provenance import Provenance
from drpflow.data.psf import Psf
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.summary_stats import SummaryStats
from drpflow.errors import DrpflowError, InputError
from drpflow.io.camera_yaml import load_camera
from drpflow.io.component_tables import write_component_table
from drpflow.io.datasets import DatasetTable
from drpflow.io.exposure_fits import open_exposure
from drpflow.io.schemas import load_schema
from drpflow.io.tables import open_parquet, read_table, table_meta, write_table
from drpflow.io.visit_info_files import read_visit_info

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from drpflow.data.camera import Camera
    from drpflow.data.component_table import ComponentTable
    from drpflow.data.exposure import Exposure
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.visit_info import VisitInfo

# Corners may be so much farther out than the plate scale says.
_DISTORTION = 1.02
# What is read by name is imported here by statement, so that its code counts.
_CLASSES = {
    "wcs": SkyWcs,
    "psf": Psf,
    "photo_calib": PhotoCalib,
    "ap_corr": ApCorrMap,
    "valid_polygon": ValidPolygon,
    "detector": DetectorInfo,
    "summary_stats": SummaryStats,
}
"""Components of ``initial_visit_summary``."""
_INPUTS = ("initial_pvi", "initial_stars_detector")


class Parts(NamedTuple):
    """What calibrateImage made of a detector, without the pixels."""

    components: dict[str, Any]
    missing: dict[str, str]
    stars: dict[str, NDArray[Any]]


def read_visit(camera: str, visit_info: Path) -> tuple[Camera, VisitInfo]:
    """Read the camera file and the visit's metadata.

    Raises
    ------
    InputError
        If one of them is faulty.
    """
    info = read_visit_info(visit_info)
    return load_camera(camera), info


def read_detectors(
    exposures: Iterable[Path], tables: Iterable[Path], visit: int
) -> dict[int, Parts]:
    """Read components and stars of all detectors of a visit.

    Parameters
    ----------
    exposures
        ``initial_pvi`` of each detector.
    tables
        ``initial_stars_detector`` of each, in the same order.
    visit
        The visit.

    Returns
    -------
    dict
        By detector. A component that cannot be read is missing, and the fault is the reason;
        stars that cannot be read are none. Everything else of the visit goes on.

    Raises
    ------
    InputError
        If an exposure does not say of which detector it is.
    """
    found = {}
    for path, table in zip(exposures, tables, strict=True):
        exposure = open_exposure(path)
        detector = _detector_of(exposure, path, table)
        components, missing = _components(exposure)
        found[detector] = Parts(components, missing, _stars(table, visit, detector, missing))
    return dict(sorted(found.items()))


def _detector_of(exposure: Exposure, path: Path, table: Path) -> int:
    """Return of which detector an exposure is; where it cannot tell, its stars may."""
    with suppress(DrpflowError):
        if isinstance(info := exposure.detector, DetectorInfo):
            return info.id
    try:
        return int(table_meta(open_parquet(table).schema_arrow)["data_id"]["detector"])
    except (DrpflowError, KeyError) as fault:
        problem = f"neither it nor {table} says of which detector it is ({fault})"
        raise InputError(path, problem, "Run calibrateImage again") from fault


def _components(exposure: Exposure) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the components that are there, and why others are not."""
    components: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for name, kind in _CLASSES.items():
        try:
            found = exposure.components.get(name)
        except DrpflowError as fault:
            missing[name] = str(fault)
            continue
        if isinstance(found, kind):
            components[name] = found
        else:
            missing[name] = exposure.missing.get(name, "calibrateImage did not make it")
    return components, missing


def _stars(
    path: Path, visit: int, detector: int, missing: dict[str, str]
) -> dict[str, NDArray[Any]]:
    """Return the columns of a detector's stars; where they cannot be read, note why."""
    schema = load_schema("initial_stars_detector")
    try:
        table = read_table(path, data_id={"visit": visit, "detector": detector}, schema=schema)
    except DrpflowError as fault:
        missing.setdefault("summary_stats", str(fault))
        return {}
    return table.to_dict()


def read_references(
    path: Path | None, camera: Camera, wcss: Mapping[int, SkyWcs], margin_deg: float
) -> ReferenceStars | None:
    """Return the reference stars about a visit.

    Parameters
    ----------
    path
        The reference catalogue.
    camera
        The camera.
    wcss
        WCSs that were found, by detector.
    margin_deg
        How far beyond the camera's corners stars are wanted.

    Returns
    -------
    ReferenceStars or None
        None without a catalogue, and where no WCS tells where the camera looked.
    """
    if path is None or not wcss:
        return None
    from drpflow.io.reference_stars import read_reference_stars

    return read_reference_stars(path, *search_circle(camera, wcss, margin_deg))


def search_circle(
    camera: Camera, wcss: Mapping[int, SkyWcs], margin_deg: float
) -> tuple[float, float, float]:
    """Return centre and radius, degrees, of a circle that holds all detectors of a visit.

    Centre is the mean position of the detectors whose WCSs are known, on the sky and on the
    focal plane; radius the distance of the farthest corner from there by the plate scale, and
    2 % for distortion.
    """
    vectors, places_mm = [], []
    for number, wcs in wcss.items():
        detector = camera.detector(number)
        nx, ny = detector.size_pix
        lon, lat = np.radians(wcs.pixel_to_world_values((nx - 1) / 2, (ny - 1) / 2))
        vectors.append([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
        places_mm.append(detector.center_mm)
    x, y, z = np.mean(vectors, axis=0)
    far_mm = max(
        np.hypot(*np.subtract(d.center_mm, np.mean(places_mm, axis=0)))
        + np.hypot(*d.size_pix) / 2 * d.pixel_size_mm
        for d in camera.detectors
    )
    radius_deg = _DISTORTION * far_mm * camera.optics.plate_scale_arcsec_per_mm / 3600
    ra_deg, dec_deg = np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))
    return float(ra_deg), float(dec_deg), float(radius_deg + margin_deg)


def write_outputs(
    summary: ComponentTable, stars: Mapping[str, Any], visit: int, options: Mapping[str, Any]
) -> None:
    """Write the summary and the stars of a visit.

    Parameters
    ----------
    summary
        A row a detector.
    stars
        Columns of ``initial_stars``, of all detectors; empty for a table without rows.
    visit
        The visit.
    options
        ``initial_visit_summary`` and ``initial_stars``: files to write. For the provenance
        ``config`` (the section), ``code`` (fingerprint) and the input files.
    """
    data_id = {"visit": visit}
    provenance = _provenance(options)
    entry = DatasetTable.load().dataset("initial_visit_summary")
    write_component_table(
        options["initial_visit_summary"],
        summary,
        entry.holds,
        entry.row or "detector",
        load_schema(entry.table_schema) if entry.table_schema else None,
        dataset="initial_visit_summary",
        data_id=data_id,
        provenance=provenance,
    )
    schema = load_schema("initial_stars")
    if not stars:
        columns = schema.without(set(data_id)).columns
        stars = {c.name: np.zeros(0, np.dtype(c.type)) for c in columns}
    write_table(
        options["initial_stars"],
        dict(stars),
        schema,
        dataset="initial_stars",
        data_id=data_id,
        provenance=provenance,
    )


def _provenance(options: Mapping[str, Any]) -> Provenance:
    files = [(name, path) for name in _INPUTS for path in options[name]]
    if options.get("reference_stars"):
        files.append(("reference_stars", options["reference_stars"]))
    return Provenance(
        version=__version__,
        task="consolidateVisit",
        config=options["config"].model_dump(mode="json"),
        code=options.get("code", ""),
        inputs=tuple({"name": name, "path": str(path)} for name, path in files),
    )
