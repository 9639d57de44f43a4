"""Which terms the data have evidence for, and their values.

With Gaussian priors Λ on the parameters x and cells of variance s²/w the evidence is

    -2 ln E = Σ w y² / s² + μᵀ Λ μ - (b/s² + Λμ)ᵀ x + ln det(A/s² + Λ) - ln det Λ + const,
          x = (A/s² + Λ)⁻¹ (b/s² + Λμ) ,

A and b those of the normal equations, μ the means of the priors (MacKay 1992, Neural Computation
4, 415). s² says by how much the cells scatter more than photon noise. The level of the sky has no
prior, and only wings have one whose mean is not 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.algorithms.visit_background.design import Design, Layout, Normal
    from drpflow.config.model_visit_background import SkyModelConfig, WingsConfig

    Float64: TypeAlias = NDArray[np.float64]
    Indices: TypeAlias = NDArray[np.intp]

_JITTER = 1e-11
"""Added to the diagonal of matrices of unit diagonal, so that they have an inverse."""

_PISTONS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
"""Sizes of offsets that are tried, relative to the sky."""


@dataclass(frozen=True, eq=False)
class Solution:
    """Parameters of a visit's background.

    Parameters
    ----------
    parameters
        All of them, 0 for terms that are not used.
    covariance
        Theirs, same order.
    order
        Total degree of the polynomial.
    piston_sigma
        Size of the detectors' offsets that the data speak for, electrons; 0 without.
    excess
        Variance of cells over that of photon noise, at least 1.
    """

    parameters: Float64
    covariance: Float64
    order: int
    piston_sigma: float
    excess: float


@dataclass(frozen=True, eq=False)
class Priors:
    """What is expected of the parameters.

    Parameters
    ----------
    diagonal
        Inverse variances, 0 for none.
    mean
        Means.
    wings
        Inverse covariance of the wings' nodes; None if there are no wings.
    """

    diagonal: Float64
    mean: Float64
    wings: Float64 | None


@dataclass(frozen=True)
class _Trial:
    """One choice of terms."""

    evidence: float
    order: int
    piston_sigma: float
    index: Indices
    values: Float64
    inverse: Float64


def solve(
    design: Design,
    normal: Normal,
    config: SkyModelConfig,
    *,
    orders: Sequence[int] | None = None,
) -> Solution:
    """Return the parameters for the order, and the size of offsets, of most evidence.

    Parameters
    ----------
    design
        The terms.
    normal
        Their normal equations.
    config
        Priors.
    orders
        Orders that are tried; all up to the highest by default.
    """
    layout = design.layout
    orders = range(layout.basis.order + 1) if orders is None else orders
    priors = _priors(normal, design, config)
    excess = _excess(normal, design, priors, max(orders))
    sizes = [0.0]
    if config.pistons == "evidence" and len(layout.detectors) > 1:
        sizes += [s * design.level for s in _PISTONS]
    trials = (_try(normal, design, priors, excess, o, s) for o in orders for s in sizes)
    best = max(trials, key=lambda trial: trial.evidence)
    best = _not_negative(best, normal, design, priors, excess)
    parameters, covariance = np.zeros(layout.size), np.zeros((layout.size, layout.size))
    parameters[best.index] = best.values
    covariance[np.ix_(best.index, best.index)] = best.inverse
    return Solution(parameters, covariance, best.order, best.piston_sigma, excess)


def _priors(normal: Normal, design: Design, config: SkyModelConfig) -> Priors:
    """Return the priors of all parameters but the offsets."""
    layout = design.layout
    diagonal, mean = np.zeros(layout.size), np.zeros(layout.size)
    diagonal[1 : layout.basis.n_terms] = (config.gradient_sigma * design.level) ** -2.0
    diagonal[layout.patterns] = 1.0
    wings = None
    if layout.n_nodes:
        if design.wings is not None and design.wings.any():
            mean[layout.wings] = design.wings
            strength = float(design.wings.max())
            wings = wing_prior(layout.n_nodes, layout.n_regions, strength, config.wings)
            least = np.maximum(design.wings, 0.1 * strength)
            wings += np.diag((config.wings.visit_scatter * least) ** -2.0)
        else:
            strength = _wing_strength(normal, layout)
            wings = (
                wing_prior(layout.n_nodes, layout.n_regions, strength, config.wings)
                if strength > 0
                else None
            )
    return Priors(diagonal, mean, wings)


def _try(
    normal: Normal,
    design: Design,
    priors: Priors,
    excess: float,
    order: int,
    piston_sigma: float,
    zero: frozenset[int] = frozenset(),
) -> _Trial:
    """Solve with some of the terms; those of `zero` are left out."""
    layout = design.layout
    index = [np.arange((order + 1) * (order + 2) // 2), np.r_[layout.patterns]]
    diagonal = priors.diagonal.copy()
    if piston_sigma > 0:
        index.append(np.r_[layout.pistons])
        diagonal[layout.pistons] = piston_sigma**-2.0
    if priors.wings is not None:
        index.append(np.array([k for k in np.r_[layout.wings] if k not in zero], np.intp))
    chosen = np.concatenate(index).astype(np.intp)
    prior = np.diag(diagonal)
    if priors.wings is not None:
        prior[layout.wings, layout.wings] = priors.wings
    at = np.ix_(chosen, chosen)
    pull = prior[at] @ priors.mean[chosen]
    right = normal.vector[chosen] / excess + pull
    values, inverse, log_det = _solved(normal.matrix[at] / excess + prior[at], right)
    fit = normal.square / excess + float(priors.mean[chosen] @ pull) - float(right @ values)
    proper = diagonal[chosen]
    evidence = -0.5 * (fit + log_det - float(np.log(proper[proper > 0]).sum()))
    return _Trial(evidence, order, piston_sigma, chosen, values, inverse)


def _solved(matrix: Float64, vector: Float64) -> tuple[Float64, Float64, float]:
    """Return solution, inverse and ln det, columns brought to unit length.

    What the data and priors leave open comes out near 0.
    """
    scale = 1 / np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    scaled = matrix * scale[:, None] * scale + _JITTER * np.eye(len(matrix))
    lower = np.linalg.inv(np.linalg.cholesky(scaled))
    inverse = lower.T @ lower
    log_det = float(-2 * np.log(np.diag(lower)).sum() - 2 * np.log(scale).sum())
    return scale * (inverse @ (scale * vector)), inverse * scale[:, None] * scale, log_det


def wing_information(
    design: Design, normal: Normal, solution: Solution, config: SkyModelConfig
) -> tuple[Float64, Float64] | None:
    """Return what cells say of wings whatever the sky is; None without wings.

    Parameters
    ----------
    design, normal
        Terms, and normal equations of the cells.
    solution
        Tells which terms of the sky there are.
    config
        Priors of those.

    Returns
    -------
    inverse, vector
        Inverse covariance of the nodes, A_ww - A_wo (A_oo + Λ_o)⁻¹ A_ow, and that times them.
    """
    layout = design.layout
    if not layout.n_nodes:
        return None
    priors = _priors(normal, design, config).diagonal
    priors[layout.pistons] = solution.piston_sigma**-2.0 if solution.piston_sigma > 0 else 0.0
    terms = (solution.order + 1) * (solution.order + 2) // 2
    other = np.append(np.arange(terms), np.r_[layout.patterns])
    if solution.piston_sigma > 0:
        other = np.append(other, np.r_[layout.pistons])
    a, b = normal.matrix / solution.excess, normal.vector / solution.excess
    wings = np.arange(layout.wings.start, layout.wings.stop)
    inner = a[np.ix_(other, other)] + np.diag(priors[other])
    _, inverse, _ = _solved(inner, b[other])
    cross = a[np.ix_(wings, other)] @ inverse
    return a[np.ix_(wings, wings)] - cross @ a[np.ix_(other, wings)], b[wings] - cross @ b[other]


def _excess(normal: Normal, design: Design, priors: Priors, order: int) -> float:
    """Return the variance of cells about the fullest model, over photon noise; at least 1."""
    trial = _try(normal, design, priors, 1.0, order, _PISTONS[-1] * max(design.level, 1e-6))
    x = trial.values
    matrix = normal.matrix[np.ix_(trial.index, trial.index)]
    rest = normal.square - 2 * float(normal.vector[trial.index] @ x) + float(x @ matrix @ x)
    return max(1.0, rest / max(1, normal.number - x.size))


def _wing_strength(normal: Normal, layout: Layout) -> float:
    """Return the strength of wings if they fall as r⁻² throughout, on a sky of order 2."""
    few = np.arange(min(layout.basis.n_terms, 6))
    reduce = np.zeros((layout.size, few.size + 1))
    reduce[few, few] = 1.0
    reduce[layout.wings, -1] = 1.0
    matrix = reduce.T @ normal.matrix @ reduce
    if matrix[-1, -1] <= 0:
        return 0.0
    return float(_solved(matrix, reduce.T @ normal.vector)[0][-1])


def wing_prior(n: int, rings: int, strength: float, config: WingsConfig) -> Float64:
    """Return the inverse covariance of neighbouring nodes' and neighbouring rings' differences.

    Parameters
    ----------
    n, rings
        Nodes of a profile, and profiles.
    strength
        Of the profile times r².
    config
        By what share neighbours differ.
    """
    # The last row holds the outermost node to the end of the wings, where they are 0.
    steps = np.eye(n) - np.eye(n, k=1)
    along = np.kron(np.eye(rings), steps) / (config.smoothness * strength)
    across = np.kron(np.diff(np.eye(rings), axis=0), np.eye(n)) / (config.region_scatter * strength)
    return np.asarray(along.T @ along + across.T @ across)


def _not_negative(
    trial: _Trial, normal: Normal, design: Design, priors: Priors, excess: float
) -> _Trial:
    """Solve again without the nodes of wings that came out negative, until none does."""
    zero: frozenset[int] = frozenset()
    while True:
        node = trial.index >= design.layout.wings.start
        negative = trial.index[node & (trial.values < 0)]
        if not negative.size:
            return trial
        zero |= frozenset(negative.tolist())
        trial = _try(normal, design, priors, excess, trial.order, trial.piston_sigma, zero)
