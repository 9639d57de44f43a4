"""ρ statistics of stars whose residuals are known."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.rho_statistics import PsfResiduals, rho_statistics

EDGES = np.geomspace(0.2, 12, 7)
N_STARS, N_VISITS = 200, 6


def stars(e: complex, de: complex, dt: float, noise: float = 0.0) -> PsfResiduals:
    rng = np.random.default_rng([31])
    n = N_STARS * N_VISITS
    x, y = rng.uniform(0, 8, (2, n))
    scatter = noise * (rng.normal(size=n) + 1j * rng.normal(size=n))
    visit = np.repeat(np.arange(N_VISITS), N_STARS)
    return PsfResiduals(visit, x, y, np.full(n, e), de + scatter, np.full(n, dt))


def test_constants_have_the_products_of_the_definition() -> None:
    e, de, dt = 0.05 + 0.02j, 0.003 - 0.001j, 0.01
    found = rho_statistics(stars(e, de, dt), EDGES)
    cross = (e.conjugate() * de).real
    expected = [abs(de) ** 2, cross, dt**2 * abs(e) ** 2, dt * cross, dt * abs(e) ** 2]
    for rho, value in zip(found.rho, expected, strict=True):
        np.testing.assert_allclose(rho, value, rtol=1e-9)
    assert (found.separation_arcmin > EDGES[:-1]).all()
    assert (found.separation_arcmin < EDGES[1:]).all()


def test_noise_is_in_no_mean_and_is_the_error() -> None:
    noise = 0.02
    found = rho_statistics(stars(0.05, 0.0, 0.0, noise), EDGES)
    pull = found.rho[0] / found.error[0]
    assert np.abs(pull).max() < 5
    # Each product of two stars has the variance 2 (noise²)² in each of the two coordinates.
    np.testing.assert_allclose(found.error[0], noise**2 * np.sqrt(2 / found.n_pairs), rtol=0.8)


def test_turning_the_axes_changes_nothing() -> None:
    given = stars(0.05 + 0.01j, 0.002, 0.01, 0.01)
    turn = np.exp(2j * np.deg2rad(35))
    turned = PsfResiduals(
        given.visit, given.x_arcmin, given.y_arcmin, given.e * turn, given.de * turn, given.dt
    )
    a, b = (rho_statistics(s, EDGES) for s in (given, turned))
    np.testing.assert_allclose(a.rho, b.rho, rtol=1e-9)


def test_pairs_of_different_visits_do_not_count() -> None:
    given = stars(0.05, 0.001, 0.0)
    found = rho_statistics(given, [0.0, 100.0])
    assert found.n_pairs[0] == N_VISITS * N_STARS * (N_STARS - 1) // 2


def test_what_is_not_known_does_not_count() -> None:
    given = stars(0.05, 0.001, 0.0)
    given.dt[given.visit > 0] = np.nan
    found = rho_statistics(given, [0.0, 100.0])
    assert found.n_pairs[0] == N_STARS * (N_STARS - 1) // 2
    assert np.isnan(found.error).all(), "a single visit"
    none = rho_statistics(given.take(given.visit > 0), EDGES)
    assert not none.n_pairs.any()
    assert np.isnan(none.rho).all()
    assert none.rho == pytest.approx(none.error, nan_ok=True)
