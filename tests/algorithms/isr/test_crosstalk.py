"""Ghosts put in by plain loops, taken out by the algorithm."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.isr.crosstalk import ghosts_of_saturation, remove_crosstalk
from drpflow.data.calibrations import Crosstalk

NAMES = ("A", "B", "C", "D")


def forward(
    signals: list[np.ndarray], linear: np.ndarray, quadratic: np.ndarray | None
) -> list[np.ndarray]:
    observed = [s.astype(float) for s in signals]
    for v in range(4):
        for s in range(4):
            observed[v] = observed[v] + linear[v, s] * signals[s]
            if quadratic is not None:
                observed[v] = observed[v] + quadratic[v, s] * signals[s].astype(float) ** 2
    return [o.astype(np.float32) for o in observed]


@pytest.fixture
def signals() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    result = [rng.normal(500, 20, (211, 173)).astype(np.float32) for _ in NAMES]
    for s in result:
        for _ in range(20):
            y, x = rng.integers(5, 160, 2)
            s[y - 2 : y + 3, x - 2 : x + 3] += rng.uniform(1e4, 6e4)
    return result


@pytest.mark.parametrize("with_quadratic", [False, True])
def test_ghosts_are_removed(signals: list[np.ndarray], with_quadratic: bool) -> None:
    rng = np.random.default_rng(2)
    linear = rng.normal(0, 1e-3, (4, 4))
    np.fill_diagonal(linear, 0)
    quadratic = rng.normal(0, 5e-9, (4, 4)) if with_quadratic else None
    observed = forward(signals, linear, quadratic)
    effect = max(np.abs(o - s).max() for o, s in zip(observed, signals, strict=True))
    remove_crosstalk(observed, Crosstalk(NAMES, linear, quadratic))
    left = max(np.abs(o - s).max() for o, s in zip(observed, signals, strict=True))
    assert effect > 20
    assert left < 0.02  # float32 of 6e4


def test_nan_makes_no_ghosts(signals: list[np.ndarray]) -> None:
    linear = np.full((4, 4), 1e-3)
    np.fill_diagonal(linear, 0)
    observed = forward(signals, linear, None)
    observed[2][100, 100] = np.nan
    remove_crosstalk(observed, Crosstalk(NAMES, linear))
    assert np.isnan(observed[2][100, 100])
    assert all(np.isfinite(observed[i]).all() for i in (0, 1, 3))


def test_amplifiers_of_different_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        remove_crosstalk(
            [np.zeros((3, 3), np.float32), np.zeros((3, 4), np.float32)],
            Crosstalk(("A", "B"), np.zeros((2, 2))),
        )


def test_ghosts_of_saturation_only_where_they_matter() -> None:
    linear = np.zeros((4, 4))
    linear[1, 0] = 1e-3  # 60 adu
    linear[2, 0] = 1e-6  # 0.06 adu
    saturated = [np.zeros((5, 5), bool) for _ in NAMES]
    saturated[0][2, 3] = True
    marks = ghosts_of_saturation(
        saturated, Crosstalk(NAMES, linear), np.full(4, 6e4), np.full(4, 3.0)
    )
    assert marks[1].sum() == 1
    assert marks[1][2, 3]
    assert not any(marks[i].any() for i in (0, 2, 3))


def test_order_of_amplifiers() -> None:
    linear = np.arange(16.0).reshape(4, 4)
    crosstalk = Crosstalk(NAMES, linear, linear * 2).ordered(("D", "B", "A", "C"))
    assert crosstalk.linear[0, 2] == linear[3, 0]
    assert crosstalk.quadratic is not None
    assert crosstalk.quadratic[1, 3] == 2 * linear[1, 2]
    with pytest.raises(KeyError, match="amplifier X"):
        crosstalk.ordered(("X",))
