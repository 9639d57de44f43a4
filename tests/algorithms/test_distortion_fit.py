"""The displacement fit recovers fields, scatter and its own errors, and stays quiet on noise."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.polynomial.legendre import legval
from numpy.typing import NDArray

from drpflow.algorithms.distortion_fit import DisplacementFit, DisplacementModel, fit_displacement

SIZE_MAS = 144_000.0
"""Half the diagonal of 1024 pixels of 0.2 arcsec."""


def model(order: int = 3, term_mas: float = 10.0) -> DisplacementModel:
    return DisplacementModel(order, 2e-3, SIZE_MAS, term_mas)


def places(rng: np.random.Generator, n: int) -> tuple[NDArray, NDArray]:
    u, v = rng.uniform(-1, 1, (2, n))
    return u, v


def design(m: DisplacementModel, u: NDArray, v: NDArray) -> NDArray:
    return m.design(u, v, u / np.sqrt(2), v / np.sqrt(2))


def field(rng: np.random.Generator, term_mas: float) -> NDArray:
    """Draw coefficients of order 3: a large shift, a turn, and terms of a size."""
    coefficients = rng.normal(scale=term_mas, size=len(model().degrees))
    coefficients[:6] = [4e4, -2e4, 300.0, 60.0, 20.0, -30.0]
    return coefficients


def noise(rng: np.random.Generator, errors: NDArray) -> tuple[NDArray, NDArray]:
    """Draw errors that are correlated between the coordinates, and their covariance."""
    factor = errors[:, None, None] * np.array([[1.0, 0.0], [0.5, 0.8]])
    return np.einsum("nij,nj->ni", factor, rng.normal(size=(len(errors), 2))), (
        factor @ np.swapaxes(factor, 1, 2)
    )


def fit(
    rng: np.random.Generator, n: int, term_mas: float, error_mas: float, floor_mas: float
) -> tuple[DisplacementFit, NDArray]:
    """Fit a drawn field; return the fit and its errors on a grid, (n, 2)."""
    truth = field(rng, term_mas)
    u, v = places(rng, n)
    drawn, covariance = noise(rng, np.full(n, error_mas))
    data = design(model(), u, v) @ truth + drawn + floor_mas * rng.normal(size=(n, 2))
    found = fit_displacement(model(), design(model(), u, v), data, covariance, 5.0, 1.0)
    side = np.linspace(-1, 1, 9)
    grid = design(model(), *(g.ravel() for g in np.meshgrid(side, side)))
    return found, found.displacement(grid) - grid @ truth


def test_terms_have_unit_mean_square() -> None:
    m = model(5)
    nodes, weights = np.polynomial.legendre.leggauss(8)
    u, v = (g.ravel() for g in np.meshgrid(nodes, nodes))
    w = np.outer(weights, weights).ravel() / 4
    columns = design(m, u, v)[:, 0, m.degrees >= 2][:, ::2]
    np.testing.assert_allclose(np.einsum("n,nk,nl->kl", w, columns, columns), np.eye(18), atol=1e-9)


def test_terms_are_legendre_polynomials() -> None:
    m = model(4)
    u, v = places(np.random.default_rng(0), 7)
    columns = design(m, u, v)
    # Degree 4 begins with P4(u) in x, and ends with P4(v) in y.
    np.testing.assert_allclose(columns[:, 0, -10], 3 * legval(u, [0, 0, 0, 0, 1]))
    np.testing.assert_allclose(columns[:, 1, -1], 3 * legval(v, [0, 0, 0, 0, 1]))


@pytest.mark.parametrize(("n", "floor_mas"), [(30, 4.0), (60, 4.0), (400, 2.0), (400, 40.0)])
def test_stated_errors_are_right(n: int, floor_mas: float) -> None:
    pulls, floors = [], []
    for seed in range(40):
        found, error = fit(np.random.default_rng([seed, n]), n, 10.0, 6.0, floor_mas)
        side = np.linspace(-1, 1, 9)
        grid = design(model(), *(g.ravel() for g in np.meshgrid(side, side)))
        pulls.append(np.sqrt((error**2).mean() / found.variance(grid).mean()))
        floors.append(found.floor)
    assert np.sqrt(np.mean(np.square(pulls))) == pytest.approx(1.0, abs=0.12)
    assert np.median(floors) == pytest.approx(floor_mas, rel=0.25 if n > 100 else 0.6)


def test_prior_never_costs_much_and_helps_where_stars_are_few() -> None:
    errors, plain = [], []
    for seed in range(40):
        rng = np.random.default_rng([seed, 15])
        truth = field(rng, 3.0)
        u, v = places(rng, 15)
        drawn, covariance = noise(rng, np.full(15, 6.0))
        data = design(model(), u, v) @ truth + drawn
        found = fit_displacement(model(), design(model(), u, v), data, covariance, 5.0, 1.0)
        matrix = design(model(), u, v).reshape(-1, len(truth))
        least_squares = np.linalg.lstsq(matrix, data.ravel(), rcond=None)[0]
        side = np.linspace(-1, 1, 9)
        grid = design(model(), *(g.ravel() for g in np.meshgrid(side, side)))
        errors.append((found.displacement(grid) - grid @ truth).std())
        plain.append((grid @ (least_squares - truth)).std())
    assert np.median(errors) < 0.6 * np.median(plain)


def test_degrees_that_data_do_not_ask_for_are_held_back() -> None:
    rng = np.random.default_rng(1)
    u, v = places(rng, 500)
    drawn, covariance = noise(rng, np.full(500, 6.0))
    m = model(5)
    truth = np.zeros(len(m.degrees))
    truth[m.degrees == 2] = [20, -15, 12, 18, -25, 9]
    data = design(m, u, v) @ truth + drawn
    found = fit_displacement(m, design(m, u, v), data, covariance, 5.0, 1.0)
    assert 10 < found.tau(2) < 30
    assert max(found.tau(n) for n in (3, 4, 5)) < 3.0
    assert found.n_effective < 12 + 32 * 0.9
    assert found.tau(6) == 0.0


def test_an_extra_column_is_fitted_along() -> None:
    rng = np.random.default_rng(2)
    u, v = places(rng, 80)
    color = rng.normal(scale=0.5, size=80)
    m = DisplacementModel(2, 2e-3, SIZE_MAS, 10.0, extra_prior=(60.0,))
    column = color[:, None, None] * np.array([0.6, 0.8])[None, :, None]
    full = np.concatenate([design(m, u, v), column], axis=2)
    drawn, covariance = noise(rng, np.full(80, 5.0))
    truth = np.append(np.zeros(full.shape[2] - 1), 35.0)
    found = fit_displacement(m, full, full @ truth + drawn, covariance, 5.0, 1.0)
    assert found.coefficients[-1] == pytest.approx(35.0, abs=5.0)
    # Without the extra column the displacement is that of a star of colour zero.
    assert np.abs(found.displacement(design(m, u, v))).max() < 8.0
