"""Kernels of the astrometric solution against plain numpy."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from drpflow.algorithms.astrometric_fit.fit import Fit, begin
from drpflow.algorithms.astrometric_fit.held_maps import held_maps
from drpflow.algorithms.astrometric_fit.layout import make_layout
from drpflow.algorithms.astrometric_fit.normal import join
from drpflow.algorithms.astrometric_fit.rows import Tables, sort_rows
from drpflow.algorithms.astrometric_fit.sky import make_sky, tells_mean_motion
from drpflow.algorithms.astrometric_fit.start import find_planes
from drpflow.config.solve_astrometry import SolveAstrometryConfig
from drpflow.data.polynomial import UNIT, Basis2D
from drpflow.kernels.astrometric_fit import catalogue_distance2, joint_distance2
from drpflow.kernels.astrometric_model import USED, chebyshev_terms, gnomonic, invert_spd
from drpflow.kernels.astrometric_rows import (
    count_pairs,
    count_shared,
    count_stars,
    count_states,
    link_visits,
)
from tests.algorithms.astrometric_fit.made_up_survey import MAS_PER_DEG, Recipe, make_survey

CONFIG = SolveAstrometryConfig()


@cache
def small_fit() -> Fit:
    made = make_survey(Recipe(visits=5, grid=(2, 1), stars_per_detector=40, dither_detectors=0.5))
    tables = Tables.sorted(made.visits, made.detectors, made.stars)
    rows = sort_rows(made.observations, tables, CONFIG)
    epoch = float(tables.visits.mjd.mean())
    sky = make_sky(tables.stars, epoch, np.ones(len(tables.stars), bool), CONFIG)
    planes = find_planes(rows, tables, None)
    layout = make_layout(rows, tables, CONFIG.model)
    tells = tells_mean_motion(tables.stars, CONFIG)
    known = held_maps((), layout, tables, CONFIG.model)
    fit = begin(tables, rows, layout, planes, sky, known, tells, epoch, CONFIG)
    fit._judge(guess=False)
    return fit


def gnomonic_of(fit: Fit, star: int, visit: int) -> tuple[tuple[float, float], np.ndarray]:
    turn = np.empty((2, 2))
    return gnomonic(star, visit, fit.sky, fit.model, turn), turn


def dense(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Return S without priors of the maps and the gradient, from explicit matrices."""
    rows, sky, model, found, layout = fit.rows, fit.sky, fit.model, fit.found, fit.layout
    n_c, n_q = model.c[0].size, model.q[0].size
    size = model.c.size + model.q.size
    total, gradient = np.zeros((size, size)), np.zeros(size)
    for s in range(rows.first.size - 1):
        if not sky.fit[s]:
            continue
        inside = slice(rows.first[s], rows.first[s + 1])
        own = [i for i in range(inside.start, inside.stop) if found.state[i] == USED]
        normal = sky.prior[sky.kind[s]] + found.tied[s] * sky.share[s]
        coupling = np.zeros((size, 5))
        for i in own:
            m, v = rows.map[i], rows.visit[i]
            phi = layout.map_basis[m].design(*rows.f[i])
            g = rows.f[i] + model.c[m] @ phi / MAS_PER_DEG
            psi = np.append(layout.visit_basis.design(*g), -sky.kappa[s])
            jacobian = np.zeros((2, size))
            for b in range(2):
                jacobian[b, m * n_c + b * phi.size : m * n_c + (b + 1) * phi.size] = phi
                at = model.c.size + v * n_q + b * psi.size
                jacobian[b, at : at + psi.size] = psi
            east, north = sky.axes[s]
            factors = [-east @ model.earth[v], -north @ model.earth[v]]
            motion = np.column_stack([np.eye(2), model.t[v] * np.eye(2), factors])
            effect = gnomonic_of(fit, s, v)[1] @ motion
            xx, xy, yy = rows.c[i].astype(np.float64)
            weight = np.linalg.inv(np.array([[xx + model.floor[v], xy], [xy, yy + model.floor[v]]]))
            normal = normal + effect.T @ weight @ effect
            coupling += jacobian.T @ weight @ effect
            total += jacobian.T @ weight @ jacobian
            gradient += jacobian.T @ weight @ found.residual[i]
        total -= coupling @ np.linalg.solve(normal, coupling.T)
    return total, gradient


@pytest.mark.parametrize("order", [0, 1, 2, 3, 4, 5, 7])
def test_terms_are_those_of_the_basis(order: int) -> None:
    basis = Basis2D(order, UNIT)
    out, room = np.full((2, basis.n_terms + 2), np.nan), np.empty((2, 16))
    chebyshev_terms(0.3, -0.8, order, basis.n_terms, room, out, 1)
    np.testing.assert_allclose(out[1, :-2], basis.design(0.3, -0.8), atol=1e-14)
    assert (out[1, -2:] == 0).all()


def test_inverse() -> None:
    a = np.random.default_rng(1).normal(size=(5, 9))
    out = np.empty((5, 5))
    invert_spd(a @ a.T, out)
    np.testing.assert_allclose(out @ (a @ a.T), np.eye(5), atol=1e-10)


def test_products_are_those_of_the_matrix() -> None:
    fit = small_fit()
    system, (matrix, gradient) = fit.system(), dense(fit)
    rng = np.random.default_rng(2)
    x = rng.normal(size=gradient.size)
    out = system.multiply(x) - system.prior.times(x)
    c, q = system.split(x)
    held = np.zeros_like(q)
    shared = slice(0, system.n_shared)
    held[:, :, shared] = system._stiffness(0) * q[:, :, shared].sum(axis=0)
    expected = matrix @ x + join(np.zeros_like(c), held)
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
    found = join(fit.found.gradient_c, fit.found.gradient_q)
    np.testing.assert_allclose(found, gradient, rtol=1e-4, atol=1e-4 * np.abs(gradient).max())


def test_the_factor_is_of_the_same_matrix() -> None:
    system = small_fit().system()
    factor, diagonal = system.factor()
    x = np.random.default_rng(3).normal(size=system.prior.diagonal.size)
    y = system.multiply(x)
    # Weak directions lose digits in the solution, not in the product.
    np.testing.assert_allclose(system.multiply(factor.solve(y)), y, atol=1e-5 * np.abs(y).max())
    np.testing.assert_allclose(diagonal, np.diag(dense(small_fit())[0]), rtol=1e-5)


def test_places_are_those_of_the_projection() -> None:
    fit = small_fit()
    rows, stars = fit.rows, fit.tables.stars
    for i in (0, 17, 100):
        star, projection = fit.sorted_rows.star[i], fit.planes.projections[rows.visit[i]]
        ra, dec = stars.ra_deg[star], stars.dec_deg[star]
        place = projection.from_sky(ra, dec)
        found, turn = gnomonic_of(fit, star, rows.visit[i])
        np.testing.assert_allclose(found, place, atol=1e-13)
        np.testing.assert_allclose(turn, np.linalg.inv(projection.jacobian(*place)), atol=1e-12)


def test_distance_of_a_catalogue() -> None:
    rng = np.random.default_rng(4)
    a, b = (m @ m.T for m in rng.normal(size=(2, 5, 8)))
    shift, mean = rng.normal(size=(2, 5))
    expected = (shift - mean) @ np.linalg.solve(a + np.linalg.inv(b), shift - mean)
    assert catalogue_distance2(b, mean, shift, a) == pytest.approx(expected)
    # The same from the joint solution, also where the catalogue is far better.
    for share in (b, 1e4 * b):
        joint = np.linalg.inv(np.linalg.inv(a) + share)
        both = joint @ (np.linalg.solve(a, shift) + share @ mean)
        expected = catalogue_distance2(share, mean, shift, a)
        assert joint_distance2(share, mean, both, joint) == pytest.approx(expected, rel=1e-6)


def test_noise_has_the_covariance_of_the_matrix() -> None:
    system = small_fit().system()
    rng = np.random.default_rng(7)
    size = system.prior.diagonal.size
    for _ in range(3):
        x = rng.normal(size=size) / np.sqrt(np.maximum(system.prior.diagonal, 1e-6))
        along = np.array([x @ system.noise(rng) for _ in range(300)])
        q = system.split(x)[1]
        held = sum(system._stiffness(0) * (q[:, :, k].sum(axis=0) ** 2).sum() for k in range(10))
        expected = float(x @ system.multiply(x)) - held
        assert np.mean(along**2) == pytest.approx(expected, rel=0.3)


def test_means_are_those_of_visits_that_take_part() -> None:
    fit = small_fit()
    whole = fit.system()
    part = replace(whole, epoch=np.where(np.arange(5) == 2, -1, whole.epoch))
    c, q = (np.zeros_like(values) for values in (whole.prior.c, whole.prior.q))
    q[2] = 1.0
    change = part.multiply(join(c, q)) - whole.multiply(join(c, q))
    _, moved = whole.split(change)
    kept = np.arange(5) != 2
    assert np.abs(moved[kept][:, :, 0]).min() > 0.5 * whole._stiffness(0)
    _, alone = part.split(part.multiply(join(c, q)))
    only_data = dense(fit)[0] @ join(c, q) + whole.prior.times(join(c, q))
    np.testing.assert_allclose(alone.ravel(), only_data[c.size :], rtol=1e-5, atol=1e-6)


def test_what_rows_tell_alone_is_the_diagonal_without_stars() -> None:
    system = small_fit().system()
    alone = join(*system.alone())
    blocks = system._block_factor()[1]
    np.testing.assert_allclose(1 / alone, blocks + system.prior.diagonal, rtol=1e-8)


def test_distinct_stars() -> None:
    first, group = np.array([0, 3, 3, 5]), np.array([0, 0, 1, 0, 1], np.int32)
    take = np.array([True, True, True, True, False])
    assert count_stars(first, group, take, 3).tolist() == [2, 1, 0]


def test_rows_in_a_state() -> None:
    first, state = np.array([0, 3, 3, 5]), np.array([0, 1, 0, 2, 1], np.int8)
    assert count_states(first, state, 1).tolist() == [1, 0, 1]


def test_rows_of_two_groups() -> None:
    left, right = np.array([0, 1, 1, 1], np.int32), np.array([2, 0, 0, 0], np.int32)
    take = np.array([True, True, False, True])
    assert count_pairs(left, right, take, (2, 3)).tolist() == [[0, 0, 1], [2, 0, 0]]


@pytest.mark.parametrize("seed", range(5))
def test_visits_that_share_stars(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_visits, n_stars = 12, 15
    star = np.sort(rng.integers(0, n_stars, 30))
    first = np.searchsorted(star, np.arange(n_stars + 1))
    visit = rng.integers(0, n_visits, star.size).astype(np.int32)
    take, anchor = rng.random(star.size) < 0.8, rng.random(n_stars) < 0.1
    count = np.bincount(star[take], minlength=n_stars)
    tied = take & ((count > 1) | anchor)[star]
    found = count_shared(first, visit, take, anchor, n_visits)
    np.testing.assert_array_equal(found, np.bincount(visit[tied], minlength=n_visits))
    # Visits, stars and the catalogue as nodes of a graph.
    size = n_visits + n_stars + 1
    stars = np.flatnonzero(anchor)
    node_a = np.concatenate([visit[take], np.full(stars.size, size - 1)])
    node_b = np.concatenate([star[take], stars]) + n_visits
    graph = coo_matrix((np.ones(node_a.size), (node_a, node_b)), (size, size))
    label = connected_components(graph, directed=False)[1][:n_visits]
    groups = link_visits(first, visit, take, anchor, n_visits)
    np.testing.assert_array_equal(groups[:, None] == groups, label[:, None] == label)
