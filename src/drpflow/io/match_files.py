"""The files of matchSource: what its script reads and writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow import __version__
from drpflow.data.healpix import pixel_centers_deg, pixel_radius_deg
from drpflow.data.provenance import Provenance
from drpflow.data.table import Table
from drpflow.errors import DrpflowError, InputError, raise_machine_fault
from drpflow.io.reference_stars import read_reference_stars
from drpflow.io.schemas import load_schema
from drpflow.io.tables import open_parquet, read_table, write_table
from drpflow.io.visit_info_files import path_of, read_visit_info

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.visit_info import VisitInfo
    from drpflow.io.associate_files import Region

    Columns: TypeAlias = dict[str, NDArray[Any]]

MATCHES, JOIN = "source_matches", "source_matches_join"
"""The dataset types that are written."""
_INPUTS = ("visit_info", "source")
# Reference stars are read so far beyond a piece: those that have left it since their epoch.
_REFERENCE_MARGIN_DEG = 0.02


def read_sources(
    visits: Iterable[int], options: Mapping[str, Any], region: Region, columns: Sequence[str]
) -> tuple[list[tuple[VisitInfo, Columns]], list[InputError]]:
    """Read what visits have about a region.

    Parameters
    ----------
    visits
        The visits.
    options
        ``visit_info`` and ``source``: paths in which ``{visit}`` stands for the visit.
    region
        Where.
    columns
        Of ``source``.

    Returns
    -------
    found : list
        Metadata and columns of each visit that can be read.
    faults : list of InputError
        Why others cannot.

    Raises
    ------
    InputError
        If none can be read.
    """
    found, faults = [], []
    for visit in visits:
        try:
            info = _dated(path_of(options["visit_info"], visit=visit))
            path = path_of(options["source"], visit=visit)
            found.append((info, _about(path, region, columns)))
        except InputError as fault:
            raise_machine_fault(fault)
            faults.append(fault)
        except DrpflowError as fault:
            remedy = "Run consolidateSourceTable again"
            faults.append(InputError(f"visit {visit}", str(fault), remedy))
    if faults and not found:
        raise faults[0]
    return found, faults


def _dated(path: Path) -> VisitInfo:
    """Return the metadata of a visit whose time is known."""
    info = read_visit_info(path)
    if info.mjd is None:
        raise InputError(path, "it holds no time", "Correct the visit sheet")
    return info


def _about(path: Path, region: Region, columns: Sequence[str]) -> Columns:
    """Return the rows of a table of sources that lie in a region."""
    known = open_parquet(path).schema_arrow.names
    lacking = [name for name in columns if name not in known]
    if lacking:
        problem = f"it has no column {', '.join(lacking)}"
        raise InputError(path, problem, "Run consolidateSourceTable again")
    places = read_table(path, ["ra", "dec"])
    rows = region.holds(places["ra"], places["dec"])
    found = read_table(path, list(columns)).select(rows)
    # Copies: Arrow keeps memory that it is given back, numpy returns it.
    return {name: np.array(found[name]) for name in columns}


def read_references(path: Path | None, order: int, pixel: int) -> ReferenceStars | None:
    """Return the reference stars about a piece of the sky, None without a catalogue."""
    if path is None:
        return None
    ra, dec = pixel_centers_deg(order, np.array([pixel]))
    radius = pixel_radius_deg(order) + _REFERENCE_MARGIN_DEG
    return read_reference_stars(path, float(ra[0]), float(dec[0]), radius)


def write_outputs(matches: Columns, join: Columns, options: Mapping[str, Any]) -> None:
    """Write groups and their sources.

    Parameters
    ----------
    matches, join
        Columns of the two tables; empty for tables without rows.
    options
        ``source_matches`` and ``source_matches_join``: files to write; ``skypix`` and ``order``:
        the piece of the sky. For the provenance ``config`` (the section), ``code`` (fingerprint),
        ``visits`` and the paths of inputs.
    """
    about = {"healpix_order": options["order"], "healpix_scheme": "nested"}
    about["min_snr"] = options["config"].min_snr
    provenance = _provenance(options)
    for name, columns in ((MATCHES, matches), (JOIN, join)):
        write_piece(options[name], name, columns, options["skypix"], about, provenance)


def write_piece(
    path: Path,
    name: str,
    columns: Columns,
    skypix: int,
    about: Mapping[str, Any],
    provenance: Provenance,
) -> None:
    """Write a table of a piece of the sky.

    Parameters
    ----------
    path
        The file.
    name
        Dataset type and schema.
    columns
        At least those of the schema; empty for a table without rows.
    skypix
        The piece.
    about
        Metadata.
    provenance
        Where it is from.
    """
    schema = load_schema(name)
    inner = schema.without({"skypix"})
    kinds = {c.name: np.str_ if c.type == "str" else np.dtype(c.type) for c in inner.columns}
    if columns:
        kept = {n: np.asarray(columns[n]).astype(kind) for n, kind in kinds.items()}
    else:
        kept = {n: np.zeros(0, "U1" if kind is np.str_ else kind) for n, kind in kinds.items()}
    write_table(
        path,
        Table.from_columns(kept, inner, meta=about),
        schema,
        dataset=name,
        data_id={"skypix": skypix},
        provenance=provenance,
    )


def _provenance(options: Mapping[str, Any]) -> Provenance:
    visits = str(options.get("visits", ""))
    inputs = [{"name": n, "path": str(options[n]), "visits": visits} for n in _INPUTS]
    if options.get("reference_stars"):
        inputs.append({"name": "reference_stars", "path": str(options["reference_stars"])})
    return Provenance(
        version=__version__,
        task="matchSource",
        config=options["config"].model_dump(mode="json"),
        code=options.get("code", ""),
        inputs=tuple(inputs),
    )
