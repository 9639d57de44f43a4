"""Axes of the report's charts."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.qa.charts import logarithmic, stack


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(1.4, 3.6, [1.5, 2, 3]), (0.9, 120, [1, 2, 5, 10, 20, 50, 100]), (40, 90, [40, 50, 70])],
)
def test_logarithmic_axes_have_a_few_round_numbers(
    low: float, high: float, expected: list[float]
) -> None:
    figure, (axes,) = stack(1, 1.5)
    axes.plot([0, 1], [low, high])
    logarithmic(axes.yaxis)
    axes.set_ylim(low, high)
    figure.draw_without_rendering()
    ticks = axes.get_yticks()
    shown = ticks[(ticks >= low) & (ticks <= high)]
    np.testing.assert_allclose(shown, expected)
    labels = [t.get_text() for t in axes.get_yticklabels()]
    assert f"{expected[0]:g}" in labels
