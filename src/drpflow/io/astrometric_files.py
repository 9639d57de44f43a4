"""The files of the astrometric solutions: what solveAstrometry reads and writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow import __version__
from drpflow.data.astrometric_survey import AstrometricSurvey, VisitInput
from drpflow.data.component_table import ComponentTable
from drpflow.data.provenance import Provenance
from drpflow.data.table import Table
from drpflow.errors import DrpflowError, MissingDatasetError
from drpflow.io.astrometric_sources import PieceFiles, gather_stars
from drpflow.io.cache import ComponentCache
from drpflow.io.camera_yaml import load_camera
from drpflow.io.changed import unless_equal
from drpflow.io.component_tables import ComponentRows, write_component_table
from drpflow.io.datasets import DatasetTable
from drpflow.io.reference_regions import read_references_about
from drpflow.io.schemas import load_schema
from drpflow.io.solved_instrument import read_solved_instrument
from drpflow.io.tables import read_table, write_table
from drpflow.io.visit_info_files import path_of, read_visits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from drpflow.data.astrometric_survey import SolvedPiece
    from drpflow.data.sky_wcs import SkyWcs

    Columns = Mapping[str, NDArray[Any]]

_TABLES = ("stars", "visits", "residuals")
INPUTS = (
    "visit_info",
    "initial_visit_summary",
    "isolated_stars",
    "isolated_stars_source",
    "fgcm_standard_stars",
)
"""Dataset types that are read, beside the reference stars."""
_BORESIGHT = ("boresight_ra", "boresight_dec", "boresight_rotation")


@dataclass(frozen=True)
class Stage:
    """Which of the two fits products are of.

    Parameters
    ----------
    task
        The task.
    prefix
        Beginning of the names of its dataset types.
    inputs
        What it reads.
    about
        What else the metadata of its tables tell.
    """

    task: str
    prefix: str
    inputs: tuple[str, ...] = INPUTS
    about: Mapping[str, Any] = field(default_factory=dict)

    def name(self, table: str) -> str:
        """Return a dataset type: of ``wcs``, ``stars``, ``visits`` or ``residuals``."""
        return f"{self.prefix}_{table}"


FIRST = Stage("solveAstrometry", "solved_astrometry")
"""The first fit."""


def read_inputs(
    options: Mapping[str, Any], visits: list[int], pieces: list[int]
) -> AstrometricSurvey:
    """Read everything about a piece of the sky.

    Parameters
    ----------
    options
        ``camera`` and ``reference_stars`` (or None); ``visit_info`` and ``initial_visit_summary``
        with ``{visit}``; ``isolated_stars``, ``isolated_stars_source`` and ``fgcm_standard_stars``
        with ``{skypix}``; ``skypix``, ``order``, ``association_order``: the piece, its HEALPix
        order and that of the association.
    visits
        Visits that touch the piece.
    pieces
        Pieces of the association that these touch.

    Raises
    ------
    InputError
        If a file other than a visit's is faulty.
    MissingDatasetError
        If such a file is missing.
    """
    camera = load_camera(options["camera"])
    paths = options["visit_info"], options["initial_visit_summary"]
    readable, faults = read_visits(visits, *paths, _summary)
    found = [VisitInput(info, boresight, wcs) for info, (boresight, wcs) in readable]
    files = [
        (p, PieceFiles(*(path_of(options[name], skypix=p) for name in INPUTS[2:]))) for p in pieces
    ]
    detectors = [d.id for d in camera.detectors]
    gathered = gather_stars(files, [item.info.visit for item in found], detectors)
    shift = 2 * (options["association_order"] - options["order"])
    owned = gathered.piece >> shift == options["skypix"]
    stars = gathered.stars
    path = options.get("reference_stars")
    references = read_references_about(path, stars.ra_deg, stars.dec_deg, gathered.piece)
    instrument = read_solved_instrument(path)
    return AstrometricSurvey(
        camera,
        found,
        faults,
        gathered.observations,
        stars,
        owned,
        gathered.color,
        references,
        instrument.maps if instrument else (),
    )


def detectors_of(options: Mapping[str, Any]) -> list[int]:
    """Return the detectors of the camera file, none if it cannot be read."""
    try:
        return [d.id for d in load_camera(options["camera"]).detectors]
    except DrpflowError:
        return []


def _summary(path: Path) -> tuple[tuple[float, float, float], dict[int, SkyWcs | None]]:
    """Return pointing and first WCSs of a visit."""
    table = read_table(path, ["detector", *_BORESIGHT]).to_dict()
    rows = ComponentRows(path, "detector", ComponentCache())
    wcs = {int(d): _component(rows, int(d)) for d in table["detector"]}
    known = [np.asarray(table[name], float) for name in _BORESIGHT]
    ra, dec, rotation = (float(v[0]) if v.size else float("nan") for v in known)
    return (ra, dec, rotation), wcs


def _component(rows: ComponentRows, detector: int) -> SkyWcs | None:
    try:
        wcs: SkyWcs = rows.component("wcs", detector)
    except MissingDatasetError:
        return None
    return wcs


def write_outputs(
    outputs: SolvedPiece,
    options: Mapping[str, Any],
    stage: Stage = FIRST,
    told: Mapping[str, Any] | None = None,
) -> None:
    """Write all products; files whose bytes would not change are not touched.

    Parameters
    ----------
    outputs
        The products.
    options
        ``solved_astrometry_wcs``: path with ``{visit}`` and ``{skypix}``;
        ``solved_astrometry_stars``, ``solved_astrometry_visits`` and
        ``solved_astrometry_residuals``: paths; ``skypix`` and ``order``: the piece. For the
        provenance ``config`` (the section), ``code`` (fingerprint) and the input files.
    stage
        Which fit they are of; options of the second have its names.
    told
        What else the metadata of the table of visits tell.
    """
    # Files of a visit do not name all visits, or each would change with every new one.
    short, whole = (_provenance(options, stage.task, names) for names in ((), stage.inputs))
    skypix = {"skypix": int(options["skypix"])}
    pieces = {"healpix_order": options["order"], "healpix_scheme": "nested", **stage.about}
    for visit, rows in outputs.wcs.items():
        data_id = {"visit": visit, **skypix}
        path = path_of(options[stage.name("wcs")], **data_id)
        _write_wcs(path, stage.name("wcs"), rows, data_id, short, pieces | _color(outputs))
    for table in _TABLES:
        columns, name = getattr(outputs, table), stage.name(table)
        about = pieces | _about(table, outputs, told)
        _write_columns(Path(options[name]), name, columns, skypix, whole, about)


def write_tables(outputs: SolvedPiece, folder: Path) -> None:
    """Write all products of a solution that belongs to no run, below a folder.

    Parameters
    ----------
    outputs
        The products.
    folder
        Where ``solved_astrometry_stars.parquet`` and its like are written, and
        ``solved_astrometry_wcs/visit=<visit>/solved_astrometry_wcs.parquet``.
    """
    wcs = FIRST.name("wcs")
    for visit, rows in outputs.wcs.items():
        path = folder / wcs / f"visit={visit}" / f"{wcs}.parquet"
        _write_wcs(path, wcs, rows, {"visit": visit}, None, _color(outputs))
    for table in _TABLES:
        columns, name = getattr(outputs, table), FIRST.name(table)
        about = _about(table, outputs)
        _write_columns(folder / f"{name}.parquet", name, columns, {}, None, about)


def _color(outputs: SolvedPiece) -> dict[str, Any]:
    """Return for which star the WCSs hold, as metadata of a table."""
    if not np.isfinite(outputs.reference_color):
        return {}
    bands = {"color_bands": list(outputs.color_bands)} if outputs.color_bands else {}
    return {"reference_color": outputs.reference_color, **bands}


def _about(
    table: str, outputs: SolvedPiece, told: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what belongs into the metadata of a table."""
    if table != "visits":
        return {}
    notes = {"notes": list(outputs.notes), "held": list(outputs.held)}
    return _color(outputs) | notes | dict(told or {})


def _write_columns(
    path: Path,
    name: str,
    columns: Columns,
    data_id: Mapping[str, int],
    provenance: Provenance | None,
    about: Mapping[str, Any],
) -> None:
    inner = load_schema(name).without({"skypix"})
    kinds = {c.name: np.str_ if c.type == "str" else c.type for c in inner.columns}
    kept = dict(columns) or {name: np.zeros(0, kind) for name, kind in kinds.items()}
    with unless_equal(path) as fresh:
        write_table(
            fresh,
            Table.from_columns(kept, inner, meta=about),
            load_schema(name) if data_id else inner,
            dataset=name,
            data_id={**data_id},
            provenance=provenance,
        )


def _write_wcs(
    path: Path,
    name: str,
    table: ComponentTable,
    data_id: Mapping[str, int],
    provenance: Provenance | None,
    about: Mapping[str, Any],
) -> None:
    entry, schema = DatasetTable.load().dataset(name), load_schema(name)
    with unless_equal(path) as fresh:
        write_component_table(
            fresh,
            ComponentTable(table.rows, {**table.columns, **sip_columns(table)}),
            entry.holds,
            entry.row or "detector",
            schema if "skypix" in data_id else schema.without({"skypix"}),
            dataset=name,
            data_id=data_id,
            provenance=provenance,
            meta=about,
        )


def sip_columns(table: ComponentTable) -> Columns:
    """Return the FITS approximation of each row's WCS, a card a line, and its largest error."""
    from astropy.io import fits

    texts, errors = [], []
    for row in table.rows.values():
        wcs: SkyWcs | None = row.components.get("wcs")
        cards = [] if wcs is None else wcs.to_fits_header()
        header = fits.Header([fits.Card(*card) for card in cards])
        texts.append(header.tostring(sep="\n", endcard=False, padding=False))
        errors.append(float(header.get("SIPERR", "nan")))
    return {"sip_header": np.array(texts, np.str_), "sip_error": np.array(errors, float)}


def _provenance(options: Mapping[str, Any], task: str, names: Iterable[str]) -> Provenance:
    given = [(name, options.get(name)) for name in (*names, "reference_stars")]
    return Provenance(
        version=__version__,
        task=task,
        config=options["config"].model_dump(mode="json"),
        code=options.get("code", ""),
        inputs=tuple({"name": name, "path": str(path)} for name, path in given if path),
    )
