"""The files of makeSkyFrame and modelVisitBackground."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from drpflow import __version__
from drpflow.data.background import Background
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.provenance import Provenance
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.star_wings import StarWingsLayer
from drpflow.errors import DrpflowError
from drpflow.io.cache import ComponentCache
from drpflow.io.changed import unless_equal
from drpflow.io.component_tables import ComponentRows, write_component_table
from drpflow.io.consolidate_files import search_circle
from drpflow.io.datasets import DatasetTable
from drpflow.io.schemas import load_schema
from drpflow.io.sky_files import read_samples
from drpflow.io.tables import read_table, write_table
from drpflow.io.visit_info_files import path_of, read_visit_info

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from drpflow.data.camera import Camera
    from drpflow.data.component_table import ComponentTable
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.sky_samples import SkySamples
    from drpflow.data.visit_info import VisitInfo

# What is read by name is imported here by statement, so that its code counts.
_LAYERS = (Background, StarWingsLayer)
SOURCE_COLUMNS = (
    "ra",
    "dec",
    "psfFlux",
    "extendedness",
    "pixelFlags_saturated",
)
"""What is read of ``initial_stars``."""

_OF_VISIT = ("visit_info", "sky_samples", "initial_visit_summary", "initial_stars")


class VisitParts(NamedTuple):
    """What is known of a visit; see :class:`drpflow.tasks.make_sky_frame.VisitSky`."""

    info: VisitInfo
    samples: dict[int, SkySamples]
    wcss: dict[int, SkyWcs]
    calibrations: dict[int, PhotoCalib]
    sources: dict[str, NDArray[Any]]
    references: ReferenceStars | None


def read_visit(
    options: Mapping[str, Any], camera: Camera, visit: int, margin_deg: float
) -> tuple[VisitParts, tuple[int, ...]]:
    """Read what is known of the sky of a visit.

    Parameters
    ----------
    options
        ``visit_info``, ``sky_samples``, ``initial_visit_summary`` and ``initial_stars``, and
        ``fgcm_photo_calib`` if its zero points count: paths, in which ``{visit}`` may stand for
        the visit. ``reference_stars``: the catalogue, or None.
    camera
        Geometry.
    visit
        The visit.
    margin_deg
        How far beyond the camera's corners bright stars matter.

    Returns
    -------
    VisitParts
        A WCS or zero point that cannot be read is missing, and so are sources.
    detectors : tuple of int
        All detectors of the visit.

    Raises
    ------
    InputError
        If metadata, samples or the summary cannot be read.
    MissingDatasetError
        If one of them does not exist.
    """
    info_path, samples_path, summary_path, stars_path = (
        path_of(options[name], visit=visit) for name in _OF_VISIT
    )
    info, samples = read_visit_info(info_path), read_samples(samples_path)
    table = read_table(summary_path, ["detector"]).to_dict()
    detectors = tuple(int(d) for d in table["detector"])
    cache = ComponentCache()
    summary = ComponentRows(summary_path, "detector", cache)
    wcss = _components(summary, "wcs", detectors, SkyWcs)
    calibrations = _components(summary, "photo_calib", detectors, PhotoCalib)
    if options.get("fgcm_photo_calib"):
        path = path_of(options["fgcm_photo_calib"], visit=visit)
        calibrations |= _components(
            ComponentRows(path, "detector", cache), "photo_calib", detectors, PhotoCalib
        )
    references = _references(options.get("reference_stars"), camera, wcss, margin_deg)
    parts = VisitParts(info, samples, wcss, calibrations, _sources(stars_path), references)
    return parts, detectors


def _components(
    rows: ComponentRows, name: str, keys: Iterable[int], kind: type[Any]
) -> dict[int, Any]:
    """Return the components of those rows that have them."""
    found = {}
    for key in keys:
        try:
            component = rows.component(name, key)
        except DrpflowError:
            continue  # a detector without it goes without wings, as the table's columns tell
        if isinstance(component, kind):
            found[key] = component
    return found


def _sources(path: Path) -> dict[str, NDArray[Any]]:
    table: dict[str, NDArray[Any]] = read_table(path, list(SOURCE_COLUMNS)).to_dict()
    return table if len(table["ra"]) else {}


def _references(
    path: Path | None, camera: Camera, wcss: Mapping[int, SkyWcs], margin_deg: float
) -> ReferenceStars | None:
    if path is None or not wcss:
        return None
    from drpflow.io.reference_stars import read_reference_stars

    return read_reference_stars(path, *search_circle(camera, wcss, margin_deg))


def read_frames(path: Path) -> dict[int, Background]:
    """Return the sky frame of each detector that has one; none from a frame that failed.

    Raises
    ------
    InputError
        If the file cannot be read.
    MissingDatasetError
        If it does not exist.
    """
    keys = [int(d) for d in read_table(path, ["detector"]).to_dict()["detector"]]
    return _components(
        ComponentRows(path, "detector", ComponentCache()), "background", keys, Background
    )


def read_frame_stars(path: Path) -> dict[str, NDArray[Any]]:
    """Return columns ``ra``, ``dec`` [deg] and ``flux_njy`` of ``sky_frame_stars``.

    Raises
    ------
    InputError
        If the file cannot be read.
    MissingDatasetError
        If it does not exist.
    """
    columns: dict[str, NDArray[Any]] = read_table(path, ["ra", "dec", "flux_njy"]).to_dict()
    return columns


def write_frame_stars(columns: Mapping[str, NDArray[Any]], options: Mapping[str, Any]) -> None:
    """Write ``sky_frame_stars``, unless it has these bytes already.

    Parameters
    ----------
    columns
        Its columns; empty for none.
    options
        ``sky_frame_stars`` (the file), and what :func:`write_sky_frame` takes.
    """
    name, data_id = "sky_frame_stars", {"physical_filter": options["physical_filter"]}
    schema = load_schema(name)
    if not columns:
        inner = schema.without(set(data_id)).columns
        columns = {c.name: np.zeros(0, np.dtype(c.type)) for c in inner}
    provenance = _provenance(name, "makeSkyFrame", options)
    with unless_equal(Path(options[name])) as fresh:
        write_table(fresh, columns, schema, dataset=name, data_id=data_id, provenance=provenance)


def write_sky_frame(table: ComponentTable, options: Mapping[str, Any]) -> None:
    """Write ``sky_frame``, unless it has these bytes already.

    Parameters
    ----------
    table
        A row a detector; none for a frame that could not be made.
    options
        ``sky_frame`` (the file) and ``physical_filter``. For the provenance ``config`` (the
        section), ``code`` (fingerprint) and the input files.
    """
    data_id = {"physical_filter": options["physical_filter"]}
    with unless_equal(Path(options["sky_frame"])) as fresh:
        _write(fresh, "sky_frame", table, data_id, "makeSkyFrame", options)


def write_visit_background(table: ComponentTable, visit: int, options: Mapping[str, Any]) -> None:
    """Write ``visit_background``.

    Parameters
    ----------
    table
        A row a detector; none if the visit has no background at all.
    visit
        The visit.
    options
        ``visit_background`` (the file). For the provenance as in :func:`write_sky_frame`.
    """
    path = options["visit_background"]
    _write(path, "visit_background", table, {"visit": visit}, "modelVisitBackground", options)


def _write(
    path: Path,
    name: str,
    table: ComponentTable,
    data_id: Mapping[str, int | str],
    task: str,
    options: Mapping[str, Any],
) -> None:
    entry = DatasetTable.load().dataset(name)
    provenance = _provenance(name, task, options)
    schema = load_schema(name)
    if not table.columns:
        inner = schema.without({*data_id, "detector"}).columns
        empty = {c.name: np.zeros(0, np.dtype(c.type)) for c in inner}
        table = type(table)(table.rows, empty)
    write_component_table(
        path,
        table,
        entry.holds,
        entry.row or "detector",
        schema,
        dataset=name,
        data_id=data_id,
        provenance=provenance,
    )


def _provenance(name: str, task: str, options: Mapping[str, Any]) -> Provenance:
    """Return what made a file, and of what."""
    made = ("sky_frame", "sky_frame_stars") if name.startswith("sky_frame") else ()
    names = (*_OF_VISIT, "fgcm_photo_calib", "sky_frame", "sky_frame_stars", "reference_stars")
    given = [(n, options.get(n)) for n in names if n not in made]
    return Provenance(
        version=__version__,
        task=task,
        config=options["config"].model_dump(mode="json"),
        code=options.get("code", ""),
        inputs=tuple({"name": n, "path": str(p)} for n, p in given if p),
    )
