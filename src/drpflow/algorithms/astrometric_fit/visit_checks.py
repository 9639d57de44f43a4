"""Which visits have to leave a fit: misplaced ones, and those that hang on nothing any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.algorithms.astrometric_fit.connect import isolated_visits

if TYPE_CHECKING:
    from drpflow.algorithms.astrometric_fit.fit import Fit


def misplaced_visits(fit: Fit) -> dict[int, str]:
    """Return the visits whose stars are not where the others have them, with the reason."""
    noise, checks = fit.config.noise, fit.config.visits
    reasons = {}
    for v in np.flatnonzero(fit.kept()).tolist():
        used, rejected = fit.found.sums[v, :2]
        floor = float(np.sqrt(fit.model.floor[v]))
        if used + rejected == 0:
            reasons[v] = "no star of it is left"
        elif floor >= noise.max_floor_mas:
            reasons[v] = f"its stars scatter by {floor:.0f} mas about where the others have them"
        elif rejected > checks.max_misplaced * (used + rejected):
            reasons[v] = (
                f"{rejected:.0f} of its {used + rejected:.0f} stars are not where the others "
                "have them"
            )
    return reasons


def lonely_visits(fit: Fit) -> dict[int, str]:
    """Return the visits that share too few stars with the others that are left, with the reason."""
    shared = isolated_visits(
        fit.sorted_rows, fit.counted(), fit.anchors(), fit.kept(), fit.config.visits.min_stars
    )
    return {v: shares_too_few(n) for v, n in shared.items()}


def shares_too_few(n_shared: int) -> str:
    """Return the reason of a visit that hangs on too little."""
    return f"it shares {n_shared} stars with other visits and the catalogue"
