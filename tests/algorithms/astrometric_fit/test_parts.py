"""Parts of the astrometric solution on their own."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.astrometric_fit.layout import make_layout
from drpflow.algorithms.astrometric_fit.normal import BlockFactor, conjugate_gradients
from drpflow.algorithms.astrometric_fit.packed import PackedMatrix
from drpflow.algorithms.astrometric_fit.rows import Tables, grouped, sort_rows
from drpflow.algorithms.astrometric_fit.sky import (
    make_sky,
    refine_population,
    tells_mean_motion,
)
from drpflow.algorithms.astrometric_fit.start import _robust, _turned
from drpflow.config.solve_astrometry import SolveAstrometryConfig
from drpflow.data.tan_projection import TanProjection
from drpflow.kernels.astrometric_model import Found
from tests.algorithms.astrometric_fit.made_up_survey import Recipe, make_survey

CONFIG = SolveAstrometryConfig()


def matrix(n: int, seed: int = 0) -> np.ndarray:
    a = np.random.default_rng(seed).normal(size=(n, n + 5))
    return a @ a.T + np.eye(n)


def test_packed_matrix_is_factored_and_solved() -> None:
    n = 900
    whole, packed = matrix(n), PackedMatrix(n)
    for i in range(n):
        packed.values[packed.start[i] : packed.start[i] + i + 1] = whole[i, : i + 1]
    np.testing.assert_array_equal(packed.diagonal, np.diag(whole))
    packed.add_diagonal(np.full(n, 2.0))
    whole += 2 * np.eye(n)
    factor = packed.factor()
    right = np.random.default_rng(1).normal(size=(n, 3))
    np.testing.assert_allclose(factor.solve(right), np.linalg.solve(whole, right), atol=1e-8)
    low = np.linalg.cholesky(whole)
    np.testing.assert_allclose(
        factor.solve_upper(right[:, 0]), np.linalg.solve(low.T, right[:, 0]), atol=1e-8
    )


def test_packed_matrix_that_is_not_positive_is_refused() -> None:
    packed = PackedMatrix(4)
    packed.add_diagonal(np.array([1.0, 1.0, -1.0, 1.0]))
    with pytest.raises(np.linalg.LinAlgError):
        packed.factor()


def test_conjugate_gradients_reach_the_solution() -> None:
    whole, right = matrix(30), np.arange(30.0)
    diagonal = np.diag(whole)
    x, iterations = conjugate_gradients(
        lambda v: whole @ v,
        lambda v: v / diagonal,
        right,
        lambda rest: bool(np.abs(rest).max() < 1e-12),
        200,
    )
    assert iterations < 200
    np.testing.assert_allclose(whole @ x, right, atol=1e-7)


def test_block_factor_solves_block_by_block() -> None:
    a, b = matrix(3, 1), matrix(2, 2)
    factor = BlockFactor(np.linalg.cholesky(a)[None], np.linalg.cholesky(b)[None])
    right = np.arange(1.0, 6.0)
    expected = np.concatenate([np.linalg.solve(a, right[:3]), np.linalg.solve(b, right[3:])])
    np.testing.assert_allclose(factor.solve(right), expected)
    assert factor.solve_upper(np.ones((5, 4))).shape == (5, 4)


@pytest.mark.parametrize("x_axis", ["west", "east"])
def test_a_plane_turns_to_where_the_camera_looks(x_axis: str) -> None:
    true = TanProjection(30.02, -80.01, 77.0, x_axis)  # type: ignore[arg-type]
    plane = TanProjection(30.0, -80.0, 75.0, x_axis)  # type: ignore[arg-type]
    field = np.random.default_rng(1).uniform(-1, 1, (50, 2))
    for _ in range(2):
        place = np.stack(plane.from_sky(*true.to_sky(*field.T)), axis=1)
        plane = _turned(plane, _robust(field, place)[0])
    assert plane.ra_deg == pytest.approx(true.ra_deg, abs=1e-5)
    assert plane.dec_deg == pytest.approx(true.dec_deg, abs=1e-6)
    assert plane.rotation_deg == pytest.approx(true.rotation_deg, abs=1e-5)


def test_wrong_matches_do_not_move_the_start() -> None:
    rng = np.random.default_rng(2)
    field = rng.uniform(-1, 1, (400, 2))
    shift = np.where(np.arange(400)[:, None] < 120, rng.uniform(-3000, 3000, (400, 2)), 500.0)
    found, scatter = _robust(field, field + (shift + rng.normal(0, 5, (400, 2))) / 3.6e6)
    np.testing.assert_allclose(found[:, 0], 500.0, atol=5.0)
    assert scatter < 20


@pytest.mark.parametrize("n_groups", [7, 40_000])
def test_rows_by_group(n_groups: int) -> None:
    group = np.random.default_rng(3).integers(0, n_groups, 5000).astype(np.int32)
    group[:2] = 0, n_groups - 1
    order, ends = grouped(group, n_groups)
    np.testing.assert_array_equal(order[ends[-2] :], np.flatnonzero(group == n_groups - 1))
    np.testing.assert_array_equal(order[: ends[1]], np.flatnonzero(group == 0))
    assert (np.diff(group[order]) >= 0).all()


def test_stars_that_tell_nothing_do_not_raise_the_order() -> None:
    made = make_survey(Recipe(visits=4, stars_per_detector=200))
    stars = made.stars.without_reference()
    alone = made.observations.visit == 0
    shared = np.unique(made.observations.star[~alone])
    few = alone & np.isin(made.observations.star, shared[::40])
    only_here = np.setdiff1d(made.observations.star[alone], shared)
    rows = made.observations.take(~alone | few | np.isin(made.observations.star, only_here))
    tables = Tables.sorted(made.visits, made.detectors, stars)
    layout = make_layout(sort_rows(rows, tables, CONFIG), tables, CONFIG.model)
    assert layout.visit_order[0] < 3
    assert (layout.visit_order[1:] == 3).all()


def test_reserved_stars_do_not_tell_the_spread_of_motions() -> None:
    made = make_survey(Recipe(visits=4))
    sky = make_sky(made.stars, 60000.0, np.ones(len(made.stars), bool), CONFIG)
    n, rng = len(made.stars), np.random.default_rng(1)
    shift = rng.normal(0, 8.0, (n, 5))
    far = np.where(made.stars.reserved[:, None], 500.0, 0.0)
    covariance = np.tile(np.eye(5) * 0.01, (n, 1, 1))
    tells = tells_mean_motion(made.stars, CONFIG)
    assert tells.all()
    assert not tells_mean_motion(made.stars.without_reference(), CONFIG).any()
    spreads = []
    for values in (shift, shift + far):
        empty = dict.fromkeys(Found._fields, np.zeros(0))
        found = Found(**{**empty, "shift": values, "covariance": covariance})
        spreads.append(refine_population(sky, found, tells, CONFIG))
    np.testing.assert_array_equal(spreads[0].sigma, spreads[1].sigma)
    np.testing.assert_allclose(spreads[0].sigma[:2], 8.0, rtol=0.15)
