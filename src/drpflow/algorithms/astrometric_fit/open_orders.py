"""Orders of the maps' terms that the data leave open together.

Of each term the observations may tell much, if the others and the stars are known, and of all
together nothing: distortions that stars, or other maps, can take up. It shows in variances that are
those of the priors although each term alone would have a small one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_fit.priors import term_precisions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.draws import Draws
    from drpflow.algorithms.astrometric_fit.fit import Fit

    Floats: TypeAlias = NDArray[np.float64]

# A variance beyond this share of the prior's is that of the prior; below the other it is not.
_PRIOR_HOLDS, _DATA_HOLD = 0.3, 0.1


class OpenOrders(NamedTuple):
    """Orders that are open, and the errors of their terms, mas: of static maps and of visits."""

    detector: dict[int, float]
    visit: dict[int, float]


def open_orders(fit: Fit, draws: Draws) -> OpenOrders:
    """Return the orders that a fit leaves open."""
    layout, kept = fit.layout, fit.kept()
    alone_c, alone_q = fit.system().alone()
    prior_c, prior_q = term_precisions(fit, fit.sizes)
    drawn_c, drawn_q = (draws.c**2).mean(axis=0), (draws.q[..., :-1] ** 2).mean(axis=0)
    degree_c, degree_q = (
        b.exponents.sum(axis=1) for b in (layout.map_basis[0], layout.visit_basis)
    )
    return OpenOrders(
        _open(drawn_c, alone_c, prior_c, degree_c),
        _open(drawn_q[kept], alone_q[kept, :, :-1], prior_q[kept], degree_q),
    )


def _open(
    variance: Floats, alone: Floats, precision: Floats, degree: NDArray[np.int64]
) -> dict[int, float]:
    out = {}
    for k in np.unique(degree).tolist():
        own = degree == k
        joint, single = (
            float((values * precision)[..., own].mean()) for values in (variance, alone)
        )
        if joint > _PRIOR_HOLDS and single < _DATA_HOLD:
            out[k] = float(np.sqrt(variance[..., own].mean()))
    return out
