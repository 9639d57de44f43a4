"""What is unusual about a calibration, in sentences for its user."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.fgcm.cycles import MAX_HALVINGS
from drpflow.algorithms.fgcm.groups import fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from drpflow.algorithms.fgcm.cycles import Solution
    from drpflow.algorithms.fgcm.rows import Rejected

    Ints: TypeAlias = NDArray[np.int32]

# Share of outliers, and of references that are not used, from which they are told.
_MANY_OUTLIERS = 0.05
_MANY_REFERENCES = 0.2
# Fields whose sizes are told.
_SHOWN = 5


def notes(
    solution: Solution, n_star: Ints, group: Ints, rejected: Rejected, n_observations: int
) -> tuple[str, ...]:
    """Return the notes on a calibration.

    Parameters
    ----------
    solution
        The end of the fit.
    n_star
        Observations behind each zero point, (V, D).
    group
        Connected group of each visit, (V,).
    rejected
        What was not used.
    n_observations
        Rows of the table of observations.
    """
    seen = n_star.sum(axis=1) > 0
    return (
        *_of_scale(solution, group, seen),
        *_of_visits(solution, seen),
        *_of_convergence(solution),
        *_of_rejected(solution, rejected, n_observations),
    )


def _of_scale(solution: Solution, group: Ints, seen: NDArray[np.bool_]) -> Iterator[str]:
    """Tell of bands without references, missing colours, and what nothing joins."""
    rows, visits = solution.problem.rows, solution.problem.model.visits
    used = np.unique(rows.band[rows.pair[~rows.is_reference]])
    tied = set(np.unique(rows.band[rows.pair[rows.is_reference]]).tolist())
    names = [visits.bands[b] for b in used if b not in tied]
    if names:
        yield (
            f"no reference stars in {', '.join(names)}: the calibration is relative, magnitudes "
            "have an arbitrary offset"
        )
    if used.size == 1 and not solution.slope_measured.any():
        yield "one band only: all stars count as having the colour of a usual star"
    yield from _of_fields(solution, seen, bool(tied))
    for band in used:
        groups = np.unique(group[seen & (visits.band == band)])
        if groups.size > 1:
            yield (
                f"the visits in {visits.bands[band]} fall into {groups.size} groups without common "
                "stars: what ties them is that clear nights are alike"
            )


def _of_fields(solution: Solution, seen: NDArray[np.bool_], tied: bool) -> Iterator[str]:
    """Tell that only the catalogue joins some visits; if nothing does, groups of bands say so."""
    layout = solution.problem.model.layout
    field = fields(solution.problem.rows, layout.n_visits, layout.n_detectors)[seen]
    count = np.sort(np.unique(field, return_counts=True)[1])[::-1]
    if count.size > 1 and tied:
        shown = ", ".join(str(n) for n in count[:_SHOWN]) + (", ..." if count.size > _SHOWN else "")
        yield (
            f"the visits fall into {count.size} fields without common stars (of {shown} visits): "
            "reference stars tie their scales"
        )


def _of_visits(solution: Solution, seen: NDArray[np.bool_]) -> Iterator[str]:
    """Tell of visits without stars, nights without photometric visits, and of too many visits."""
    model, layout = solution.problem.model, solution.problem.model.layout
    lost = int((~seen).sum())
    if lost:
        yield f"{lost} visits have no usable stars, and no zero point"
    photometric = solution.clouds.photometric(model.config.gray) & seen
    per_night = np.bincount(layout.night[photometric], minlength=layout.nights.size)
    unfit = int((per_night < model.config.air.min_visits).sum())
    if unfit and model.config.air.free:
        yield (
            f"{unfit} of {layout.nights.size} nights have too few photometric visits to "
            "tell their air, which is mostly what is expected of any night"
        )
    clean = int(solution.held.sum())
    if clean:
        yield (
            f"in {clean} of {layout.nights.size} nights extinction is less than that of air "
            "without aerosols, and is taken to be that: are airmasses, pressures (or the "
            "observatory's elevation) and throughputs right?"
        )
    if layout.gray_order < min(model.config.gray.order, layout.flat_order):
        yield f"many visits: gray is fitted with order {layout.gray_order}"
    limit = model.config.gray.max_parameters
    if layout.size > limit:
        yield (
            f"the fit has {layout.size} parameters, more than gray.max_parameters ({limit}), even "
            "with even clouds: time grows as their number to the third power"
        )


def _of_convergence(solution: Solution) -> Iterator[str]:
    """Tell that the fit ended before it had settled."""
    if solution.converged:
        return
    last, config = solution.history[-1], solution.problem.model.config
    if last.halvings >= MAX_HALVINGS:
        yield f"the fit has not converged: no step of cycle {last.number + 1} lowered chi-square"
    else:
        yield (
            f"the fit has not converged in {len(solution.history)} cycles: zero points still "
            f"changed by {1e3 * last.change_mag:.2g} mmag rms "
            f"(tolerance {1e3 * config.tolerance_mag:.2g})"
        )


def _of_rejected(solution: Solution, rejected: Rejected, n_observations: int) -> Iterator[str]:
    """Tell of observations and references that disagree or were of no use, if they are many."""
    rows = solution.problem.rows
    n_references = int(rows.is_reference.sum())
    disagree = [
        ("observations disagree", rejected.outlying, len(rows) - n_references),
        ("reference magnitudes disagree", rejected.outlying_references, n_references),
    ]
    for what, out, number in disagree:
        if out > _MANY_OUTLIERS * number:
            yield f"{out} of {number} {what} with the rest of their stars, and were left out"
    if rejected.duplicate > _MANY_OUTLIERS * n_observations:
        yield (
            f"{rejected.duplicate} of {n_observations} observations show a star a second time in "
            "a visit: the one of smallest error counts"
        )
    unused = [
        ("have errors beyond reference.max_error_mag", rejected.references_large_error),
        ("have no colour in the catalogue", rejected.references_without_color),
    ]
    number = n_references + rejected.references_unusual_color + sum(out for _, out in unused)
    for why, out in unused:
        if out > _MANY_REFERENCES * number:
            yield f"{out} of {number} reference magnitudes are not used: they {why}"
