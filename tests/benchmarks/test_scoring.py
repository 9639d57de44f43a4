"""What benchmarks count beside the figures of merit."""

from __future__ import annotations

import numpy as np
import pytest
from scoring import (
    at_false_rate,
    best_fit_error,
    polynomial_design,
    rms,
)


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
