"""The tiled brighter-fatter kernel against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import convolve2d

from drpflow.kernels import brighter_fatter as k


def reference(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """½ div(I grad(K⊗I)) with differences between neighbours and no flux through the edge."""
    reach = kernel.shape[0] // 2 + 2
    padded = np.pad(image.astype(float), reach, mode="edge")
    potential = convolve2d(padded, kernel, mode="same")[reach:-reach, reach:-reach]
    delta = np.zeros(image.shape)
    for axis in (0, 1):
        i = np.moveaxis(image.astype(float), axis, 0)
        flux = 0.25 * (i[1:] + i[:-1]) * np.diff(np.moveaxis(potential, axis, 0), axis=0)
        d = np.moveaxis(delta, axis, 0)
        d[:-1] += flux
        d[1:] -= flux
    return delta


@pytest.mark.parametrize("shape", [(130, 300), (64, 256), (20, 700)])
def test_divergence(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    image = rng.uniform(0, 2e4, shape).astype(np.float32)
    kernel = rng.normal(0, 1e-7, (7, 7))  # no symmetry, so that its sense is tested too
    active = np.ones(k.tile_grid(*shape), bool)
    delta = np.full(shape, np.nan, np.float32)
    k.divergence(image, kernel.astype(np.float32), active, delta)
    want = reference(image, kernel)
    np.testing.assert_allclose(delta, want, atol=2e-5 * np.abs(want).max())
    assert abs(delta.sum(dtype=float)) < 1e-5 * np.abs(want).sum()


def test_inactive_tiles_are_left_alone() -> None:
    shape = (130, 300)
    image = np.random.default_rng(2).uniform(0, 1e4, shape).astype(np.float32)
    kernel = np.full((3, 3), 1e-7, np.float32)
    active = np.zeros(k.tile_grid(*shape), bool)
    active[1, 0] = True
    delta = np.full(shape, 7, np.float32)
    change = np.full(active.shape, -1.0)
    k.divergence(image, kernel, active, delta)
    observed, before = image.copy(), image.copy()
    k.apply_change(observed, delta, active, image, change)
    touched = np.zeros(shape, bool)
    touched[64:128, :256] = True
    assert (delta[~touched] == 7).all()
    np.testing.assert_array_equal(image[~touched], before[~touched])
    np.testing.assert_array_equal(image[touched], (observed + delta)[touched])
    assert change[1, 0] == pytest.approx(np.abs(image - before)[touched].mean(), rel=1e-5)
    assert (np.delete(change.ravel(), 2) == -1).all()
