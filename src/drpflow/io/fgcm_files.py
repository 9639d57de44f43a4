"""The files of fgcm: what its script reads and writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from drpflow import __version__
from drpflow.data.provenance import Provenance
from drpflow.data.table import Table
from drpflow.io.camera_yaml import load_camera
from drpflow.io.changed import unless_equal
from drpflow.io.component_tables import write_component_table
from drpflow.io.datasets import DatasetTable
from drpflow.io.exposure_write import write_part
from drpflow.io.fgcm_sources import gather_sources
from drpflow.io.look_up_table_files import read_look_up_table
from drpflow.io.reference_regions import read_references_about
from drpflow.io.schemas import load_schema
from drpflow.io.solved_instrument import read_solved_instrument
from drpflow.io.tables import read_table, write_table
from drpflow.io.visit_info_files import path_of, read_visits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from drpflow.data.camera import Camera
    from drpflow.data.component_table import ComponentTable
    from drpflow.data.look_up_table import LookUpTable
    from drpflow.data.photometric_tables import Observations, Stars
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.solved_instrument import SolvedInstrument
    from drpflow.data.star_color import ColorMeaning
    from drpflow.data.transmission import TransmissionCurve
    from drpflow.data.visit_info import VisitInfo

    Columns = Mapping[str, NDArray[Any]]

SUMMARY_COLUMNS = ("detector", "psfSigma", "pixelScale", "zenithDistance")
_PATTERNS = ("visit_info", "initial_visit_summary", "isolated_stars", "isolated_stars_source")


class VisitParts(NamedTuple):
    """What is known of a visit: metadata and columns of its summary."""

    info: VisitInfo
    summary: Columns


def _summary(path: Path) -> Columns:
    return read_table(path, list(SUMMARY_COLUMNS)).to_dict()


class Inputs(NamedTuple):
    """What fgcm reads: see :class:`drpflow.tasks.fgcm.Survey`."""

    camera: Camera
    look_up_table: LookUpTable
    visits: list[VisitParts]
    unreadable: dict[int, str]
    observations: Observations
    stars: Stars
    skypix: NDArray[np.int64]
    pixels: list[int]
    references: ReferenceStars | None
    n_elsewhere: int
    instrument: SolvedInstrument | None


def read_inputs(options: Mapping[str, Any], visits: list[int], pixels: list[int]) -> Inputs:
    """Read everything that a run knows about its photometry.

    Parameters
    ----------
    options
        ``camera``, ``fgcm_look_up_table`` and ``reference_stars`` (or None); ``visit_info`` and
        ``initial_visit_summary`` with ``{visit}``; ``isolated_stars`` and
        ``isolated_stars_source`` with ``{skypix}``; ``config``, the section of the task.
    visits, pixels
        Visits and HEALPix pixels.

    Raises
    ------
    InputError
        If a file other than a visit's is faulty.
    """
    camera = load_camera(options["camera"])
    paths = options["visit_info"], options["initial_visit_summary"]
    readable, faults = read_visits(visits, *paths, _summary)
    for info, _ in readable:
        if not info.exposure_time_s or info.exposure_time_s <= 0:
            faults[info.visit] = f"its exposure time is {info.exposure_time_s}"
    found = [VisitParts(*part) for part in readable if part[0].visit not in faults]
    times = {part.info.visit: float(part.info.exposure_time_s or 0.0) for part in found}
    star_files, source_files = (
        [path_of(options[name], skypix=pixel) for pixel in pixels]
        for name in ("isolated_stars", "isolated_stars_source")
    )
    fluxes = options["config"].sources
    gathered = gather_sources(
        star_files, source_files, camera, times, fluxes.flux, fluxes.second_flux
    )
    stars = gathered.stars
    path = options.get("reference_stars")
    references = read_references_about(path, stars.ra, stars.dec, gathered.skypix)
    return Inputs(
        camera,
        read_look_up_table(options["fgcm_look_up_table"]),
        found,
        faults,
        gathered.observations,
        gathered.stars,
        gathered.skypix,
        pixels,
        references,
        gathered.dropped,
        read_solved_instrument(path),
    )


class Outputs(Protocol):
    """What fgcm writes: :class:`drpflow.tasks.fgcm.Calibrated`."""

    @property
    def photo_calibs(self) -> Mapping[int, ComponentTable]:
        """``fgcm_photo_calib`` by visit."""

    @property
    def atmospheres(self) -> Mapping[int, TransmissionCurve]:
        """``fgcm_transmission_atmosphere`` by visit."""

    @property
    def standard_stars(self) -> Mapping[int, Columns]:
        """Columns of ``fgcm_standard_stars`` by HEALPix pixel."""

    @property
    def color(self) -> ColorMeaning:
        """What the colours of standard stars are."""

    @property
    def zero_points(self) -> Columns:
        """Columns of ``fgcm_zero_points``."""

    @property
    def parameters(self) -> Columns:
        """Columns of ``fgcm_parameters``."""


def write_outputs(outputs: Outputs, options: Mapping[str, Any]) -> None:
    """Write all products; files whose bytes would not change are not touched.

    Parameters
    ----------
    outputs
        The products. Tables without rows stand for what is missing.
    options
        ``fgcm_photo_calib``, ``fgcm_transmission_atmosphere`` and ``fgcm_standard_stars``: paths
        with ``{visit}`` or ``{skypix}``; ``fgcm_zero_points`` and ``fgcm_parameters``: paths. For
        the provenance ``config`` (the section), ``code`` (fingerprint) and the input files.
    """
    # Files of a visit do not name all visits, or each would change with every new one.
    short = _provenance(options, ("fgcm_look_up_table",))
    _write_photo_calibs(outputs.photo_calibs, options, short)
    for visit, curve in outputs.atmospheres.items():
        path = path_of(options["fgcm_transmission_atmosphere"], visit=visit)
        with unless_equal(path) as fresh:
            write_part(fresh, curve.KIND, curve, base="")
    for pixel, columns in outputs.standard_stars.items():
        path = path_of(options["fgcm_standard_stars"], skypix=pixel)
        meta = outputs.color.to_meta()
        _write(path, "fgcm_standard_stars", columns, {"skypix": pixel}, short, meta)
    whole = _provenance(options, ("fgcm_look_up_table", *_PATTERNS))
    for name in ("fgcm_zero_points", "fgcm_parameters"):
        _write(Path(options[name]), name, getattr(outputs, name.removeprefix("fgcm_")), {}, whole)


def _write_photo_calibs(
    tables: Mapping[int, ComponentTable], options: Mapping[str, Any], provenance: Provenance
) -> None:
    entry = DatasetTable.load().dataset("fgcm_photo_calib")
    for visit, table in tables.items():
        with unless_equal(path_of(options["fgcm_photo_calib"], visit=visit)) as fresh:
            write_component_table(
                fresh,
                table,
                entry.holds,
                entry.row or "detector",
                load_schema("fgcm_photo_calib"),
                dataset="fgcm_photo_calib",
                data_id={"visit": visit},
                provenance=provenance,
            )


def _write(
    path: Path,
    name: str,
    columns: Columns,
    data_id: dict[str, int | str],
    provenance: Provenance,
    meta: Mapping[str, Any] | None = None,
) -> None:
    schema = load_schema(name)
    inner = schema.without(set(data_id))
    if not columns:
        columns = {
            c.name: np.zeros(0, np.str_ if c.type == "str" else np.dtype(c.type))
            for c in inner.columns
        }
    with unless_equal(path) as fresh:
        table = Table.from_columns(dict(columns), inner, meta=meta)
        write_table(fresh, table, schema, dataset=name, data_id=data_id, provenance=provenance)


def _provenance(options: Mapping[str, Any], names: Iterable[str]) -> Provenance:
    given = [(name, options.get(name)) for name in (*names, "reference_stars")]
    return Provenance(
        version=__version__,
        task="fgcm",
        config=options["config"].model_dump(mode="json"),
        code=options.get("code", ""),
        inputs=tuple({"name": name, "path": str(path)} for name, path in given if path),
    )
