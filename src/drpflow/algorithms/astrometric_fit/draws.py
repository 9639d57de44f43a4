"""Draws of the maps' parameters about the solution: what all errors are asked from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_fit.normal import BlockFactor, conjugate_gradients

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.fit import Fit
    from drpflow.algorithms.astrometric_fit.normal import Factor, System

    Floats: TypeAlias = NDArray[np.float64]

TOLERANCE, ROUGH_TOLERANCE = 0.05, 0.2
"""By how much variances of draws may differ from those of the present weights."""

_DRAWS = 24
_SEED = 20170503
# Of draws that are solved for, a solution each: how many, to which share, in how many steps.
_SOLVED_DRAWS, _PRECISION, _MOST_ITERATIONS = 12, 0.03, 200
# The same share where most of a draw is a frame that nothing ties, which is not asked for.
_LOOSE_PRECISION = 0.003


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

    def grown(self, variance: Floats) -> Draws:
        """Return draws of variances larger by a factor for each visit, of static maps by its mean.

        Parameters
        ----------
        variance
            The factors, (V,).
        """
        scale = np.sqrt(variance)
        return Draws(np.sqrt(variance.mean()) * self.c, scale[:, None, None] * self.q)


def draw(fit: Fit, *, rough: bool = False) -> Draws:
    """Draw from the covariance of the maps: 24 times, so that errors are good to a seventh.

    With a factor of the blocks alone, such draws are of parameters whose neighbours are known. That
    will do for `rough` ones, and so will a factor that is not quite of the present weights.
    Otherwise noisy observations are solved for instead: exact, a dozen of them, at the cost of a
    pass each.
    """
    tolerance = ROUGH_TOLERANCE if rough else TOLERANCE
    system, factor = fit.system(), fit.fresh_factor(tolerance).factor
    if not rough and isinstance(factor, BlockFactor):
        vectors = [_solved(fit, system, factor, k) for k in range(_SOLVED_DRAWS)]
    else:
        size = system.prior.diagonal.size
        unit = np.random.default_rng(_SEED).standard_normal((size, _DRAWS))
        drawn = factor.solve_upper(unit)
        vectors = [np.ascontiguousarray(drawn[:, k]) for k in range(_DRAWS)]
    pairs = [system.split(vector) for vector in vectors]
    return Draws(np.array([c for c, _ in pairs]), np.array([q for _, q in pairs]))


def draw_loose(fit: Fit, variance: Floats) -> Draws:
    """Draw for visits that no catalogue ties: a dozen times, solutions for noise.

    What only priors hold there, distortions of the whole sky beyond linear ones, is as uncertain as
    these say, however coherent the noise of the observations is: of this alone the variances are
    multiplied by a factor for each visit, (V,).
    """
    system, factor = fit.system(), fit.fresh_factor(TOLERANCE).factor
    grown = np.sqrt(variance)[fit.rows.visit]
    pairs = [
        system.split(_solved(fit, system, factor, k, grown, _LOOSE_PRECISION))
        for k in range(_SOLVED_DRAWS)
    ]
    return Draws(np.array([c for c, _ in pairs]), np.array([q for _, q in pairs]))


def _solved(
    fit: Fit,
    system: System,
    factor: Factor,
    number: int,
    grown: Floats | float = 1.0,
    precision: float = _PRECISION,
) -> Floats:
    """Return the solution for observations, catalogue and priors that are noise.

    That of the observations is larger by the factor `grown`, (N,).
    """
    right = system.noise(np.random.default_rng([_SEED, number]), grown)
    largest = fit.change_mas(*system.split(factor.solve(right)))

    def small(rest: Floats) -> bool:
        return fit.change_mas(*system.split(rest)) < precision * largest

    return conjugate_gradients(system.multiply, factor.solve, right, small, _MOST_ITERATIONS)[0]
