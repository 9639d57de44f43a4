"""Splines against scipy; non-linearity removed from an independent forward model."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import Akima1DInterpolator, CubicSpline
from scipy.optimize import brentq

from drpflow.algorithms.isr.linearity import akima, linearize, natural_cubic, nonlinearity


@pytest.fixture
def nodes() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    x = np.sort(rng.uniform(0, 60000, 12))
    return x, rng.normal(0, 100, 12)


def test_akima_is_scipys(nodes: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = nodes
    at = np.linspace(x[0], x[-1], 500)
    np.testing.assert_allclose(akima(x, y)(at), Akima1DInterpolator(x, y)(at), atol=1e-6)


def test_natural_cubic_is_scipys(nodes: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = nodes
    at = np.linspace(x[0], x[-1], 500)
    want = CubicSpline(x, y, bc_type="natural")(at)
    np.testing.assert_allclose(natural_cubic(x, y)(at), want, atol=1e-6)


@pytest.mark.parametrize("spline", [akima, natural_cubic])
@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_straight_line_stays_one(spline, n: int) -> None:
    x = np.linspace(0, 10, n)
    at = np.linspace(0, 10, 31)
    np.testing.assert_allclose(spline(x, 2 * x - 3)(at), 2 * at - 3, atol=1e-12)


def bend(linear: float) -> float:
    """What the amplifier makes of a linear signal, adu: up to 3 % loss with a ripple."""
    x = linear / 60000
    return linear * (1 - 0.03 * max(x, 0) ** 1.3) + 40 * np.sin(9 * x) ** 2


@pytest.mark.parametrize("interpolation", ["akima", "natural"])
def test_nonlinearity_is_removed_to_one_percent_of_its_effect(interpolation: str) -> None:
    truth = np.linspace(100, 59000, 4000)
    measured = np.array([bend(t) for t in truth]).astype(np.float32)
    node = np.linspace(0, bend(60000), 16)
    linear = [brentq(lambda t, m=m: bend(t) - m, -10, 70000) for m in node]
    curve = nonlinearity(node, node - np.array(linear), interpolation)  # type: ignore[arg-type]
    signal = measured[None].copy()
    linearize(signal, curve, 1.0)
    effect = np.sqrt(np.mean((measured - truth) ** 2))
    assert np.sqrt(np.mean((signal[0] - truth) ** 2)) < 0.01 * effect


def test_without_correction_only_the_gain_counts() -> None:
    signal = np.full((2, 3), 10, np.float32)
    linearize(signal, None, 1.7)
    np.testing.assert_allclose(signal, 17, rtol=1e-6)
