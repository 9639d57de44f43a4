"""The files of solveAstrometry: what its script reads and writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from drpflow import __version__
from drpflow.data.component_table import ComponentTable
from drpflow.data.provenance import Provenance
from drpflow.data.table import Table
from drpflow.errors import DrpflowError, InputError, MissingDatasetError
from drpflow.io.astrometric_sources import PieceFiles, gather_stars
from drpflow.io.cache import ComponentCache
from drpflow.io.camera_yaml import load_camera
from drpflow.io.changed import unless_equal
from drpflow.io.component_tables import ComponentRows, write_component_table
from drpflow.io.datasets import DatasetTable
from drpflow.io.reference_regions import read_references_about
from drpflow.io.schemas import load_schema
from drpflow.io.tables import read_table, write_table
from drpflow.io.visit_info_files import path_of, read_visit_info

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from drpflow.data.astrometric_tables import Observations, Stars
    from drpflow.data.camera import Camera
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.data.visit_info import VisitInfo

    Columns = Mapping[str, NDArray[Any]]

_PREFIX = "solved_astrometry_"
_WCS = f"{_PREFIX}wcs"
_TABLES = tuple(_PREFIX + name for name in ("stars", "visits", "residuals"))
_PATTERNS = (
    "visit_info",
    "initial_visit_summary",
    "isolated_stars",
    "isolated_stars_source",
    "fgcm_standard_stars",
)
_BORESIGHT = ("boresight_ra", "boresight_dec", "boresight_rotation")


class VisitParts(NamedTuple):
    """What is known of a visit: metadata, boresight as fitted (deg, NaN without), first WCSs."""

    info: VisitInfo
    boresight_deg: tuple[float, float, float]
    wcs: dict[int, SkyWcs | None]


class Inputs(NamedTuple):
    """What solveAstrometry reads: see :class:`drpflow.tasks.solve_astrometry.Survey`."""

    camera: Camera
    visits: list[VisitParts]
    unreadable: dict[int, str]
    observations: Observations
    stars: Stars
    owned: NDArray[np.bool_]
    color_bands: frozenset[str]
    references: ReferenceStars | None


def read_inputs(options: Mapping[str, Any], visits: list[int], pieces: list[int]) -> Inputs:
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
    found, faults = read_visits(visits, options["visit_info"], options["initial_visit_summary"])
    files = [
        (p, PieceFiles(*(path_of(options[name], skypix=p) for name in _PATTERNS[2:])))
        for p in pieces
    ]
    detectors = [d.id for d in camera.detectors]
    gathered = gather_stars(files, [part.info.visit for part in found], detectors)
    shift = 2 * (options["association_order"] - options["order"])
    owned = gathered.piece >> shift == options["skypix"]
    stars = gathered.stars
    references = read_references_about(
        options.get("reference_stars"), stars.ra_deg, stars.dec_deg, gathered.piece
    )
    return Inputs(
        camera, found, faults, gathered.observations, stars, owned, gathered.bands, references
    )


def read_visits(
    visits: Iterable[int], visit_info: str, initial_visit_summary: str
) -> tuple[list[VisitParts], dict[int, str]]:
    """Read what is known of visits.

    Parameters
    ----------
    visits
        The visits.
    visit_info, initial_visit_summary
        Paths in which ``{visit}`` stands for the visit.

    Returns
    -------
    found : list of VisitParts
        By number.
    faults : dict
        Why other visits cannot be read.
    """
    found, faults = [], {}
    for visit in sorted(visits):
        try:
            info = read_visit_info(path_of(visit_info, visit=visit))
            boresight, wcs = _summary(path_of(initial_visit_summary, visit=visit))
            found.append(VisitParts(info, boresight, wcs))
        except InputError as fault:
            faults[visit] = str(fault)
    return found, faults


def _summary(path: Path) -> tuple[tuple[float, float, float], dict[int, SkyWcs | None]]:
    try:
        table = read_table(path, ["detector", *_BORESIGHT]).to_dict()
        rows = ComponentRows(path, "detector", ComponentCache())
        wcs = {int(d): _component(rows, int(d)) for d in table["detector"]}
    except DrpflowError as fault:
        problem = f"the visit's summary cannot be read ({fault})"
        raise InputError(path, problem, "Run consolidateVisit again") from fault
    known = [np.asarray(table[name], float) for name in _BORESIGHT]
    ra, dec, rotation = (float(v[0]) if v.size else float("nan") for v in known)
    return (ra, dec, rotation), wcs


def _component(rows: ComponentRows, detector: int) -> SkyWcs | None:
    try:
        wcs: SkyWcs = rows.component("wcs", detector)
    except MissingDatasetError:
        return None
    return wcs


class Outputs(Protocol):
    """What solveAstrometry writes: :class:`drpflow.tasks.solve_astrometry.Solved`."""

    @property
    def wcs(self) -> Mapping[int, ComponentTable]:
        """``solved_astrometry_wcs`` by visit."""

    @property
    def stars(self) -> Columns:
        """Columns of ``solved_astrometry_stars``."""

    @property
    def visits(self) -> Columns:
        """Columns of ``solved_astrometry_visits``."""

    @property
    def residuals(self) -> Columns:
        """Columns of ``solved_astrometry_residuals``."""


def write_outputs(outputs: Outputs, options: Mapping[str, Any]) -> None:
    """Write all products; files whose bytes would not change are not touched.

    Parameters
    ----------
    outputs
        The products. Tables without columns stand for what is missing.
    options
        ``solved_astrometry_wcs``: path with ``{visit}`` and ``{skypix}``;
        ``solved_astrometry_stars``, ``solved_astrometry_visits`` and
        ``solved_astrometry_residuals``: paths; ``skypix`` and ``order``: the piece. For the
        provenance ``config`` (the section), ``code`` (fingerprint) and the input files.
    """
    # Files of a visit do not name all visits, or each would change with every new one.
    short, whole = _provenance(options, ()), _provenance(options, _PATTERNS)
    skypix = {"skypix": int(options["skypix"])}
    for visit, table in outputs.wcs.items():
        data_id = {"visit": visit, **skypix}
        _write_wcs(path_of(options[_WCS], **data_id), table, data_id, short)
    about = {"healpix_order": options["order"], "healpix_scheme": "nested"}
    for name in _TABLES:
        columns = getattr(outputs, name.removeprefix(_PREFIX))
        _write_columns(Path(options[name]), name, columns, skypix, whole, about)


def write_tables(outputs: Outputs, folder: Path) -> None:
    """Write all products of a solution that belongs to no run, below a folder.

    Parameters
    ----------
    outputs
        The products.
    folder
        Where ``solved_astrometry_stars.parquet`` and its like are written, and
        ``solved_astrometry_wcs/visit=<visit>/solved_astrometry_wcs.parquet``.
    """
    for visit, table in outputs.wcs.items():
        path = folder / _WCS / f"visit={visit}" / f"{_WCS}.parquet"
        _write_wcs(path, table, {"visit": visit}, None)
    for name in _TABLES:
        columns = getattr(outputs, name.removeprefix(_PREFIX))
        _write_columns(folder / f"{name}.parquet", name, columns, {}, None, {})


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
    path: Path, table: ComponentTable, data_id: Mapping[str, int], provenance: Provenance | None
) -> None:
    entry, schema = DatasetTable.load().dataset(_WCS), load_schema(_WCS)
    with unless_equal(path) as fresh:
        write_component_table(
            fresh,
            ComponentTable(table.rows, {**table.columns, **_headers(table)}),
            entry.holds,
            entry.row or "detector",
            schema if "skypix" in data_id else schema.without({"skypix"}),
            dataset=_WCS,
            data_id=data_id,
            provenance=provenance,
        )


def _headers(table: ComponentTable) -> Columns:
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


def _provenance(options: Mapping[str, Any], names: Iterable[str]) -> Provenance:
    given = [(name, options.get(name)) for name in (*names, "reference_stars")]
    return Provenance(
        version=__version__,
        task="solveAstrometry",
        config=options["config"].model_dump(mode="json"),
        code=options.get("code", ""),
        inputs=tuple({"name": name, "path": str(path)} for name, path in given if path),
    )
