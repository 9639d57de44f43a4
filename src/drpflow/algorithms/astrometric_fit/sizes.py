"""How large the terms of each order are, found from the maps themselves.

Expectation and maximisation: the mean square of the terms of an order is that of their values plus
their variances, which draws of the maps tell. A few imaginary terms of the expected size keep it
from zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_fit.draws import draw

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.fit import Fit
    from drpflow.config.solve_astrometry import SolveAstrometryConfig

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int64]

_IMAGINARY = 2.0
_SMALLEST = 0.01


@dataclass(frozen=True, eq=False)
class Sizes:
    """Sizes of the terms of each order, from 0, mas.

    Parameters
    ----------
    detector_mas, visit_mas
        Of static maps and of visits.
    """

    detector_mas: Floats
    visit_mas: Floats

    @classmethod
    def expected(cls, config: SolveAstrometryConfig) -> Sizes:
        """Return what the configuration expects."""
        m = config.model
        order = np.arange(m.visit_order + 1)
        return cls(
            np.full(m.detector_order + 1, m.detector_mas),
            np.where(order < 2, 1000 * m.visit_linear_arcsec, m.visit_mas),
        )


def find_sizes(fit: Fit) -> Sizes:
    """Return the sizes of the terms that the maps of a fit have.

    Those of a visit's order 0 and 1, which the pointing decides, stay as expected.
    """
    expected, draws, layout = Sizes.expected(fit.config), draw(fit), fit.layout
    kept = [v for v in range(len(fit.tables.visits)) if v not in fit.dropped]
    square_c = fit.model.c**2 + (draws.c**2).mean(axis=0)
    square_q = (fit.model.q**2 + (draws.q**2).mean(axis=0))[kept, :, :-1]
    detector = _by_order(
        square_c, layout.map_basis[0].exponents.sum(axis=1), layout.map_order, expected.detector_mas
    )
    visit = _by_order(
        square_q,
        layout.visit_basis.exponents.sum(axis=1),
        layout.visit_order[kept],
        expected.visit_mas,
    )
    visit[:2] = expected.visit_mas[:2]
    return Sizes(detector, visit)


def _by_order(square: Floats, degree: Ints, order: NDArray[np.int32], expected: Floats) -> Floats:
    """Return the rms of the terms of each degree over maps whose order reaches so far."""
    out = expected.copy()
    for k in range(expected.size):
        values = square[order >= k][:, :, degree == k]
        total = values.sum() + _IMAGINARY * min(expected[k], np.sqrt(values.mean() + 1e-300)) ** 2
        if values.size:
            out[k] = max(float(np.sqrt(total / (values.size + _IMAGINARY))), _SMALLEST)
    return out
