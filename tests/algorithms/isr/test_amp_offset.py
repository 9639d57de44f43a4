"""Pedestals of amplifiers from the steps at their borders."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.isr.amp_offset import Step, match_amplifiers, solve_pedestals
from drpflow.data.camera import Amplifier

SIZE = 200
PEDESTALS = np.array([1.5, -2.0, 0.7, -0.2])
SETTINGS = {
    "strip_pix": 40, "inset_pix": 3, "min_unmasked_fraction": 0.5, "max_offset": 6.0,
}  # fmt: skip


def amplifiers() -> list[Amplifier]:
    result = []
    for i in range(4):
        x, y = i % 2 * SIZE, i // 2 * SIZE
        box = (x, x + SIZE, y, y + SIZE)
        result.append(
            Amplifier(name=str(i), data_section=box, raw_data_section=box, gain=1, read_noise=1,
                      saturation=1)
        )  # fmt: skip
    return result


def scene(rng: np.random.Generator) -> np.ndarray:
    """A sky with a gradient and stars."""
    y, x = np.mgrid[: 2 * SIZE, : 2 * SIZE]
    image = rng.poisson(200 + 0.05 * x - 0.03 * y).astype(np.float32)
    for _ in range(30):
        y0, x0 = rng.uniform(0, 2 * SIZE, 2)
        image += (rng.uniform(100, 5000) * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 8)).astype(
            np.float32
        )
    return image


def test_pedestals_are_found_over_a_gradient_with_stars() -> None:
    rng = np.random.default_rng(1)
    image = scene(rng)
    clean = image.copy()
    for amp, pedestal in zip(amplifiers(), PEDESTALS, strict=True):
        x0, x1, y0, y1 = amp.data_section
        image[y0:y1, x0:x1] += np.float32(pedestal)
    found = match_amplifiers(image, np.zeros(image.shape, bool), amplifiers(), **SETTINGS)
    assert found.sum() == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(found, PEDESTALS - PEDESTALS.mean(), atol=0.4)
    # What is left is below a third of a pixel's read noise of 1.
    left = image - clean
    assert np.abs([left[50, 50], left[50, 350], left[350, 50], left[350, 350]]).max() < 0.4


def test_steps_that_are_too_large_are_not_believed() -> None:
    rng = np.random.default_rng(2)
    image = rng.normal(100, 10, (2 * SIZE, 2 * SIZE)).astype(np.float32)
    image[:SIZE, :SIZE] += 50
    found = match_amplifiers(image, np.zeros(image.shape, bool), amplifiers(), **SETTINGS)
    assert np.abs(found).max() < 1


def test_a_masked_amplifier_is_left_alone() -> None:
    rng = np.random.default_rng(3)
    image = rng.normal(100, 10, (2 * SIZE, 2 * SIZE)).astype(np.float32)
    masked = np.zeros(image.shape, bool)
    masked[:SIZE, :SIZE] = True
    image[:SIZE, :SIZE] = np.nan
    image[SIZE:, SIZE:] += 3
    found = match_amplifiers(image, masked, amplifiers(), **SETTINGS)
    assert found[0] == 0
    np.testing.assert_allclose(found[1:], [-1, -1, 2], atol=0.5)


def test_groups_that_do_not_touch_have_a_zero_mean_each() -> None:
    pedestals = solve_pedestals([Step(0, 1, 2.0, 0.1), Step(2, 3, -4.0, 0.1)], 5)
    np.testing.assert_allclose(pedestals, [-1, 1, 2, -2, 0], atol=1e-9)


def test_better_steps_weigh_more() -> None:
    steps = [Step(0, 1, 1.0, 0.1), Step(1, 2, 1.0, 0.1), Step(0, 2, 5.0, 10.0)]
    pedestals = solve_pedestals(steps, 3)
    np.testing.assert_allclose(np.diff(pedestals), 1.0, atol=0.01)
