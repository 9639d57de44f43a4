"""How large the terms of each order are, found from the maps themselves.

The evidence for the size σ of n terms of one order is largest where σ² = Σ c² / γ, with c the terms
as found and γ = Σ (1 - v/σ²) the number of them that the data determine (MacKay 1992, Neural
Computation 4, 415); v are their variances, which draws of the maps tell. Each pass of the fit takes
one such step, until sizes stay. Terms of an order that is not there get ever smaller; below a
fifth determined by the data, they do no harm and are left. Orders that the data leave open stay as
they are: nothing tells their size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_fit.draws import draw
from drpflow.algorithms.astrometric_fit.open_orders import open_orders
from drpflow.algorithms.astrometric_fit.priors import Sizes

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.fit import Fit

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int64]

_SMALLEST_MAS = 0.02
_SETTLED = 0.15
_DETERMINED = 0.2
# Of γ: draws leave it uncertain.
_LEAST = 0.05


class _Found(NamedTuple):
    """Sizes of the orders, and whether each is right."""

    sizes: Floats
    settled: bool


def find_sizes(fit: Fit) -> tuple[Sizes, bool]:
    """Return the sizes of the terms that the maps of a fit have, and whether they stay.

    Those of a visit's order 0 and 1, which the pointing decides, stay as expected; maps that are
    known from elsewhere tell nothing.
    """
    layout, now, free = fit.layout, fit.sizes, ~fit.held.known
    draws, kept = draw(fit, rough=True), fit.kept()
    unknown = open_orders(fit, draws)
    detector = _by_order(
        fit.model.c[free],
        (draws.c[:, free] ** 2).mean(axis=0),
        layout.map_basis[0].exponents.sum(axis=1),
        layout.map_order[free],
        now.detector_mas,
        unknown.detector,
    )
    visit = _by_order(
        fit.model.q[kept, :, :-1],
        (draws.q[:, kept, :, :-1] ** 2).mean(axis=0),
        layout.visit_basis.exponents.sum(axis=1),
        layout.visit_order[kept],
        now.visit_mas,
        {0, 1, *unknown.visit},
    )
    return Sizes(detector.sizes, visit.sizes), detector.settled and visit.settled


def _by_order(
    value: Floats,
    variance: Floats,
    degree: Ints,
    order: NDArray[np.int32],
    now: Floats,
    left: Collection[int],
) -> _Found:
    """Return the sizes of the terms of each degree, over maps whose order reaches so far.

    Orders in `left` stay as they are.
    """
    out, settled = now.copy(), True
    for k in sorted({*range(now.size)} - {*left}):
        c, v = (values[order >= k][:, :, degree == k] for values in (value, variance))
        if not c.size:
            continue
        determined = float(np.clip(1 - v / now[k] ** 2, 0.0, 1.0).mean())
        square = float((c**2).mean()) / max(determined, _LEAST)
        out[k] = max(np.sqrt(square), _SMALLEST_MAS)
        stays = abs(np.log(out[k] / now[k])) < _SETTLED
        settled &= stays or (determined < _DETERMINED and out[k] < now[k])
    return _Found(out, bool(settled))
