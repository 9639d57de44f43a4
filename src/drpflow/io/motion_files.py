"""The files of fitStellarMotions: what its script reads and writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow import __version__
from drpflow.data.motion_input import MATCH_COLUMNS, SOURCE_COLUMNS, MotionInput, SolvedVisits
from drpflow.data.provenance import Provenance
from drpflow.errors import AlgorithmError, DrpflowError, InputError, raise_machine_fault, suggest
from drpflow.io.match_files import JOIN, MATCHES, read_references, write_piece
from drpflow.io.schemas import load_schema
from drpflow.io.tables import read_table
from drpflow.io.visit_info_files import path_of, read_visit_info

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Columns: TypeAlias = dict[str, NDArray[Any]]

MOTIONS = "stellar_motions"
"""The dataset type that is written."""
_OF_VISIT = ("visit_info", "source", "final_visit_summary")
_INPUTS = (*_OF_VISIT, MATCHES, JOIN, "final_astrometry_visits")
_JOIN_COLUMNS = ("source_match_id", "sourceId", "visit", "detector")
_DETECTOR_COLUMNS = ("detector", "wcs_skypix", "wcs_error")
_REFRACTION = ("dcr_east", "dcr_north")


def known_flags(flags: Iterable[str]) -> list[str]:
    """Return flags of ``source`` that a configuration names.

    Raises
    ------
    InputError
        If there is no such flag.
    """
    known = {c.name: c.type for c in load_schema("source").columns}
    names = [name for name, kind in known.items() if kind == "bool"]
    for flag in flags:
        if flag not in names:
            raise InputError(
                "fitStellarMotions.noise.bad_flags",
                f"source has no flag {flag!r}{suggest(flag, names)}",
                "docs/datasets.md lists its columns",
            )
    return list(flags)


def read_inputs(
    options: Mapping[str, Any], visits: Sequence[int], pieces: Sequence[int]
) -> tuple[MotionInput, list[InputError]]:
    """Read everything about a piece of the sky.

    Parameters
    ----------
    options
        ``visit_info``, ``source`` and ``final_visit_summary`` with ``{visit}``;
        ``source_matches`` and ``source_matches_join``; ``final_astrometry_visits`` with
        ``{skypix}``; ``reference_stars`` or None; ``skypix`` and ``order``: the piece; ``config``.
    visits
        Visits that touch the piece.
    pieces
        Pieces of the astrometric solution that these touch.

    Returns
    -------
    given : MotionInput
        Sources of visits that cannot be read are not usable.
    faults : list of InputError
        Why they cannot.

    Raises
    ------
    InputError
        If the groups cannot be read.
    """
    matches = read_table(options[MATCHES], list(MATCH_COLUMNS))
    join = read_table(options[JOIN], list(_JOIN_COLUMNS)).to_dict()
    flags = known_flags(options["config"].noise.bad_flags)
    faults: list[InputError] = []
    rows = _empty_rows(join)
    mjd, band, parts = {}, {}, [_no_detectors()]
    for visit in visits:
        try:
            info = read_visit_info(path_of(options["visit_info"], visit=visit))
            parts.append(_detectors(path_of(options["final_visit_summary"], visit=visit), visit))
            _fill(rows, path_of(options["source"], visit=visit), visit, flags)
        except InputError as fault:
            raise_machine_fault(fault)
            faults.append(fault)
            continue
        except DrpflowError as fault:
            remedy = "Run the task that makes the file again"
            faults.append(InputError(f"visit {visit}", str(fault), remedy))
            continue
        mjd[visit] = float("nan") if info.mjd is None else info.mjd
        band[visit] = info.band
    detectors = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    solved, lost = _solved(options["final_astrometry_visits"], pieces)
    references = read_references(
        options.get("reference_stars"), int(options["order"]), int(options["skypix"])
    )
    given = MotionInput(
        matches.to_dict(), rows, mjd, band, detectors, solved, references,
        float(matches.meta.get("min_snr", 5.0)),
    )  # fmt: skip
    return given, faults + lost


def _empty_rows(join: Columns) -> Columns:
    """Return the rows of all sources before they are read: none is usable."""
    n = join["sourceId"].size
    rows: Columns = {name: np.asarray(join[name]) for name in _JOIN_COLUMNS}
    rows |= {name: np.full(n, np.nan) for name in SOURCE_COLUMNS if name != "sourceId"}
    return rows | {"usable": np.zeros(n, bool)}


def _fill(rows: Columns, path: Path, visit: int, flags: Sequence[str]) -> None:
    """Fill the rows of a visit."""
    mine = np.flatnonzero(rows["visit"] == visit)
    if not mine.size:
        return
    table = read_table(path, [*SOURCE_COLUMNS, *flags]).to_dict()
    order = np.argsort(table["sourceId"], kind="stable")
    wanted = rows["sourceId"][mine]
    place = np.searchsorted(table["sourceId"], wanted, sorter=order)
    place = order[np.minimum(place, max(order.size - 1, 0))] if order.size else place
    same = table["sourceId"][place] == wanted if order.size else np.zeros(mine.size, bool)
    if not same.all():
        problem = f"it lacks {int((~same).sum())} sources that are matched"
        raise InputError(path, problem, "Run matchSource again")
    for name in SOURCE_COLUMNS:
        if name != "sourceId":
            rows[name][mine] = table[name][place]
    bad = np.zeros(mine.size, bool)
    for flag in flags:
        bad |= table[flag][place].astype(bool)
    rows["usable"][mine] = ~bad


def _detectors(path: Path, visit: int) -> Columns:
    table = read_table(path, list(_DETECTOR_COLUMNS)).to_dict()
    return {"visit": np.full(table["detector"].size, visit, np.int64), **table}


def _no_detectors() -> Columns:
    integers = np.zeros(0, np.int64)
    columns = dict.fromkeys(("visit", "detector", "wcs_skypix"), integers)
    return {**columns, "wcs_error": np.zeros(0)}


def _solved(pattern: str, pieces: Sequence[int]) -> tuple[SolvedVisits, list[InputError]]:
    """Return what astrometric solutions say of visits, and why some are silent."""
    parts, faults = [], []
    color, bands = float("nan"), ()
    for piece in pieces:
        try:
            table = read_table(path_of(pattern, skypix=piece))
        except DrpflowError as fault:
            remedy = "Run finalizeAstrometry again"
            faults.append(InputError(path_of(pattern, skypix=piece), str(fault), remedy))
            continue
        columns = table.to_dict()
        columns["skypix"] = np.full(columns["visit"].size, piece, np.int64)
        parts.append(columns)
        color = float(table.meta.get("reference_color", color))
        bands = tuple(table.meta.get("color_bands", bands))
    return _joined(parts, color, bands), faults


def _joined(parts: Sequence[Columns], color: float, bands: tuple[str, ...]) -> SolvedVisits:
    def column(name: str, kind: type) -> NDArray[Any]:
        return np.concatenate([np.zeros(0, kind), *(p[name].astype(kind) for p in parts)])

    pair = np.stack([column(name, float) for name in _REFRACTION], axis=1)
    errors = np.stack([column(f"{name}_err", float) for name in _REFRACTION], axis=1)
    numbers = column("visit", np.int64), column("skypix", np.int64)
    return SolvedVisits(*numbers, column("floor", float), pair, errors, color, bands)


def trouble(faults: Sequence[InputError]) -> AlgorithmError | None:
    """Return what is to be said of files that could not be read, or None."""
    if not faults:
        return None
    return AlgorithmError(
        f"{len(faults)} files cannot be read, the first: {faults[0]}",
        {"unreadable_files": len(faults)},
        "Run the tasks that make them again",
    )


def write_outputs(columns: Columns, notes: Sequence[str], options: Mapping[str, Any]) -> None:
    """Write the stars.

    Parameters
    ----------
    columns
        Columns of ``stellar_motions``; empty for a table without rows.
    notes
        What is to be known of them.
    options
        ``stellar_motions``: file to write; ``skypix`` and ``order``: the piece of the sky. For the
        provenance ``config`` (the section), ``code`` (fingerprint) and the paths of inputs.
    """
    about = {"healpix_order": options["order"], "healpix_scheme": "nested", "notes": list(notes)}
    names = (*_INPUTS, "reference_stars")
    inputs = [{"name": n, "path": str(options[n])} for n in names if options.get(n)]
    provenance = Provenance(
        version=__version__,
        task="fitStellarMotions",
        config=options["config"].model_dump(mode="json"),
        code=options.get("code", ""),
        inputs=tuple(inputs),
    )
    write_piece(options[MOTIONS], MOTIONS, columns, options["skypix"], about, provenance)
