"""The fit of single stars beside plain linear algebra."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from drpflow.kernels.stellar_motion import N_PARAMETER, Rows, fit_stars

TRUE = np.array([12.0, -7.0, 30.0, -20.0, 4.0, 0.5])


def stars(seed: int, numbers: tuple[int, ...]) -> tuple[Rows, NDArray]:
    """Stars with detections over three years, errors of 5 to 50 mas in ellipses."""
    rng = np.random.default_rng(seed)
    n = sum(numbers)
    years, phase = rng.uniform(-1.5, 1.5, n), rng.uniform(0, 6.3, n)
    factor = np.column_stack([np.cos(2 * np.pi * years), 0.5 * np.sin(2 * np.pi * years)])
    refraction = rng.normal(0, 20, (n, 2))
    size, turn = rng.uniform(5, 50, n), np.stack([np.cos(phase), np.sin(phase)], axis=1)
    matrix = size[:, None, None] ** 2 * (np.eye(2) + 0.5 * turn[:, :, None] * turn[:, None, :])
    noise = np.einsum("nij,nj->ni", np.linalg.cholesky(matrix), rng.normal(size=(n, 2)))
    design = designs(years, factor, refraction)
    covariance = np.column_stack([matrix[:, 0, 0], matrix[:, 0, 1], matrix[:, 1, 1]])
    first = np.concatenate([[0], np.cumsum(numbers)]).astype(np.int64)
    offset = design @ TRUE + noise
    return Rows(first, offset, covariance, covariance.copy(), years, factor, refraction), design


def designs(years: NDArray, factor: NDArray, refraction: NDArray) -> NDArray:
    design = np.zeros((years.size, 2, N_PARAMETER))
    design[:, [0, 1], [0, 1]] = 1
    design[:, [0, 1], [2, 3]] = years[:, None]
    design[:, :, 4], design[:, :, 5] = factor, refraction
    return design


def fit(rows: Rows, prior: NDArray, target: NDArray, limit: float = 1e9, share: float = 0.34):
    n, m = rows.first.size - 1, len(rows.years)
    on = np.ones(m, bool)
    theta, covariance = np.zeros((n, 6)), np.zeros((n, 6, 6))
    chi2, sums = np.zeros((n, 2)), np.zeros((m, 4))
    fit_stars(rows, prior, target, limit**2, share, on, theta, covariance, chi2, sums)
    return theta, covariance, chi2, sums, on


def matrix_of(c: NDArray) -> NDArray:
    return np.array([[c[0], c[1]], [c[1], c[2]]])


def plain(rows: Rows, design: NDArray, own: NDArray, prior: NDArray, target: NDArray):
    normal, right = prior.copy(), target.copy()
    for i in own:
        weight = np.linalg.inv(matrix_of(rows.covariance[i]))
        normal += design[i].T @ weight @ design[i]
        right += design[i].T @ weight @ rows.offset[i]
    return np.linalg.solve(normal, right), np.linalg.inv(normal)


@pytest.fixture
def priors() -> tuple[NDArray, NDArray]:
    prior = np.tile(np.diag([1e-10] * 5 + [1 / 0.3**2]), (3, 1, 1))
    prior[1, 2:4, 2:4] += np.array([[4.0, 1.0], [1.0, 3.0]])
    mean = np.zeros((3, 6))
    mean[:, 5], mean[1, 2:4] = 0.4, (29.0, -21.0)
    return prior, np.einsum("sij,sj->si", prior, mean)


def test_parameters_and_covariances_are_those_of_the_normal_equations(
    priors: tuple[NDArray, NDArray],
) -> None:
    rows, design = stars(1, (20, 8, 5))
    theta, covariance, chi2, _, _ = fit(rows, *priors)
    for s in range(3):
        own = np.arange(rows.first[s], rows.first[s + 1])
        expected, inverse = plain(rows, design, own, priors[0][s], priors[1][s])
        np.testing.assert_allclose(theta[s], expected, rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(covariance[s], inverse, rtol=1e-7, atol=1e-12)
        residual = rows.offset[own] - design[own] @ expected
        weights = [np.linalg.inv(matrix_of(rows.covariance[i])) for i in own]
        total = sum(r @ w @ r for r, w in zip(residual, weights, strict=True))
        free = sum(
            2 - np.trace(w @ d @ inverse @ d.T) for w, d in zip(weights, design[own], strict=True)
        )
        np.testing.assert_allclose(chi2[s], [total, free], rtol=1e-8)


def test_what_rows_tell_of_errors_is_that_of_matrices(priors: tuple[NDArray, NDArray]) -> None:
    rows, design = stars(2, (12, 8, 5))
    theta, covariance, _, sums, _ = fit(rows, *priors)
    for i in (0, 7, 15, 24):
        s = np.searchsorted(rows.first, i, side="right") - 1
        weight = np.linalg.inv(matrix_of(rows.covariance[i]))
        own = weight - weight @ design[i] @ covariance[s] @ design[i].T @ weight
        u = weight @ (rows.offset[i] - design[i] @ theta[s])
        centroid = matrix_of(rows.centroid[i])
        expected = [u @ u, np.trace(own), u @ centroid @ u, np.trace(own @ centroid)]
        np.testing.assert_allclose(sums[i], expected, rtol=1e-8)


def test_spoilt_rows_are_left_out_and_others_are_not(priors: tuple[NDArray, NDArray]) -> None:
    rows, design = stars(3, (20, 8, 6))
    rows.offset[[3, 11]] += [[900.0, 0.0], [0.0, -700.0]]
    rows.offset[22] += 800.0
    theta, _, _, sums, on = fit(rows, *priors, limit=4.5)
    assert set(np.flatnonzero(~on)) == {3, 11, 22}
    assert (sums[~on] == 0).all()
    own = np.setdiff1d(np.arange(20), [3, 11])
    expected, _ = plain(rows, design, own, priors[0][0], priors[1][0])
    np.testing.assert_allclose(theta[0], expected, rtol=1e-7, atol=1e-7)


def test_the_limit_is_the_distance_from_what_the_others_say(
    priors: tuple[NDArray, NDArray],
) -> None:
    """A row just within the limit of the solution without it stays, one just beyond goes."""
    for beyond in (False, True):
        rows, design = stars(4, (9, 8, 6))
        others, inverse = plain(rows, design, np.arange(1, 9), priors[0][0], priors[1][0])
        spread = matrix_of(rows.covariance[0]) + design[0] @ inverse @ design[0].T
        step = np.linalg.cholesky(spread) @ [1.0, 0.0]
        rows.offset[0] = design[0] @ others + step * (6.01 if beyond else 5.99)
        on = fit(rows, *priors, limit=6.0)[-1]
        assert on[0] != beyond
        assert on[1:9].all()


def test_three_rows_stay(priors: tuple[NDArray, NDArray]) -> None:
    rows, _ = stars(5, (4, 3, 6))
    rows.offset[:] += np.random.default_rng(1).normal(0, 2000, rows.offset.shape)
    on = fit(rows, *priors, limit=3.0, share=0.9)[-1]
    assert on[:4].sum() == 3
    assert on[4:7].all()
