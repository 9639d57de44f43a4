"""The detections of isolated stars about a piece of the sky, gathered for the astrometric fit.

Files are read one after the other; in memory stay 40 bytes a detection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from drpflow.data.astrometric_tables import Observations, Stars
from drpflow.data.star_color import ColorMeaning
from drpflow.errors import InputError
from drpflow.io.tables import read_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Integers: TypeAlias = NDArray[np.int64]
    Columns: TypeAlias = dict[str, NDArray[Any]]

_STARS = ("isolated_star_id", "ra", "dec", "reserved")
_SOURCES = ("isolated_star_id", "visit", "detector", "x", "y", "xErr", "yErr", "x_y_Cov")
_COLORS = ("isolated_star_id", "band", "color", "color_assumed")


class PieceFiles(NamedTuple):
    """Tables of one piece of the association: stars, their detections, their magnitudes."""

    stars: Path
    sources: Path
    standard_stars: Path


@dataclass(frozen=True, eq=False)
class Gathered:
    """Stars and their detections.

    Parameters
    ----------
    stars
        Stars with detections that count, without reference.
    piece
        HEALPix pixel of the association of each, shape (S,).
    observations
        Their detections.
    color
        What their colours are.
    """

    stars: Stars
    piece: Integers
    observations: Observations
    color: ColorMeaning


def gather_stars(
    files: Sequence[tuple[int, PieceFiles]], visits: Sequence[int], detectors: Sequence[int]
) -> Gathered:
    """Read stars and detections of pieces of the sky.

    Parameters
    ----------
    files
        HEALPix pixel and tables of each piece.
    visits, detectors
        Those whose detections count; rows of the observations count them in this order.

    Raises
    ------
    MissingDatasetError
        If a file does not exist.
    InputError
        If a file is of another kind, a detection belongs to no star, or the colours of two pieces
        are not of one run.
    """
    stars, found = [_no_stars()], [_no_detections()]
    color = ColorMeaning()
    first = 0
    for piece, paths in files:
        part, color = _stars(piece, paths, color)
        columns = _detections(paths.sources, part["id"], visits, detectors)
        columns["star"] += first
        stars.append(part)
        found.append(columns)
        first += part["id"].size
    columns = {name: np.concatenate([part.pop(name) for part in found]) for name in [*found[0]]}
    seen = np.bincount(columns["star"], minlength=first) > 0
    columns["star"] = (np.cumsum(seen) - 1)[columns["star"]]
    whole = {name: np.concatenate([part[name] for part in stars])[seen] for name in stars[0]}
    piece_of: Integers = whole.pop("piece")
    gathered = Stars(reference=None, **whole)
    return Gathered(gathered, piece_of, Observations(**columns), color)


def _no_stars() -> Columns:
    integers, floats = np.zeros(0, np.int64), np.zeros(0)
    columns: Columns = {"id": integers, "ra_deg": floats, "dec_deg": floats, "color": floats}
    return columns | {"reserved": np.zeros(0, np.bool_), "piece": integers}


def _no_detections() -> Columns:
    integers, floats = np.zeros(0, np.intp), np.zeros(0)
    columns: Columns = dict.fromkeys(("star", "visit", "detector"), integers)
    return columns | dict.fromkeys(("x", "y", "xx", "xy", "yy"), floats)


def _stars(piece: int, paths: PieceFiles, meaning: ColorMeaning) -> tuple[Columns, ColorMeaning]:
    """Return the columns of the stars of a piece, and what colours are there."""
    given = read_table(paths.stars, list(_STARS)).to_dict()
    standard = read_table(paths.standard_stars, list(_COLORS))
    table = standard.to_dict()
    meaning = _same_meaning(paths.standard_stars, ColorMeaning.from_meta(standard.meta), meaning)
    ids = given["isolated_star_id"]
    color = np.full(ids.size, np.nan)
    row = rows_of(ids, table["isolated_star_id"])
    known = (row >= 0) & ~table["color_assumed"].astype(bool)
    color[row[known]] = table["color"][known]
    columns: Columns = {
        "id": ids,
        "ra_deg": given["ra"],
        "dec_deg": given["dec"],
        "color": color,
        "reserved": given["reserved"].astype(bool),
        "piece": np.full(ids.size, piece, np.int64),
    }
    return columns, meaning


def _same_meaning(path: Path, found: ColorMeaning, before: ColorMeaning) -> ColorMeaning:
    """Return what colours are, which all pieces of a run must agree on."""
    if found.bands and before.bands and found != before:
        problem = f"its colours are {found}, those of other pieces {before}"
        raise InputError(path, problem, "They are of two runs of fgcm: run it again")
    return found if found.bands else before


def _detections(
    path: Path, star_ids: Integers, visits: Sequence[int], detectors: Sequence[int]
) -> Columns:
    """Return the columns of observations of a file; ``star`` counts `star_ids`."""
    given = read_table(path, list(_SOURCES)).to_dict()
    visit = rows_of(np.array(visits, np.int64), given["visit"])
    detector = rows_of(np.array(detectors, np.int64), given["detector"])
    kept = (visit >= 0) & (detector >= 0)
    star = rows_of(star_ids, given["isolated_star_id"][kept])
    if (star < 0).any():
        lost = int(given["isolated_star_id"][kept][star < 0][0])
        problem = f"star {lost} is not among the isolated stars"
        raise InputError(path, problem, "Associate the stars again")
    return {
        "star": star,
        "visit": visit[kept],
        "detector": detector[kept],
        "x": given["x"][kept].astype(float),
        "y": given["y"][kept].astype(float),
        "xx": given["xErr"][kept].astype(float) ** 2,
        "xy": given["x_y_Cov"][kept].astype(float),
        "yy": given["yErr"][kept].astype(float) ** 2,
    }


def rows_of(table: NDArray[Any], values: NDArray[Any]) -> NDArray[np.intp]:
    """Return where values stand in a table of distinct numbers, -1 for those that it lacks."""
    if not table.size:
        return np.full(values.size, -1, np.intp)
    order = np.argsort(table, kind="stable")
    place = np.minimum(np.searchsorted(table, values, sorter=order), table.size - 1)
    row = order[place]
    return np.where(table[row] == values, row, -1)
