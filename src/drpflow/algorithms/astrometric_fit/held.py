"""What the data leave open, by name, and what holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from drpflow.algorithms.astrometric_fit.fit import Fit


def describe_held(fit: Fit) -> list[str]:
    """Return a sentence for each degeneracy.

    Terms that visits share with static maps are exact, whatever the data; the rest is found from
    the information that the data have of each parameter, the others known, against its prior's.
    """
    m, system = fit.config.model, fit.system()
    shared = min(m.detector_order, m.visit_order)
    first = (
        f"terms of order 0 to {shared} that all visits of an epoch have in common: held at the "
        "start in the visits, found in the static maps"
    )
    held = [first]
    if not ((fit.found.tied == 1) & (fit.sky.fit == 1)).any():
        held.append(
            "position, rotation, scale and mean motion of the whole: held by the priors of the "
            "stars"
        )
    if fit.information is None:
        return held
    weak_c, weak_q = system.split((fit.information < system.prior).astype(np.float64))
    layout, tables = fit.layout, fit.tables
    for k, count in enumerate(weak_c.sum(axis=(1, 2)).astype(int)):
        if count:
            number = tables.detectors.id[layout.map_detector[k]]
            held.append(f"{count} terms of the static map of detector {number}: held by priors")
    for v, count in enumerate(weak_q.sum(axis=(1, 2)).astype(int)):
        if count and v not in fit.dropped:
            held.append(f"{count} terms of visit {tables.visits.id[v]}: held by priors")
    return held
