"""The files of finalizeAstrometry: what its script reads and writes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from drpflow.data.astrometric_survey import SecondSurvey, SolvedPiece
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.sky_wcs import SkyWcs
from drpflow.errors import DrpflowError, InputError, MissingDatasetError, raise_machine_fault
from drpflow.io import astrometric_files
from drpflow.io.astrometric_sources import rows_of
from drpflow.io.cache import ComponentCache
from drpflow.io.component_tables import ComponentRows
from drpflow.io.schemas import load_schema
from drpflow.io.tables import read_table
from drpflow.io.visit_info_files import path_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from drpflow.data.astrometric_survey import AstrometricSurvey, VisitInput
    from drpflow.data.astrometric_tables import Observations

    Columns: TypeAlias = dict[str, NDArray[Any]]

_CENTROIDS = "final_characterization_stars"
_COLUMNS = ("isolated_star_id", "detector", "x", "y", "xErr", "yErr", "x_y_Cov", "centroid_flag")
_SOLVED = tuple(f"solved_astrometry_{name}" for name in ("wcs", "stars", "visits", "residuals"))
# Columns of the table of WCSs that are made anew when it is written.
_MADE = ("sip_header", "sip_error")
# What is read by name is imported here by statement, so that its code counts.
_KIND = SkyWcs


class _Centroids(NamedTuple):
    """Final centroids, by a number of star, visit and detector that rises."""

    key: NDArray[np.int64]
    columns: Columns


def read_inputs(options: Mapping[str, Any], visits: list[int], pieces: list[int]) -> SecondSurvey:
    """Read everything about a piece of the sky.

    Parameters
    ----------
    options
        What :func:`drpflow.io.astrometric_files.read_inputs` takes;
        ``final_characterization_stars`` with ``{visit}``; ``solved_astrometry_wcs`` with
        ``{visit}`` and ``{skypix}``; ``solved_astrometry_stars``, ``solved_astrometry_visits`` and
        ``solved_astrometry_residuals``.
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
    survey = astrometric_files.read_inputs(options, visits, pieces)
    solved = read_solution(options, visits)
    known = [_with_solved(item, solved) for item in survey.visits]
    survey = replace(survey, visits=known)
    centroids, without = _read_centroids(survey, options[_CENTROIDS])
    if centroids is None:
        none = survey.observations.take(np.zeros(0, np.intp))
        lost = {**survey.unreadable, **without}
        nothing = replace(survey, visits=[], unreadable=lost, observations=none)
        return SecondSurvey(nothing, none, len(survey.observations), solved)
    observations, rows = _final(survey, centroids, without)
    return SecondSurvey(
        replace(survey, observations=observations),
        survey.observations.take(rows),
        len(survey.observations) - rows.size,
        solved,
        without,
    )


def _with_solved(item: VisitInput, solved: SolvedPiece) -> VisitInput:
    """Return a visit whose first WCSs are those of the first solution, where that has them."""
    table = solved.wcs.get(item.info.visit)
    if table is None:
        return item
    found = {d: row.components.get("wcs") for d, row in table.rows.items() if d in item.wcs}
    better = {d: wcs for d, wcs in found.items() if wcs is not None}
    return replace(item, wcs={**item.wcs, **better})


def _read_centroids(
    survey: AstrometricSurvey, pattern: str
) -> tuple[_Centroids | None, dict[int, str]]:
    """Return the final centroids, None if there are none, and why visits are without."""
    parts, without = [], {}
    for row, visit in enumerate(item.info.visit for item in survey.visits):
        try:
            table = read_table(path_of(pattern, visit=visit), list(_COLUMNS)).to_dict()
        except DrpflowError as fault:
            without[visit] = f"its final centroids cannot be read ({fault})"
            continue
        good = ~table["centroid_flag"].astype(bool)
        if good.any():
            parts.append({"visit": np.full(int(good.sum()), row), **_rows(table, good)})
        else:
            without[visit] = "none of its stars has a final centroid"
    if not parts:
        return None, without
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return _keyed(columns, survey), without


def _final(
    survey: AstrometricSurvey, centroids: _Centroids, without: Collection[int]
) -> tuple[Observations, NDArray[np.intp]]:
    """Return the detections with final centroids, and which they are.

    A star that a visit shows twice on a detector has none: which of the two it would be is open.
    Detections of visits that have none at all stay as they were.
    """
    obs = survey.observations
    key = _key(obs.star, obs.visit, obs.detector, survey)
    at = np.minimum(np.searchsorted(centroids.key, key), max(centroids.key.size - 1, 0))
    found = centroids.key[at] == key if centroids.key.size else np.zeros(key.size, np.bool_)
    _, which, number = np.unique(key, return_inverse=True, return_counts=True)
    found &= number[which] == 1
    stays = np.array([item.info.visit in without for item in survey.visits], np.bool_)[obs.visit]
    rows = np.flatnonzero(found | stays)
    final = obs.take(rows)
    moved = _replaced(final, {n: v[at[rows]] for n, v in centroids.columns.items()})
    names = ("x", "y", "xx", "xy", "yy")
    chosen = {n: np.where(stays[rows], getattr(final, n), getattr(moved, n)) for n in names}
    return replace(final, **chosen), rows


def _rows(table: Columns, good: NDArray[np.bool_]) -> Columns:
    return {name: table[name][good] for name in _COLUMNS if name != "centroid_flag"}


def _keyed(columns: Columns, survey: AstrometricSurvey) -> _Centroids:
    """Return the centroids of stars and detectors of the survey, each once."""
    detectors = np.array([d.id for d in survey.camera.detectors], np.int64)
    star = rows_of(survey.stars.id, columns["isolated_star_id"])
    detector = rows_of(detectors, columns["detector"])
    good = np.flatnonzero((star >= 0) & (detector >= 0))
    key = _key(star[good], columns["visit"][good], detector[good], survey)
    unique, first, number = np.unique(key, return_index=True, return_counts=True)
    once = number == 1
    rows = good[first[once]]
    return _Centroids(unique[once], {name: values[rows] for name, values in columns.items()})


def _key(
    star: NDArray[Any], visit: NDArray[Any], detector: NDArray[Any], survey: AstrometricSurvey
) -> NDArray[np.int64]:
    n_visits, n_detectors = len(survey.visits), len(survey.camera.detectors)
    return (star.astype(np.int64) * n_visits + visit) * n_detectors + detector


def _replaced(given: Observations, columns: Columns) -> Observations:
    """Return detections with other centroids."""
    return replace(
        given,
        x=columns["x"].astype(np.float64),
        y=columns["y"].astype(np.float64),
        xx=(columns["xErr"].astype(np.float64) ** 2).astype(np.float32),
        xy=columns["x_y_Cov"].astype(np.float32),
        yy=(columns["yErr"].astype(np.float64) ** 2).astype(np.float32),
    )


def read_solution(options: Mapping[str, Any], visits: Iterable[int]) -> SolvedPiece:
    """Read what solveAstrometry has made of a piece of the sky.

    Parameters
    ----------
    options
        ``solved_astrometry_wcs`` with ``{visit}`` and ``{skypix}``, ``solved_astrometry_stars``,
        ``solved_astrometry_visits``, ``solved_astrometry_residuals``; ``skypix``.
    visits
        Visits that touch the piece; those without a file have no WCSs.

    Raises
    ------
    InputError
        If a file is faulty.
    MissingDatasetError
        If a table of the piece is missing.
    """
    wcs: dict[int, ComponentTable] = {}
    for visit in visits:
        path = path_of(options[_SOLVED[0]], visit=visit, skypix=options["skypix"])
        if path.exists():
            wcs[visit] = _wcs_table(path)
    tables = {name: read_table(options[name]) for name in _SOLVED[1:]}
    stars, of_visits, residuals = (_inner(t.to_dict(), name) for name, t in tables.items())
    meta = tables["solved_astrometry_visits"].meta
    return SolvedPiece(
        wcs,
        stars,
        of_visits,
        residuals,
        reference_color=float(meta.get("reference_color", float("nan"))),
        color_bands=tuple(meta.get("color_bands", ())),
        notes=tuple(meta.get("notes", ())),
        held=tuple(meta.get("held", ())),
        method=str(meta.get("provenance", {}).get("config", {}).get("method", "")),
    )


def _inner(columns: Columns, name: str) -> Columns:
    """Return the columns without the data ID."""
    return {c.name: columns[c.name] for c in load_schema(name).without({"skypix"}).columns}


def _wcs_table(path: Path) -> ComponentTable:
    """Return the WCSs of a visit."""
    inner = load_schema(_SOLVED[0]).without({"skypix", "visit", "detector", *_MADE})
    names = [c.name for c in inner.columns]
    table = read_table(path, ["detector", *names]).to_dict()
    cells = ComponentRows(path, "detector", ComponentCache())
    rows = {}
    for detector in table.pop("detector").tolist():
        try:
            rows[int(detector)] = ComponentRow({"wcs": cells.component("wcs", int(detector))})
        except MissingDatasetError:
            why = cells.missing("wcs", int(detector)) or ""
            rows[int(detector)] = ComponentRow({}, {"wcs": why})
        except InputError as fault:
            raise_machine_fault(fault)
            rows[int(detector)] = ComponentRow({}, {"wcs": str(fault)})
    return ComponentTable(rows, table)


def write_outputs(
    outputs: SolvedPiece, passed_on: str, about: Mapping[str, float], options: Mapping[str, Any]
) -> None:
    """Write all products; files whose bytes would not change are not touched.

    Parameters
    ----------
    outputs
        The products.
    passed_on
        Which fit they are of, as the metadata of all tables tell.
    about
        What the metadata of the table of visits tell besides.
    options
        As for :func:`drpflow.io.astrometric_files.write_outputs`, with ``final_astrometry``.
    """
    stage = astrometric_files.Stage(
        "finalizeAstrometry",
        "final_astrometry",
        (*astrometric_files.INPUTS, _CENTROIDS, *_SOLVED),
        {"passed_on": passed_on},
    )
    astrometric_files.write_outputs(outputs, options, stage, about)
