"""Amplitudes of the modes over the focal plane, and what each detector has beyond.

Star s on detector d measures amplitudes a_s with the inverse covariance G_s (photon noise; flux
and place of the star marginalised):

    a_s = Σ_j B_j(s) c_j + Σ_k D_k(s) c_dk + N(0, S) + N(0, G_s⁻¹)
    c_jm ~ N(0, τ²_{class(j), group(m)}),     c_dkm ~ N(0, τ²_{class(k), group(m)})

B are terms that all detectors share (polynomials of the focal plane, colour times such), D those
of a single one. All detectors have their terms from one distribution, whose width they tell
together: where detectors do not differ, τ² of D vanishes, and a detector with three stars is
known by its neighbours; where each is as it likes, τ² of D is large, and each is fitted by itself.
S and τ² are those of largest likelihood, found by fixed-point steps (MacKay 1992, Neural
Computation 4, 415).

The normal matrix is an arrow: shared terms couple to all, those of a detector to the shared and to
each other. The solution eliminates detectors one by one, so that 189 of them cost 189 times one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.psf_fit.modes import GROUPS, typical_variance, with_scatter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int64]

_ROUNDS = 60
_TOLERANCE = 3e-3
_LEAST_VARIANCE = 1e-10
_ABSENT = 1e-16
# A term's expected size counts as much as one term that was seen.
_WEAK_PRIOR = 1.0
_SECOND_ORDER = 3
_SHARE = np.array([1.0, 1.0, 1.0, 0.3, 0.3, 0.3, 0.3, 0.3])


@dataclass(frozen=True, eq=False)
class Terms:
    """Design of the fit: N stars, T shared terms, K terms of each of D detectors.

    Parameters
    ----------
    shared, own
        Terms at the stars, shapes (N, T) and (N, K).
    detector
        Detector of each star, 0 … D - 1, (N,).
    n_detectors
        D.
    shared_class, own_class
        Terms of one class share their variances, (T,) and (K,).
    expected
        Size that terms of a class are expected to have, as a change of size or ellipticity; NaN
        for terms that are free. Shape (C,).
    modes
        Which modes a class has at all, (C, M).
    """

    shared: Floats
    own: Floats
    detector: Ints
    n_detectors: int
    shared_class: Ints
    own_class: Ints
    expected: Floats
    modes: NDArray[np.bool_]

    def take(self, rows: NDArray[np.bool_]) -> Terms:
        """Return the design of some stars."""
        return Terms(
            self.shared[rows],
            self.own[rows],
            self.detector[rows],
            self.n_detectors,
            self.shared_class,
            self.own_class,
            self.expected,
            self.modes,
        )


@dataclass(frozen=True, eq=False)
class Widths:
    """What a fit has found of the spread of terms and stars, to start the next with.

    Parameters
    ----------
    prior2
        τ² by class and mode, (C, M).
    scatter2
        S of each mode, (M,).
    """

    prior2: Floats
    scatter2: Floats


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """Amplitudes over the focal plane.

    Parameters
    ----------
    shared, own
        c, shapes (T, M) and (D, K, M).
    widths
        τ² and S.
    residual, residual_sigma
        Measured minus fitted amplitudes of each star and their expected deviations, S included,
        (N, M).
    """

    shared: Floats
    own: Floats
    widths: Widths
    residual: Floats
    residual_sigma: Floats

    def at(self, terms: Terms) -> Floats:
        """Return the amplitudes at stars, (N, M)."""
        return _amplitudes(terms, self.shared, self.own)


def fit_hierarchy(
    right: Floats, precision: Floats, terms: Terms, start: Widths | None = None
) -> Hierarchy:
    """Fit amplitudes.

    Parameters
    ----------
    right, precision
        G_s a_s and G_s, in the axes of the focal plane, shapes (N, M) and (N, M, M).
    terms
        The design.
    start
        Widths to begin with.

    Notes
    -----
    A round costs N (T + K)² M² + D (K M)³ + (T M)³ operations: 1 ms for 150 stars on four
    detectors with 17 and 6 terms.
    """
    scale = typical_variance(precision)
    expected2 = np.square(terms.expected)[:, None] * np.square(_SHARE)
    expected2 = expected2 * scale / scale[:_SECOND_ORDER].mean()
    if start is None:
        prior2 = np.where(np.isnan(expected2), np.inf, np.maximum(scale, 1e-4))
        prior2 = np.where(terms.modes, prior2, _ABSENT)
        start = Widths(prior2, 0.1 * scale)
    prior2, scatter2 = start.prior2, start.scatter2
    products = _Products(terms)
    for _ in range(_ROUNDS):
        weighted, hessian = with_scatter(right, precision, scatter2)
        found = _solve(products, weighted, hessian, prior2)
        new_prior2 = _update_prior(terms, found, prior2, expected2)
        pull = weighted - _times(hessian, _amplitudes(terms, found.shared, found.own))
        new_scatter2 = _update_scatter(pull, hessian, products.variances(found), scatter2)
        settled = np.allclose(new_scatter2, scatter2, rtol=_TOLERANCE, atol=1e-9)
        settled &= np.allclose(1 / new_prior2, 1 / prior2, rtol=_TOLERANCE)
        prior2, scatter2 = new_prior2, new_scatter2
        if settled:
            break
    shared, own = found.shared, found.own
    residual, variance = _residuals(right, precision, _amplitudes(terms, shared, own))
    sigma = np.sqrt(variance + scatter2)
    return Hierarchy(shared, own, Widths(prior2, scatter2), residual, sigma)


def _amplitudes(terms: Terms, shared: Floats, own: Floats) -> Floats:
    total = terms.shared @ shared
    if own.shape[1]:
        total = total + np.einsum("nk,nkm->nm", terms.own, own[terms.detector])
    return np.asarray(total)


def _residuals(right: Floats, precision: Floats, fitted: Floats) -> tuple[Floats, Floats]:
    """Return measured minus fitted amplitudes, and the variances of the former."""
    trace = np.einsum("naa->n", precision) / precision.shape[1]
    tiny = (1e-9 * trace + 1e-12)[:, None, None] * np.eye(precision.shape[1])
    noise = np.linalg.inv(precision + tiny)
    return np.einsum("nab,nb->na", noise, right) - fitted, np.einsum("naa->na", noise)


@dataclass(frozen=True, eq=False)
class _Found:
    """Coefficients and their covariances: shared, (T, M) and (TM, TM); of detectors.

    The gain of a detector is by how much its coefficients fall where shared ones rise.
    """

    shared: Floats
    own: Floats
    covariance: Floats
    inverses: list[Floats]
    gains: list[Floats]
    own_variances: Floats

    @property
    def shared_variances(self) -> Floats:
        return np.diag(self.covariance).reshape(self.shared.shape)

    def joint(self, detector: int) -> Floats:
        """Return the covariance of shared coefficients and those of a detector."""
        inverse, gain = self.inverses[detector], self.gains[detector]
        cross = -self.covariance @ gain
        return np.block([[self.covariance, cross], [cross.T, inverse - gain.T @ cross]])


class _Products:
    """Products of the design's columns, which stay the same from round to round."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        shared, own = terms.shared, terms.own
        self.shared = _outer(shared, shared)
        self.rows = [np.flatnonzero(terms.detector == d) for d in range(terms.n_detectors)]
        self.cross = [_outer(shared[r], own[r]) for r in self.rows]
        self.own = [_outer(own[r], own[r]) for r in self.rows]

    def variances(self, found: _Found) -> Floats:
        """Return the covariance of the fitted amplitudes at each star, (N, M, M)."""
        n_modes = found.shared.shape[1]
        result = np.zeros((len(self.shared), n_modes, n_modes))
        n_terms = self.terms.shared.shape[1] + self.terms.own.shape[1]
        for d, rows in enumerate(self.rows):
            if not rows.size:
                continue
            design = np.concatenate([self.terms.shared[rows], self.terms.own[rows]], axis=1)
            joint = found.joint(d).reshape(n_terms, n_modes, n_terms, n_modes)
            flat = joint.transpose(0, 2, 1, 3).reshape(n_terms**2, n_modes**2)
            result[rows] = (_outer(design, design) @ flat).reshape(-1, n_modes, n_modes)
        return result


def _outer(a: Floats, b: Floats) -> Floats:
    return (a[:, :, None] * b[:, None, :]).reshape(len(a), a.shape[1] * b.shape[1])


def _normal(products: Floats, hessian: Floats, shape: tuple[int, int]) -> Floats:
    """Return Σ_s (a bᵀ)_s ⊗ H_s as a matrix of (term, mode) by (term, mode)."""
    n_modes = hessian.shape[1]
    flat = products.T @ hessian.reshape(len(hessian), n_modes**2)
    whole = flat.reshape(*shape, n_modes, n_modes).transpose(0, 2, 1, 3)
    return whole.reshape(shape[0] * n_modes, shape[1] * n_modes)


def _times(matrices: Floats, vectors: Floats) -> Floats:
    return np.einsum("nab,nb->na", matrices, vectors)


def _solve(products: _Products, weighted: Floats, hessian: Floats, prior2: Floats) -> _Found:
    """Solve the arrow system: detectors are eliminated, the shared terms solved, and back."""
    terms = products.terms
    n_modes, n_shared, n_own = weighted.shape[1], terms.shared.shape[1], terms.own.shape[1]
    system = _normal(products.shared, hessian, (n_shared, n_shared))
    system = system + np.diag((1 / prior2[terms.shared_class]).ravel())
    target = (terms.shared.T @ weighted).ravel()
    own_prior = np.diag((1 / prior2[terms.own_class]).ravel())
    inverses: list[Floats] = []
    gains: list[Floats] = []
    rights: list[Floats] = []
    for d, rows in enumerate(products.rows):
        own = _normal(products.own[d], hessian[rows], (n_own, n_own)) + own_prior
        cross = _normal(products.cross[d], hessian[rows], (n_shared, n_own))
        inverses.append(np.asarray(np.linalg.inv(own)))
        gains.append(cross @ inverses[d])
        rights.append((terms.own[rows].T @ weighted[rows]).ravel())
        system = system - gains[d] @ cross.T
        target = target - gains[d] @ rights[d]
    covariance = np.asarray(np.linalg.inv(system))
    shared = covariance @ target
    parts = list(zip(inverses, gains, rights, strict=True))
    coefficients: Floats = np.array([i @ right - g.T @ shared for i, g, right in parts])
    variances = np.array(
        [
            np.diag(i) + np.einsum("ij,ik,kj->j", g, covariance, g, optimize=True)
            for i, g, _ in parts
        ]
    )
    shape = (terms.n_detectors, n_own, n_modes)
    return _Found(
        shared.reshape(n_shared, n_modes),
        coefficients.reshape(shape),
        covariance,
        inverses,
        gains,
        variances.reshape(shape),
    )


def _update_prior(terms: Terms, found: _Found, prior2: Floats, expected2: Floats) -> Floats:
    """Return the next τ², Σ c² / Σ (1 - posterior variance / τ²) over the terms that share it."""
    n_modes = found.shared.shape[1]
    own, spread_own = (a.reshape(-1, n_modes) for a in (found.own, found.own_variances))
    values = np.concatenate([found.shared, own])
    spread = np.concatenate([found.shared_variances, spread_own])
    kind = np.concatenate([terms.shared_class, np.tile(terms.own_class, terms.n_detectors)])
    known = np.clip(1 - spread / prior2[kind], 0, 1)
    updated = prior2.copy()
    for c in range(len(prior2)):
        if np.isinf(prior2[c]).any():
            continue
        for group in np.unique(GROUPS):
            modes = (group == GROUPS) & terms.modes[c]
            if not modes.any():
                continue
            cell = np.ix_(kind == c, modes)
            total = np.square(values[cell]).sum() + _WEAK_PRIOR * expected2[c, modes].mean()
            updated[c, modes] = total / (max(known[cell].sum(), 1e-3) + _WEAK_PRIOR)
    return updated


def _update_scatter(pull: Floats, hessian: Floats, fitted: Floats, scatter2: Floats) -> Floats:
    """Return the next S, that of largest restricted likelihood.

    There Σ (H r)² = Σ diag(H - H V H), V being the covariance of the fitted amplitudes: the
    brightest star of a corner, which draws the fit to itself, says nothing of S.
    """
    updated = scatter2.copy()
    free = np.einsum("naa->na", hessian - hessian @ fitted @ hessian)
    for group in np.unique(GROUPS):
        members = group == GROUPS
        expected = max(float(free[:, members].sum()), 1e-300)
        ratio = float(np.square(pull[:, members]).sum()) / expected
        updated[members] = np.clip(scatter2[members] * np.clip(ratio, 0.2, 5), _LEAST_VARIANCE, 1.0)
    return updated
