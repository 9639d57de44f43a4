"""Amplitudes of the modes as polynomials of place, of as high an order as the stars pay for.

Star s measures amplitudes a_s with the inverse covariance G_s (photon noise; flux and place of the
star marginalised). They scatter by S about a polynomial besides (colour, turbulence, faint
companions):

    a_s = Σ_j B_j(x_s, y_s) c_j + N(0, S) + N(0, G_s⁻¹),     c_jm ~ N(0, τ²_{group(m), degree(j)})

S and τ² are those of largest likelihood, found by fixed-point steps (MacKay 1992, Neural
Computation 4, 415, for τ; restricted likelihood for S), so that a term for which there is no
evidence vanishes, and one star of very high signal-to-noise ratio does not decide alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int64]

GROUPS = np.array([0, 1, 1, 2, 3, 3, 4, 4])
"""Modes that share their variances: size; e1, e2; beta; coma; trefoil."""

_ROUNDS = 60
_TOLERANCE = 1e-3
_LEAST_VARIANCE = 1e-10
# What a term of degree k is expected to be before any star is seen, AMPLITUDE/2^k, and the weight
# of that: as of one term. With two or three terms to judge by, likelihood alone would often find
# τ = 0 for a real gradient. The amplitude is that of size and ellipticity; other groups are
# expected to change the image by SHARE as much, in units of noise. Coma of 0.015, which is nothing
# in an ellipticity, would move centroids by a fifth of a pixel.
_AMPLITUDE = 0.03
_SHARE = np.array([1.0, 1.0, 1.0, 0.3, 0.3, 0.3, 0.3, 0.3])
_SECOND_ORDER = 3
_WEAK_PRIOR = 1.0


@dataclass(frozen=True, eq=False)
class ModeField:
    """Amplitudes over the detector.

    Parameters
    ----------
    coefficients
        c, shape (T, M).
    scatter
        √S of each mode, shape (M,).
    residual
        Measured minus fitted amplitudes of each star, shape (N, M).
    residual_sigma
        Their expected standard deviations, S included, (N, M).
    """

    coefficients: Floats
    scatter: Floats
    residual: Floats
    residual_sigma: Floats


def fit_modes(right: Floats, precision: Floats, design: Floats, degree: Ints) -> ModeField:
    """Fit the field of amplitudes.

    Parameters
    ----------
    right
        G_s a_s, shape (N, M).
    precision
        G_s, shape (N, M, M); may be singular.
    design
        B_j at the stars, (N, T).
    degree
        Total degree of each term, (T,).

    Notes
    -----
    (T M)³ operations a round, at most 60 rounds: 10 ms for 6 terms, 60 ms for 15.
    """
    n_stars, n_terms = design.shape
    n_modes = right.shape[1]
    scale = typical_variance(precision)
    expected2 = np.square(_AMPLITUDE * _SHARE) * scale / scale[:_SECOND_ORDER].mean()
    scatter2 = 0.1 * scale
    prior2 = np.where(degree[:, None] == 0, np.inf, np.maximum(scale, 1e-4))
    for _ in range(_ROUNDS):
        weighted, hessian = with_scatter(right, precision, scatter2)
        normal = np.einsum("nj,nk,nab->jakb", design, design, hessian, optimize=True)
        normal = normal.reshape(n_terms * n_modes, -1)
        target = np.einsum("nj,na->ja", design, weighted).ravel()
        covariance = np.linalg.inv(normal + np.diag(_inverse(prior2).ravel()))
        c = (covariance @ target).reshape(n_terms, n_modes)
        posterior = np.diag(covariance).reshape(n_terms, n_modes)
        new_prior2 = _update_prior(c, posterior, prior2, degree, expected2)
        leverage = np.einsum("ij,ji->i", covariance, normal).reshape(n_terms, n_modes).sum(axis=0)
        pull = weighted - np.einsum("nab,nb->na", hessian, design @ c)
        new_scatter2 = _update_scatter(pull, hessian, leverage / n_stars, scatter2)
        settled = np.allclose(new_scatter2, scatter2, rtol=_TOLERANCE, atol=1e-9) and np.allclose(
            _inverse(new_prior2), _inverse(prior2), rtol=_TOLERANCE
        )
        prior2, scatter2 = new_prior2, new_scatter2
        if settled:
            break
    noise = np.linalg.inv(precision + _tiny_diagonal(precision))
    measured = np.einsum("nab,nb->na", noise, right)
    variance = np.einsum("naa->na", noise) + scatter2
    return ModeField(c, np.sqrt(scatter2), measured - design @ c, np.sqrt(variance))


def with_scatter(right: Floats, precision: Floats, scatter2: Floats) -> tuple[Floats, Floats]:
    """Return H a and H for H = (G⁻¹ + S)⁻¹ = (1 + G S)⁻¹ G, without inverting G."""
    system = np.eye(right.shape[1]) + precision * scatter2
    both = np.linalg.solve(system, np.concatenate([right[:, :, None], precision], axis=2))
    return both[:, :, 0], both[:, :, 1:]


def _update_prior(
    c: Floats, posterior: Floats, prior2: Floats, degree: Ints, expected2: Floats
) -> Floats:
    """Return the next τ², Σ c² / Σ (1 - posterior variance / τ²) over the terms that share it."""
    updated = prior2.copy()
    for group in np.unique(GROUPS):
        for k in range(1, int(degree.max()) + 1):
            cell = np.ix_(degree == k, group == GROUPS)
            determined = np.clip(1 - posterior[cell] / prior2[cell], 1e-3, 1).sum()
            expected = _WEAK_PRIOR * float(expected2[group == GROUPS].mean()) / 4**k
            total = float(np.square(c[cell]).sum()) + expected
            updated[cell] = total / (determined + _WEAK_PRIOR)
    return updated


def _update_scatter(pull: Floats, hessian: Floats, leverage: Floats, scatter2: Floats) -> Floats:
    """Return the next S towards Σ (H r)² = Σ diag H, less what the coefficients took up."""
    updated = scatter2.copy()
    diagonal = np.einsum("naa->na", hessian)
    for group in np.unique(GROUPS):
        members = group == GROUPS
        expected = (diagonal[:, members] * np.clip(1 - leverage[members], 0.1, 1)).sum()
        ratio = np.square(pull[:, members]).sum() / max(expected, 1e-300)
        updated[members] = np.clip(scatter2[members] * np.clip(ratio, 0.2, 5), _LEAST_VARIANCE, 1.0)
    return updated


def typical_variance(precision: Floats) -> Floats:
    """Return the median variance of each mode for a star, other modes known."""
    diagonal = np.einsum("naa->na", precision)
    return 1 / np.maximum(np.median(diagonal, axis=0), 1e-6)


def _inverse(prior2: Floats) -> Floats:
    return np.where(np.isinf(prior2), 0.0, 1 / prior2)


def _tiny_diagonal(precision: Floats) -> Floats:
    trace = np.einsum("naa->n", precision) / precision.shape[1]
    return (1e-9 * trace + 1e-12)[:, None, None] * np.eye(precision.shape[1])
