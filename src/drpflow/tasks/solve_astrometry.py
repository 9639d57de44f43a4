"""solveAstrometry: WCSs of all visits about a piece of the sky, and its stars, from one fit.

``docs/tasks/solveAstrometry.md`` has inputs, products and figures,
``docs/algorithms/astrometric_fit.md`` the model.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_fit import solve
from drpflow.algorithms.astrometric_input import references_of, visits_of
from drpflow.algorithms.astrometric_products import (
    lost_visit_columns,
    residual_columns,
    star_columns,
    visit_columns,
)
from drpflow.data.astrometric_survey import SolvedPiece
from drpflow.data.astrometric_tables import Detectors
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit import AstrometrySolution, Pass
    from drpflow.config.solve_astrometry_task import SolveAstrometryTaskConfig
    from drpflow.data.astrometric_survey import AstrometricSurvey, VisitInput
    from drpflow.data.astrometric_tables import Observations, Stars
    from drpflow.data.sky_wcs import SkyWcs

    Floats: TypeAlias = NDArray[np.float64]
    Numbers: TypeAlias = dict[str, float | int | str]

# Bands between which the colour of the configuration's reference star is known.
_COLOR = ("g", "i")
# Sentences in the status file; the table of visits has all.
_MOST_TOLD = 10


@dataclass(frozen=True, eq=False)
class Solved(SolvedPiece):
    """What solveAstrometry makes.

    Parameters
    ----------
    numbers
        Figures for the status file.
    problem
        Why visits have no solution, or None if all have.
    """

    numbers: Numbers = field(default_factory=dict)
    problem: AlgorithmError | None = None


def solve_astrometry(
    survey: AstrometricSurvey,
    config: SolveAstrometryTaskConfig,
    progress: Callable[[Pass], None] | None = None,
) -> Solved:
    """Solve the astrometry of a piece of the sky.

    Parameters
    ----------
    survey
        What was measured.
    config
        The section ``solveAstrometry``.
    progress
        Called after each pass.

    Raises
    ------
    AlgorithmError
        If no visit can be solved.
    """
    chosen, observations, lost = _solvable(survey)
    if not chosen or not len(observations):
        why = _first(lost) or "no isolated star was seen by these visits"
        numbers = {"n_visits": len(chosen), "n_lost_visits": len(lost)}
        raise AlgorithmError("no visit can be solved", numbers, why)
    visits = visits_of(chosen, survey.camera)
    detectors = Detectors.from_camera(survey.camera)
    stars, reference_id = _with_references(survey, float(np.mean(visits.mjd)), config)
    config, note = _with_reference_color(config, survey)
    solution = _method(config)(
        observations,
        visits,
        detectors,
        stars,
        config,
        start=_start(chosen, detectors),
        progress=progress,
        held=survey.maps,
    )
    for row in np.flatnonzero(~solution.visits.solved):
        lost[int(visits.id[row])] = solution.visits.reason[row]
    notes = (*note, *solution.notes)
    tables = visits, detectors, stars
    return Solved(
        _wcs_tables(survey, _Products(solution, chosen, detectors), lost),
        star_columns(solution.stars, stars, reference_id, survey.owned),
        visit_columns(solution, visits, survey.visits, lost),
        residual_columns(solution, chosen, tables, observations, survey.owned),
        notes,
        solution.held,
        config.model.reference_color_mag,
        survey.color.bands,
        config.method,
        _numbers(solution, len(visits), notes) | {"n_lost_visits": len(lost)},
        problem_of(lost),
    )


def _wcs_tables(
    survey: AstrometricSurvey, products: _Products, lost: Mapping[int, str]
) -> dict[int, ComponentTable]:
    """Return the WCSs of all visits; where there are none, rows that say why."""
    every = [d.id for d in survey.camera.detectors]
    wcs = {v: no_wcs(every, why) for v, why in survey.unreadable.items()}
    wcs |= {
        item.info.visit: no_wcs(item.wcs, lost[item.info.visit])
        for item in survey.visits
        if item.info.visit in lost
    }
    return wcs | {item.info.visit: products.wcs(row) for row, item in enumerate(products.chosen)}


def _method(config: SolveAstrometryTaskConfig) -> Callable[..., AstrometrySolution]:
    """Return the way of solving that the configuration names."""
    if config.method == "polynomials":
        return solve
    from drpflow.algorithms.turbulence.solution import solve_with_turbulence

    return solve_with_turbulence


def _solvable(survey: AstrometricSurvey) -> tuple[list[VisitInput], Observations, dict[int, str]]:
    """Return the visits that can be solved, their observations, and why others cannot."""
    given = survey.visits
    lost = dict(survey.unreadable)
    lost |= {item.info.visit: item.lacks for item in given if item.lacks}
    good = np.array([not item.lacks for item in given], np.bool_)
    chosen = [item for item in given if not item.lacks]
    if good.all():
        return chosen, survey.observations, lost
    kept = survey.observations.take(good[survey.observations.visit])
    rows = (np.cumsum(good) - 1).astype(np.int32)
    return chosen, replace(kept, visit=rows[kept.visit]), lost


def _start(
    chosen: Sequence[VisitInput], detectors: Detectors
) -> dict[tuple[int, int], SkyWcs] | None:
    """Return the first WCSs by rows, None if there are none."""
    number = {int(d): row for row, d in enumerate(detectors.id)}
    found = {
        (visit, number[detector]): wcs
        for visit, item in enumerate(chosen)
        for detector, wcs in item.wcs.items()
        if wcs is not None
    }
    return found or None


def _with_references(
    survey: AstrometricSurvey, mjd: float, config: SolveAstrometryTaskConfig
) -> tuple[Stars, NDArray[np.int64]]:
    """Return the stars with what the catalogue says of them, and the numbers of its stars."""
    reference, ids = references_of(
        survey.stars.ra_deg,
        survey.stars.dec_deg,
        mjd,
        survey.references,
        config.catalog.match_radius_arcsec,
        config.catalog.unknown_error_mas,
    )
    return replace(survey.stars, reference=reference), ids


def _with_reference_color(
    config: SolveAstrometryTaskConfig, survey: AstrometricSurvey
) -> tuple[SolveAstrometryTaskConfig, tuple[str, ...]]:
    """Return the configuration with a reference colour in the bands of the run, and a note.

    It is that of the run, so that the WCSs of all its pieces hold for the same star.
    """
    bands, usual = survey.color
    if bands == _COLOR:
        return config, ()
    if not bands or not np.isfinite(usual):
        known = np.isfinite(survey.stars.color).any()
        note = "between which bands colours are is not known: they are taken for g - i"
        return config, ((note,) if known else ())
    model = config.model.model_copy(update={"reference_color_mag": usual})
    note = f"colours are {bands[0]} - {bands[-1]}: WCSs hold for a star of {usual:.2f}"
    return config.model_copy(update={"model": model}), (note,)


def nothing(visits: Iterable[int], detectors: Iterable[int], why: str) -> Solved:
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
    numbers, ids = list(visits), list(detectors)
    lost = dict.fromkeys(numbers, why)
    return Solved({v: no_wcs(ids, why) for v in numbers}, {}, lost_visit_columns(lost), {})


def no_wcs(detectors: Iterable[int], why: str) -> ComponentTable:
    """Return the table of a visit without a solution."""
    ids = sorted(int(d) for d in detectors)
    rows = {d: ComponentRow({}, {"wcs": why}) for d in ids}
    nan, zero = np.full(len(ids), np.nan), np.zeros(len(ids), np.int32)
    return ComponentTable(
        rows,
        {
            **dict.fromkeys(("wcs_error", "rms", "reserved_rms"), nan),
            **dict.fromkeys(("n_good", "n_reserved"), zero),
        },
    )


class _Products:
    """Turns a solution into what is stored by visit."""

    def __init__(
        self, solution: AstrometrySolution, chosen: Sequence[VisitInput], detectors: Detectors
    ) -> None:
        self.solution, self.chosen = solution, chosen
        self.row = {int(d): row for row, d in enumerate(detectors.id)}
        images = solution.images
        keys = zip(images.visit.tolist(), images.detector.tolist(), strict=True)
        self.image = {key: row for row, key in enumerate(keys)}

    def wcs(self, visit: int) -> ComponentTable:
        """Return the WCSs of a visit (row): of the detectors that were read out."""
        if not self.solution.visits.solved[visit]:
            return no_wcs(self.chosen[visit].wcs, self.solution.visits.reason[visit])
        ids = sorted(d for d in self.chosen[visit].wcs if (visit, self.row[d]) in self.image)
        at = np.array([self.image[visit, self.row[d]] for d in ids], np.intp)
        images = self.solution.images
        rows = {d: ComponentRow({"wcs": self.solution.wcs[visit, self.row[d]]}) for d in ids}
        return ComponentTable(
            rows,
            {
                "wcs_error": images.error_arcsec[at],
                "n_good": images.n_stars[at].astype(np.int32),
                "n_reserved": images.n_reserved[at].astype(np.int32),
                "rms": images.rms_mas[at],
                "reserved_rms": images.reserved_rms_mas[at],
            },
        )


def _numbers(solution: AstrometrySolution, n_visits: int, notes: Sequence[str]) -> Numbers:
    """Return the figures for the status file."""
    r, v, images = solution.residuals, solution.visits, solution.images
    numbers: Numbers = {
        "n_visits": n_visits,
        "n_stars": int((solution.stars.n_observations > 0).sum()),
        "n_observations": int(r.used.size),
        "n_used": int(r.used.sum()),
        "n_rejected": int(r.rejected.sum()),
        "n_groups": int(np.unique(v.group[v.solved]).size),
        "n_passes": len(solution.history),
        "last_change_mas": solution.history[-1].change_mas if solution.history else 0.0,
        "floor_mas": median_known(v.floor_mas),
        "wcs_error_mas": 1e3 * median_known(images.error_arcsec),
        "rms_mas": median_known(images.rms_mas),
        "reserved_rms_mas": median_known(images.reserved_rms_mas),
    }
    numbers = {n: round(x, 3) if isinstance(x, float) else x for n, x in numbers.items()}
    told = {"notes": notes, "held": solution.held}
    return numbers | {
        name: "; ".join(first_of(each, _MOST_TOLD)) for name, each in told.items() if each
    }


def first_of(sentences: Sequence[str], most: int) -> list[str]:
    """Return the first sentences, and how many more there are."""
    more = len(sentences) - most
    return [*sentences[:most], *([f"and {more} more"] if more > 0 else [])]


def median_known(values: Floats) -> float:
    """Return the median of the values that are known, NaN if none is."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def problem_of(lost: Mapping[int, str]) -> AlgorithmError | None:
    """Return the declared failure of visits without a solution, or None."""
    if not lost:
        return None
    return AlgorithmError(
        f"{len(lost)} visits have no solution: {_first(lost)}", {"n_lost_visits": len(lost)}
    )


def _first(lost: Mapping[int, str]) -> str:
    """Return a few of the visits with their reasons."""
    return "; ".join(f"visit {v}: {lost[v]}" for v in sorted(lost)[:3])
