"""The files of associateIsolatedStars: what its script reads and writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from drpflow import __version__
from drpflow.data.healpix import pixels_about, pixels_of_deg
from drpflow.data.provenance import Provenance
from drpflow.data.table import Table
from drpflow.errors import AlgorithmError, DrpflowError, InputError, raise_machine_fault, suggest
from drpflow.io.schemas import load_schema
from drpflow.io.tables import read_table, write_table
from drpflow.io.visit_info_files import read_visit_info

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.data.visit_info import VisitInfo

    Columns: TypeAlias = dict[str, NDArray[Any]]
    Floats: TypeAlias = NDArray[np.float64]

_INPUTS = ("visit_info", "initial_visit_summary", "initial_stars")
_STARS, _SOURCES = "isolated_stars", "isolated_stars_source"
# How much finer than a piece the pixels are of which it and its margin are made.
_FINER = 5
# So many visits are named where visits are lost.
_NAMED = 5
# What the task adds to the columns of a source.
_ADDED = {"skypix", "isolated_star_id", "visit", "band", "physical_filter", "mjd", "reserved"}


class Region(NamedTuple):
    """Where detections are wanted: sorted pixels of an order."""

    order: int
    pixels: NDArray[np.int64]

    @classmethod
    def about(cls, order: int, pixel: int, margin_arcsec: float) -> Region:
        """Return a piece of the sky with a margin."""
        finer = min(_FINER, 29 - order)
        return cls(order + finer, pixels_about(order, pixel, margin_arcsec / 3600, finer))

    def holds(self, ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return the rows of places that lie in it; those that are not finite do not."""
        rows = np.flatnonzero(np.isfinite(ra_deg) & np.isfinite(dec_deg))
        pixel = pixels_of_deg(self.order, ra_deg[rows], dec_deg[rows])
        place = np.minimum(np.searchsorted(self.pixels, pixel), len(self.pixels) - 1)
        return rows[self.pixels[place] == pixel]


class VisitParts(NamedTuple):
    """What a visit has about a region, and how many of its detections are in none of its pieces."""

    info: VisitInfo
    stars: Columns
    summary: Columns
    astray: int = 0


class Pieces(NamedTuple):
    """Pieces of the sky that visits were expected to touch: HEALPix order, pixels by visit."""

    order: int
    of_visit: Mapping[int, Sequence[int]]

    def astray(self, visit: int, ra_deg: Floats, dec_deg: Floats) -> int:
        """Return how many places are in none of a visit's pieces; 0 if it is not asked about."""
        if visit not in self.of_visit:
            return 0
        rows = np.flatnonzero(np.isfinite(ra_deg) & np.isfinite(dec_deg))
        pixel = pixels_of_deg(self.order, ra_deg[rows], dec_deg[rows])
        return int((~np.isin(pixel, self.of_visit[visit])).sum())


def star_columns(needed: Iterable[str], flags: Iterable[str]) -> list[str]:
    """Return the columns of ``initial_stars`` to read.

    Parameters
    ----------
    needed
        What the task uses.
    flags
        Flags that the configuration names.

    Raises
    ------
    InputError
        If there is no such flag.
    """
    known = {c.name: c.type for c in load_schema("initial_stars").columns}
    for flag in flags:
        if known.get(flag) != "bool":
            names = [name for name, kind in known.items() if kind == "bool"]
            raise InputError(
                "associateIsolatedStars.detections.bad_flags",
                f"initial_stars has no flag {flag!r}{suggest(flag, names)}",
                "docs/datasets.md lists its columns",
            )
    taken = [c.name for c in load_schema(_SOURCES).columns if c.name not in _ADDED]
    return list(dict.fromkeys([*needed, *taken, *flags]))


def read_visits(
    visits: Iterable[int],
    options: Mapping[str, Any],
    region: Region,
    columns: list[str],
    summary_columns: Iterable[str],
    pieces: Pieces,
) -> tuple[list[VisitParts], list[InputError]]:
    """Read what visits have about a region.

    Parameters
    ----------
    visits
        The visits.
    options
        ``visit_info``, ``initial_visit_summary`` and ``initial_stars``: paths in which
        ``{visit}`` stands for the visit.
    region
        Where.
    columns
        Of ``initial_stars``.
    summary_columns
        Of ``initial_visit_summary``.
    pieces
        Visits whose detections in none of their pieces are counted.

    Returns
    -------
    found : list of VisitParts
        In the order of `visits`.
    faults : list of InputError
        Visits that cannot be read, and why; the others go on without them.

    Raises
    ------
    InputError
        If none can be read.
    """
    found, faults = [], []
    for visit in visits:
        files = {n: Path(str(options[n]).replace("{visit}", str(visit))) for n in _INPUTS}
        try:
            found.append(_read_visit(files, region, columns, list(summary_columns), pieces))
        except InputError as fault:
            raise_machine_fault(fault)
            faults.append(fault)
        except DrpflowError as fault:
            faults.append(InputError(f"visit {visit}", str(fault), "Run consolidateVisit again"))
    if faults and not found:
        raise faults[0]
    return found, faults


def _read_visit(
    files: Mapping[str, Path],
    region: Region,
    columns: list[str],
    summary_columns: list[str],
    pieces: Pieces,
) -> VisitParts:
    info = read_visit_info(files["visit_info"])
    summary = read_table(files["initial_visit_summary"], summary_columns)
    path = files["initial_stars"]
    places = read_table(path, ["ra", "dec"])
    rows = region.holds(places["ra"], places["dec"])
    stars: Columns = {}
    if rows.size:
        found = read_table(path, columns).select(rows)
        # Copies: Arrow keeps memory that it is given back, numpy returns it.
        stars = {name: np.array(found[name]) for name in columns}
    astray = pieces.astray(info.visit, places["ra"], places["dec"])
    return VisitParts(info, stars, summary.to_dict(), astray)


def astray(parts: Iterable[VisitParts]) -> AlgorithmError | None:
    """Return what is to be said of visits that are not where they were expected, or None."""
    lost = {part.info.visit: part.astray for part in parts if part.astray}
    if not lost:
        return None
    worst = sorted(lost, key=lambda visit: -lost[visit])
    named = ", ".join(f"{visit} ({lost[visit]})" for visit in worst[:_NAMED])
    count = sum(lost.values())
    return AlgorithmError(
        f"{count} detections are lost, in no piece of the sky to which the visit sheet leads: "
        f"visit {named}",
        {"astray_detections": count, "astray_visits": len(lost)},
        "Correct the place of the visit in the visit sheet, or raise skypix.margin_deg; if the "
        "sheet is right, the visit's WCS is wrong",
    )


def write_outputs(stars: Columns, sources: Columns, options: Mapping[str, Any]) -> None:
    """Write the stars and their sources.

    Parameters
    ----------
    stars, sources
        Columns of ``isolated_stars`` and ``isolated_stars_source``, at least; empty for tables
        without rows.
    options
        ``isolated_stars`` and ``isolated_stars_source``: files to write; ``skypix`` and ``order``:
        the piece of the sky. For the provenance ``config`` (the section), ``code``
        (fingerprint), ``visits`` and the patterns of input files.
    """
    about = {"healpix_order": options["order"], "healpix_scheme": "nested"}
    for name, columns in ((_STARS, stars), (_SOURCES, sources)):
        schema = load_schema(name)
        inner = schema.without({"skypix"})
        wanted = {c.name: c.type for c in inner.columns}
        if columns:
            kept = {n: columns[n] for n in wanted}
        else:
            kept = {n: np.zeros(0, "U1" if kind == "str" else kind) for n, kind in wanted.items()}
        table = Table.from_columns(_in_type(kept, wanted), inner, meta=about)
        write_table(
            options[name],
            table,
            schema,
            dataset=name,
            data_id={"skypix": options["skypix"]},
            provenance=_provenance(options),
        )


def _in_type(columns: Columns, kinds: Mapping[str, str]) -> Columns:
    """Return columns whose integers have the width of the schema."""
    return {n: v.astype(kinds[n]) if kinds[n][:3] == "int" else v for n, v in columns.items()}


def _provenance(options: Mapping[str, Any]) -> Provenance:
    visits = str(options.get("visits", ""))
    return Provenance(
        version=__version__,
        task="associateIsolatedStars",
        config=options["config"].model_dump(mode="json"),
        code=options.get("code", ""),
        inputs=tuple({"name": n, "path": str(options[n]), "visits": visits} for n in _INPUTS),
    )
