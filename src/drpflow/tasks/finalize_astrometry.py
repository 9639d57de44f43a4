"""finalizeAstrometry: the solution of solveAstrometry again, from final centroids.

    final centroids -> what they let expect of the WCSs -> if that is too little to be worth it,
    the first solution passed on -> else the same fit, started from it -> what it has changed

``docs/tasks/finalizeAstrometry.md`` has inputs, products and figures.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_change import (
    am1_change,
    expected_change_mas,
    wcs_change_mas,
)
from drpflow.data.component_table import ComponentTable
from drpflow.tasks.solve_astrometry import Solved, median_known, problem_of, solve_astrometry
from drpflow.tasks.solve_astrometry import nothing as nothing_solved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit import Pass
    from drpflow.config.finalize_astrometry import FinalizeAstrometryConfig
    from drpflow.data.astrometric_survey import SecondSurvey, SolvedPiece

    Numbers: TypeAlias = dict[str, float | int | str]
    Floats: TypeAlias = NDArray[np.float64]

Fit: TypeAlias = Literal["solved_astrometry", "final_astrometry"]


@dataclass(frozen=True, eq=False)
class Finalized(Solved):
    """What finalizeAstrometry makes: as solveAstrometry, with ``change`` in the tables of WCSs.

    Parameters
    ----------
    passed_on
        Which fit the products are of.
    about
        What the metadata of the table of visits tell, beside what those of solveAstrometry do.
    """

    passed_on: Fit = "final_astrometry"
    about: Mapping[str, float] = field(default_factory=dict)


def finalize_astrometry(
    given: SecondSurvey,
    config: FinalizeAstrometryConfig,
    progress: Callable[[Pass], None] | None = None,
) -> Finalized:
    """Solve the astrometry of a piece of the sky again.

    Parameters
    ----------
    given
        Final centroids, and the first solution.
    config
        The section ``finalizeAstrometry``.
    progress
        Called after each pass.

    Raises
    ------
    AlgorithmError
        If no visit can be solved.
    """
    expected = _expected_mas(given)
    spared = config.method == given.solved.method and expected < config.min_change_mas
    solved = _passed_on(given.solved) if spared else _solved(given, config, progress)
    changes = {
        visit: _changes_mas(given.solved.wcs.get(visit), table)
        for visit, table in solved.wcs.items()
    }
    about = {
        "expected_change": expected,
        "median_change": median_known(np.concatenate([np.zeros(0), *changes.values()])),
        **_am1(given.solved, solved),
    }
    about = {name: value for name, value in about.items() if np.isfinite(value)}
    return _finalized(solved, changes, "solved_astrometry" if spared else "final_astrometry", about)


def _finalized(
    solved: Solved, changes: Mapping[int, Floats], passed_on: Fit, about: Mapping[str, float]
) -> Finalized:
    """Return a solution with what it has changed."""
    wcs = {
        visit: ComponentTable(table.rows, {**table.columns, "change": changes[visit]})
        for visit, table in solved.wcs.items()
    }
    numbers = {f"{name}_mas": round(value, 3) for name, value in about.items()}
    told = {"wcs": wcs, "numbers": solved.numbers | {"passed_on": passed_on} | numbers}
    return Finalized(**{**vars(solved), **told}, passed_on=passed_on, about=about)


def _expected_mas(given: SecondSurvey) -> float:
    """Return the median change of the WCSs that the centroids let expect; NaN without any."""
    scale = _pixel_scale_arcsec(given)
    changes = expected_change_mas(given.first_centroids, given.survey.observations, scale)
    return median_known(changes)


def _pixel_scale_arcsec(given: SecondSurvey) -> float:
    camera = given.survey.camera
    pixel_mm = float(np.median([d.pixel_size_mm for d in camera.detectors]))
    return pixel_mm * camera.optics.plate_scale_arcsec_per_mm


def _solved(
    given: SecondSurvey,
    config: FinalizeAstrometryConfig,
    progress: Callable[[Pass], None] | None,
) -> Solved:
    made = solve_astrometry(given.survey, config, progress)
    notes = [f"visit {v} by its first centroids: {why}" for v, why in given.without.items()]
    if given.n_lost:
        notes.append(f"{given.n_lost} detections of the first solution have no final centroid")
    return replace(
        made,
        numbers=made.numbers | {"n_by_first_centroids": len(given.without)},
        notes=(*notes, *made.notes),
    )


def _passed_on(first: SolvedPiece) -> Solved:
    """Return the first solution as that of this task."""
    rows = zip(*(first.visits[n].tolist() for n in ("visit", "reason", "solved")), strict=True)
    lost = {int(visit): str(reason) for visit, reason, solved in rows if not solved}
    numbers: Numbers = {
        "n_visits": int(np.sum(first.visits["solved"])),
        "n_stars": len(first.stars["isolated_star_id"]),
        "n_observations": len(first.residuals["visit"]),
        "n_lost_visits": len(lost),
    }
    return Solved(**vars(first), numbers=numbers, problem=problem_of(lost))


def _changes_mas(before: ComponentTable | None, after: ComponentTable) -> Floats:
    """Return by how much the WCS of each row has changed."""
    changes = []
    for detector, row in after.rows.items():
        old = None
        if before is not None and detector in before.rows:
            old = before.component("wcs", detector)
        changes.append(wcs_change_mas(old, row.components.get("wcs")))
    return np.array(changes, np.float64)


def _am1(before: SolvedPiece, after: SolvedPiece) -> dict[str, float]:
    """Return AM1 before and after, of the stars of the fit and of reserved ones."""
    found: dict[str, float] = {}
    for name, reserved in (("am1", False), ("am1_reserved", True)):
        change = am1_change(before.residuals, after.residuals, reserved=reserved)
        found |= {f"{name}_before": change.before, f"{name}_after": change.after}
    return found


def nothing(visits: Iterable[int], detectors: Iterable[int], why: str) -> Finalized:
    """Return the products of a solution that failed: no WCS, and in every row the reason.

    Parameters
    ----------
    visits
        The visits.
    detectors
        Detectors of the camera.
    why
        What failed.
    """
    solved = nothing_solved(visits, detectors, why)
    changes = {visit: np.full(len(table.rows), np.nan) for visit, table in solved.wcs.items()}
    return _finalized(solved, changes, "final_astrometry", {})
