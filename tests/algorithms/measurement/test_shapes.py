"""Moments on an image as it is, for the selection of stars."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.measurement.shapes import measure_shapes
from tests.algorithms.measurement.scenes import star_field


@pytest.mark.parametrize("guess", [1.0, 1.9, 4.0])
def test_sizes_do_not_depend_on_the_guess(guess: float) -> None:
    scene = star_field(16)
    bad = np.zeros(scene.image.shape, bool)
    found = measure_shapes(
        scene.image, scene.variance, bad, scene.sources.peak_x, scene.sources.peak_y, guess
    )
    assert found["flag"].mean() < 0.01
    kept = ~found["flag"]
    size = np.sqrt((found["ixx"] + found["iyy"]) / 2)[kept]
    assert np.median(size) == pytest.approx(1.9, rel=0.005)
    assert np.abs(found["x"] - scene.x)[kept].max() < 0.3
    pull = (found["flux"] - scene.flux) / found["flux_err"]
    assert 0.88 < pull[kept].std() < 1.12


def test_bad_pixels_are_flagged_where_they_matter() -> None:
    scene = star_field(4)
    bad = np.zeros(scene.image.shape, bool)
    near, far = 5, 6
    bad[int(scene.y[near]) + 2, int(scene.x[near])] = True
    bad[int(scene.y[far]) + 9, int(scene.x[far])] = True
    found = measure_shapes(scene.image, scene.variance, bad, scene.x, scene.y, 2.0)
    assert found["flag"][near]
    assert not np.delete(found["flag"], near).any()


def test_no_peaks() -> None:
    scene = star_field(2)
    found = measure_shapes(scene.image, scene.variance, scene.image > 1e9, [], [], 2.0)
    assert all(column.shape == (0,) for column in found.values())
