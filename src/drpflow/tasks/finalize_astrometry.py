"""finalizeAstrometry: the solution of solveAstrometry again, from final centroids.

    final centroids -> what they let expect of the WCSs -> if that is too little to be worth it,
    the first solution passed on -> else the same fit, started from it -> what it has changed

``docs/tasks/finalizeAstrometry.md`` has inputs, products and figures.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_change import (
    am1_change,
    expected_change_mas,
    wcs_change_mas,
)
from drpflow.data.component_table import ComponentTable
from drpflow.tasks.solve_astrometry import Solved, problem_of, solve_astrometry
from drpflow.tasks.solve_astrometry import nothing as nothing_solved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit import Pass
    from drpflow.config.finalize_astrometry import FinalizeAstrometryConfig
    from drpflow.data.astrometric_survey import FirstSolution, SecondSurvey
    from drpflow.errors import AlgorithmError

    Numbers: TypeAlias = dict[str, float | int | str]
    Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Finalized:
    """What finalizeAstrometry makes.

    Parameters
    ----------
    solved
        The products, in the form of those of solveAstrometry; the tables of WCSs have a column
        ``change``.
    passed_on
        Which fit they are of.
    about
        What the metadata of the tables tell, beside what those of solveAstrometry do.
    """

    solved: Solved
    passed_on: Literal["solved_astrometry", "final_astrometry"]
    about: Mapping[str, float | str]

    @property
    def numbers(self) -> Numbers:
        """Figures for the status file."""
        return self.solved.numbers

    @property
    def problem(self) -> AlgorithmError | None:
        """Why visits have no solution, or None if all have."""
        return self.solved.problem


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
    wcs = {
        visit: ComponentTable(table.rows, {**table.columns, "change": changes[visit]})
        for visit, table in solved.wcs.items()
    }
    about: dict[str, float | str] = {
        "passed_on": "solved_astrometry" if spared else "final_astrometry",
        "expected_change": expected,
        "median_change": _median([*changes.values()]),
        **_am1(given, solved),
    }
    kept = {k: v for k, v in about.items() if isinstance(v, str) or np.isfinite(v)}
    numbers = {k if isinstance(v, str) else f"{k}_mas": v for k, v in kept.items()}
    rounded = {k: v if isinstance(v, str) else round(v, 3) for k, v in numbers.items()}
    return Finalized(
        replace(solved, wcs=wcs, numbers=solved.numbers | rounded),
        "solved_astrometry" if spared else "final_astrometry",
        kept,
    )


def _expected_mas(given: SecondSurvey) -> float:
    """Return the median change of the WCSs that the centroids let expect; NaN without any."""
    scale = _pixel_scale_arcsec(given)
    changes = expected_change_mas(given.first_centroids, given.survey.observations, scale)
    return _median([changes])


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
    if not given.n_lost:
        return made
    note = f"{given.n_lost} detections of the first solution have no final centroid"
    return replace(made, notes=(note, *made.notes))


def _passed_on(first: FirstSolution) -> Solved:
    """Return the first solution as that of this task."""
    rows = zip(*(first.visits[n].tolist() for n in ("visit", "reason", "solved")), strict=True)
    lost = {int(visit): str(reason) for visit, reason, solved in rows if not solved}
    numbers: Numbers = {
        "n_visits": int(np.sum(first.visits["solved"])),
        "n_stars": len(first.stars["isolated_star_id"]),
        "n_observations": len(first.residuals["visit"]),
        "n_lost_visits": len(lost),
    }
    return Solved(
        dict(first.wcs),
        dict(first.stars),
        dict(first.visits),
        dict(first.residuals),
        numbers,
        problem_of(lost),
        first.notes,
        first.held,
        first.reference_color,
        first.color_bands,
    )


def _changes_mas(before: ComponentTable | None, after: ComponentTable) -> Floats:
    """Return by how much the WCS of each row has changed."""
    changes = []
    for detector, row in after.rows.items():
        old = None
        if before is not None and detector in before.rows:
            old = before.component("wcs", detector)
        changes.append(wcs_change_mas(old, row.components.get("wcs")))
    return np.array(changes, np.float64)


def _am1(given: SecondSurvey, solved: Solved) -> dict[str, float]:
    """Return AM1 before and after, of the stars of the fit and of reserved ones."""
    found: dict[str, float] = {}
    for name, reserved in (("am1", False), ("am1_reserved", True)):
        change = am1_change(given.solved.residuals, solved.residuals, reserved=reserved)
        found |= {f"{name}_before": change.before, f"{name}_after": change.after}
    return found


def _median(parts: Iterable[Floats]) -> float:
    values = np.concatenate([np.zeros(0), *parts])
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


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
    wcs = {
        visit: ComponentTable(
            table.rows, {**table.columns, "change": np.full(len(table.rows), np.nan)}
        )
        for visit, table in solved.wcs.items()
    }
    about = {"passed_on": "final_astrometry"}
    return Finalized(replace(solved, wcs=wcs), "final_astrometry", about)
