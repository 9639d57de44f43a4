"""Draws of the maps' parameters about the solution: what all errors are asked from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.fit import Fit

    Floats: TypeAlias = NDArray[np.float64]

_DRAWS = 24
_SEED = 20170503


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws of the maps' parameters, less the solution.

    Parameters
    ----------
    c, q
        (n, M, 2, K) and (n, V, 2, L + 1).
    """

    c: Floats
    q: Floats


def draw(fit: Fit, factor_of_variance: float = 1.0) -> Draws:
    """Draw 24 times from the covariance of the maps: errors from them are good to a seventh.

    Parameters
    ----------
    fit
        The fit.
    factor_of_variance
        By which the covariance is larger than for independent residuals.
    """
    factor = fit.factor or fit.refactor()
    system = fit.system()
    unit = np.random.default_rng(_SEED).standard_normal((system.prior.size, _DRAWS))
    drawn = np.sqrt(factor_of_variance) * factor.solve_upper(unit)
    pairs = [system.split(np.ascontiguousarray(drawn[:, k])) for k in range(_DRAWS)]
    return Draws(np.array([c for c, _ in pairs]), np.array([q for _, q in pairs]))
