"""Pixels that were made again: equal ones pass, others are told apart."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.compression.agreement import check, compare
from drpflow.errors import AlgorithmError

SHAPE, TILE, STEP = (96, 96), (32, 32), 2.0
STEPS = np.full(9, STEP)


@pytest.fixture
def plane() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 16 * STEP, SHAPE).astype(np.float32)


@pytest.fixture
def compressed(plane) -> np.ndarray:
    return plane + np.random.default_rng(2).uniform(-STEP / 2, STEP / 2, SHAPE).astype(np.float32)


def test_equal_pixels_agree(plane, compressed):
    found = compare(plane, compressed, STEPS, TILE)
    assert found.holds
    assert found.n_pixels == plane.size
    assert found.rms_steps == pytest.approx(1 / 12**0.5, rel=0.02)
    check({"image": found})


def test_rounding_does_not_matter(plane, compressed):
    again = np.nextafter(plane, np.float32(np.inf))
    assert compare(again, compressed, STEPS, TILE).holds


def test_one_other_pixel_is_found(plane, compressed):
    plane[40, 50] += 3 * STEP
    found = compare(plane, compressed, STEPS, TILE)
    assert found.n_different == 1
    with pytest.raises(AlgorithmError, match="1 of 9216 pixels of the image differ"):
        check({"variance": compare(compressed, compressed, STEPS, TILE), "image": found})


def test_a_shift_far_below_a_step_is_found_in_the_mean(plane, compressed):
    # 0.1 steps are 0.006 of the noise.
    shifted = plane.copy()
    shifted[:32, :32] += np.float32(0.1 * STEP)
    inside = np.abs(shifted - compressed) <= STEP / 2
    shifted = np.where(inside, shifted, plane)
    found = compare(shifted, compressed, STEPS, TILE)
    assert found.n_different == 0
    with pytest.raises(AlgorithmError, match="mean of the image differs"):
        check({"image": found})


@pytest.mark.parametrize("which", [0, 1])
def test_a_value_where_there_was_none_is_found(plane, compressed, which):
    (plane, compressed)[which][3, 3] = np.nan
    assert compare(plane, compressed, STEPS, TILE).n_different == 1


def test_tiles_without_loss_must_be_equal(plane):
    steps = STEPS.copy()
    steps[4] = 0
    compressed = plane.copy()
    assert compare(plane, compressed, steps, TILE).holds
    compressed[40, 40] += np.float32(1e-3)
    assert compare(plane, compressed, steps, TILE).n_different == 1


def test_zeros_are_exact_and_do_not_count(plane, compressed):
    plane[:40], compressed[:40] = 0, 0
    assert compare(plane, compressed, STEPS, TILE).rms_steps == pytest.approx(12**-0.5, rel=0.03)
