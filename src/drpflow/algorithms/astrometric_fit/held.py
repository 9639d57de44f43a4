"""What the data leave open, by name, and what holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drpflow.algorithms.astrometric_fit.draws import TOLERANCE
from drpflow.algorithms.astrometric_fit.open_orders import open_orders
from drpflow.algorithms.astrometric_fit.priors import expected_sizes, term_precisions

if TYPE_CHECKING:
    from drpflow.algorithms.astrometric_fit.draws import Draws
    from drpflow.algorithms.astrometric_fit.fit import Fit


def describe_held(fit: Fit, draws: Draws) -> list[str]:
    """Return a sentence for each degeneracy.

    Terms that visits share with static maps are exact, whatever the data.
    """
    m, known = fit.config.model, fit.held.known
    shared = min(m.detector_order, m.visit_order)
    first = (
        f"terms of order 0 to {shared} that all visits of an epoch have in common: held at the "
        "start in the visits, found in the static maps"
    )
    held = [first] if not known.all() else []
    if known.any():
        held.append(
            f"static maps of {int(known.sum())} detectors: held at those of an earlier solution, "
            "as well as these are known"
        )
    if not fit.anchors().any():
        held.append(
            "position, rotation, scale and mean motion of the whole: held by the priors of the "
            "stars; stated errors are without the linear map of the sky that is open"
        )
    if (fit.sky.kind == 1).any() and not fit.tells_mean[2]:
        held.append("the mean parallax of the stars: held at what is expected, 0")
    return held + _together(fit, draws) + _alone(fit)


def _together(fit: Fit, draws: Draws) -> list[str]:
    """Return the orders that are open, with the errors of their terms."""
    orders = open_orders(fit, draws)
    return [
        f"terms of order {k} of all {what} together: known to {error:.2g} mas, held by priors"
        for what, found in (("static maps", orders.detector), ("visits", orders.visit))
        for k, error in found.items()
    ]


def _alone(fit: Fit) -> list[str]:
    """Return how many terms of each map the data say less of than what was expected beforehand."""
    layout, tables, held = fit.layout, fit.tables, []
    information = fit.system().split(fit.fresh_factor(TOLERANCE).information)
    weak_c, weak_q = (
        i[..., : p.shape[2]] < p
        for i, p in zip(information, term_precisions(fit, expected_sizes(fit.config)), strict=True)
    )
    for k, count in enumerate(weak_c.sum(axis=(1, 2)).astype(int)):
        if count:
            number = tables.detectors.id[layout.map_detector[k]]
            held.append(f"{count} terms of the static map of detector {number}: held by priors")
    for v, count in enumerate(weak_q.sum(axis=(1, 2)).astype(int)):
        if count and v not in fit.dropped:
            held.append(f"{count} terms of visit {tables.visits.id[v]}: held by priors")
    return held
