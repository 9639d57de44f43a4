"""What benchmarks count beside the figures of merit."""

from __future__ import annotations

import numpy as np
import pytest
from scoring import (
    at_false_rate,
    best_fit_error,
    count_cosmic_rays,
    polynomial_design,
    rms,
    star_cores,
)


def test_cosmic_rays_are_counted_where_they_can_be_found() -> None:
    electron, masked = np.zeros((50, 50)), np.zeros((50, 50), bool)
    electron[10, 10:20] = 500.0
    electron[30, 30] = 500.0
    masked[10, 10:18] = True
    usable = np.ones((50, 50), bool)
    usable[30, 30] = False
    cores = star_cores((50, 50), [40.0, 12.0], [40.0, 10.0], 2.0)
    masked[40, 40] = True
    counts = count_cosmic_rays(masked, electron, 10.0, cores, usable)
    assert (counts.hit, counts.hit_masked) == (10, 8)
    # The star on the track is not judged but for its outer rows; of the other one pixel is lost.
    assert counts.core == 13 + 2
    assert counts.core_masked == 1
    assert (counts + counts).core == 30


def test_completeness_between_thresholds() -> None:
    assert at_false_rate([100, 10, 1], [0.9, 0.7, 0.5], 55) == pytest.approx(0.8)
    assert at_false_rate([100, 10, 1], [0.9, 0.7, 0.5], 0) == 0.5


def test_attainable_error_of_a_line_fit() -> None:
    # A constant from N stars of error s is wrong by s/√N on each axis.
    rng = np.random.default_rng(5)
    grid = (np.zeros(1), np.zeros(1))
    errors = [
        best_fit_error(
            (rng.uniform(-1, 1, 25), rng.uniform(-1, 1, 25)), rng.normal(0, 0.1, (25, 2)),
            np.full(25, 0.1), grid, np.zeros((1, 2)), 0,
        )
        for _ in range(400)
    ]  # fmt: skip
    assert rms(errors) == pytest.approx(0.02 * np.sqrt(2), rel=0.1)
    assert polynomial_design([2.0], [3.0], 2).tolist() == [[1, 2, 3, 4, 6, 9]]
