"""Parts of the astrometric solution on their own."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.astrometric_fit.normal import BlockFactor, conjugate_gradients
from drpflow.algorithms.astrometric_fit.packed import PackedMatrix
from drpflow.algorithms.astrometric_fit.start import _robust, _turned
from drpflow.data.tan_projection import TanProjection


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
