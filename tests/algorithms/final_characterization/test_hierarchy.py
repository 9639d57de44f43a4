"""Amplitudes over the focal plane: the arrow system, its widths, and what is recovered."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.final_characterization.hierarchy import Terms, fit_hierarchy
from drpflow.algorithms.final_characterization.hierarchy import (
    _Products as Products,
)
from drpflow.algorithms.final_characterization.hierarchy import (
    _solve as solve,
)
from drpflow.algorithms.psf_fit.model import N_MODES
from drpflow.data.polynomial import UNIT, Basis2D

D, N = 5, 150


def terms(rng: np.random.Generator, n: int = N, own_order: int = 1) -> Terms:
    """Detectors in a row, quadratic terms over all, linear ones of each."""
    detector = np.sort(rng.integers(0, D, n))
    u, v = rng.uniform(-1, 1, (2, n))
    shared = Basis2D(2, UNIT).design((detector + 0.5 + u / 2) / D * 2 - 1, v)
    own = Basis2D(own_order, UNIT).design(u, v)
    degree = Basis2D(2, UNIT).exponents.sum(axis=1)
    own_class = 3 + Basis2D(own_order, UNIT).exponents.sum(axis=1)
    expected = np.array([np.nan, 0.015, 0.0075, 0.003, 0.0015])[: own_class.max() + 1]
    modes = np.ones((len(expected), N_MODES), bool)
    return Terms(shared, own, detector, D, degree, own_class, expected, modes)


def noise(rng: np.random.Generator, n: int, sigma: float) -> np.ndarray:
    """Inverse covariances of about sigma, with correlations."""
    mixed = np.eye(N_MODES) + 0.2 * rng.normal(size=(n, N_MODES, N_MODES))
    return mixed @ mixed.transpose(0, 2, 1) / sigma**2


def measured(
    design: Terms, shared: np.ndarray, own: np.ndarray, precision: np.ndarray, scatter: float,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    true = design.shared @ shared + np.einsum("nk,nkm->nm", design.own, own[design.detector])
    true = true + scatter * rng.normal(size=true.shape)
    factor = np.linalg.cholesky(np.linalg.inv(precision))
    seen = true + np.einsum("nab,nb->na", factor, rng.normal(size=true.shape))
    return np.einsum("nab,nb->na", precision, seen)


def test_arrow_is_the_dense_solution() -> None:
    rng = np.random.default_rng(1)
    design = terms(rng, 60)
    hessian, weighted = noise(rng, 60, 0.01), rng.normal(size=(60, N_MODES))
    prior2 = np.array([np.inf, 1e-3, 1e-4, 1e-4, 1e-5])[:, None] * np.ones(N_MODES)
    found = solve(Products(design), weighted, hessian, prior2)
    t, k = design.shared.shape[1], design.own.shape[1]
    whole = np.zeros((60, t + D * k))
    whole[:, :t] = design.shared
    for row, d in enumerate(design.detector):
        whole[row, t + d * k : t + (d + 1) * k] = design.own[row]
    kind = np.concatenate([design.shared_class, np.tile(design.own_class, D)])
    normal = np.einsum("nj,nk,nab->jakb", whole, whole, hessian).reshape(len(kind) * N_MODES, -1)
    covariance = np.linalg.inv(normal + np.diag((1 / prior2[kind]).ravel()))
    dense = (covariance @ np.einsum("nj,na->ja", whole, weighted).ravel()).reshape(-1, N_MODES)
    assert found.shared == pytest.approx(dense[:t], rel=1e-6, abs=1e-9)
    assert found.own.reshape(-1, N_MODES) == pytest.approx(dense[t:], rel=1e-6, abs=1e-9)
    diagonal = np.diag(covariance).reshape(-1, N_MODES)
    assert found.shared_variances == pytest.approx(diagonal[:t], rel=1e-6)
    assert found.own_variances.reshape(-1, N_MODES) == pytest.approx(diagonal[t:], rel=1e-6)
    blocks = covariance.reshape(len(kind), N_MODES, len(kind), N_MODES)
    wanted = np.einsum("nj,jakb,nk->nab", whole, blocks, whole, optimize=True)
    assert Products(design).variances(found) == pytest.approx(wanted, rel=1e-5, abs=1e-12)


def test_detectors_that_do_not_differ_have_no_terms_of_their_own() -> None:
    rng = np.random.default_rng(2)
    design, precision = terms(rng), noise(rng, N, 0.01)
    shared = 0.02 * rng.normal(size=(6, N_MODES))
    right = measured(design, shared, np.zeros((D, 3, N_MODES)), precision, 0.0, rng)
    found = fit_hierarchy(right, precision, design)
    assert np.abs(found.own).max() < 0.002
    assert np.sqrt(np.square(found.at(design) - design.shared @ shared).mean()) < 0.003
    assert np.sqrt(found.widths.scatter2).max() < 0.004


def test_detectors_that_differ_have_them() -> None:
    rng = np.random.default_rng(3)
    design, precision = terms(rng), noise(rng, N, 0.005)
    own = 0.02 * rng.normal(size=(D, 3, N_MODES))
    right = measured(design, np.zeros((6, N_MODES)), own, precision, 0.0, rng)
    found = fit_hierarchy(right, precision, design)
    true = np.einsum("nk,nkm->nm", design.own, own[design.detector])
    assert np.sqrt(np.square(found.at(design) - true).mean()) < 0.003


def test_scatter_of_stars_is_told_from_noise() -> None:
    """Also where a few bright stars draw the fit to themselves."""
    rng = np.random.default_rng(4)
    design = terms(rng)
    precision = noise(rng, N, 0.02)
    precision[::10] *= 400
    right = measured(
        design, np.zeros((6, N_MODES)), np.zeros((D, 3, N_MODES)), precision, 0.004, rng
    )
    scatter = np.sqrt(fit_hierarchy(right, precision, design).widths.scatter2)
    assert scatter.mean() == pytest.approx(0.004, abs=0.0012)


def test_a_detector_without_stars_follows_the_others() -> None:
    rng = np.random.default_rng(5)
    design = terms(rng)
    kept = design.detector != 2
    shared = 0.02 * rng.normal(size=(6, N_MODES))
    precision = noise(rng, int(kept.sum()), 0.01)
    some = design.take(kept)
    right = measured(some, shared, np.zeros((D, 3, N_MODES)), precision, 0.0, rng)
    found = fit_hierarchy(right, precision, some)
    assert not found.own[2].any()
    off = found.at(design)[~kept] - design.shared[~kept] @ shared
    assert np.sqrt(np.square(off).mean()) < 0.004
