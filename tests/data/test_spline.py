"""Interpolation matrices against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from drpflow.data.spline import interpolation_matrix


@pytest.mark.parametrize("n", [3, 4, 9, 40])
def test_spline_is_scipys_natural_spline(n: int) -> None:
    rng = np.random.default_rng(n)
    nodes, values = np.cumsum(rng.uniform(0.5, 3, n)), rng.normal(size=n)
    x = np.linspace(nodes[0], nodes[-1], 200)
    expected = CubicSpline(nodes, values, bc_type="natural")(x)
    assert interpolation_matrix(nodes, x, "spline") @ values == pytest.approx(expected, abs=1e-12)


def test_spline_goes_on_straight() -> None:
    rng = np.random.default_rng(1)
    nodes, values = np.arange(6.0), rng.normal(size=6)
    spline = CubicSpline(nodes, values, bc_type="natural")
    for edge, x in ((0.0, np.array([-2.0, -0.5])), (5.0, np.array([5.25, 9.0]))):
        line = spline(edge) + spline(edge, 1) * (x - edge)
        assert interpolation_matrix(nodes, x, "spline") @ values == pytest.approx(line, abs=1e-12)


def test_bilinear_is_numpys_inside_and_straight_outside() -> None:
    nodes, values = np.array([0.0, 1.0, 4.0]), np.array([2.0, 5.0, -1.0])
    inside = np.linspace(0, 4, 33)
    matrix = interpolation_matrix(nodes, inside, "bilinear")
    assert matrix @ values == pytest.approx(np.interp(inside, nodes, values))
    outside = interpolation_matrix(nodes, np.array([-1.0, 6.0]), "bilinear")
    assert outside @ values == pytest.approx([-1.0, -5.0])


@pytest.mark.parametrize("kind", ["bilinear", "spline"])
@pytest.mark.parametrize("n", [1, 2])
def test_one_and_two_nodes(kind: str, n: int) -> None:
    nodes = np.arange(float(n))
    matrix = interpolation_matrix(nodes, np.array([-1.0, 0.5, 3.0]), kind)  # type: ignore[arg-type]
    expected = [7.0, 7.0, 7.0] if n == 1 else [5.0, 8.0, 13.0]
    assert matrix @ np.array([7.0, 9.0])[:n] == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(0.5, 50), min_size=1, max_size=12),
    st.sampled_from(["bilinear", "spline"]),
    st.floats(-5, 5),
    st.floats(-5, 5),
)
def test_straight_lines_are_exact_everywhere(steps: list, kind: str, a: float, b: float) -> None:
    nodes = np.cumsum([0.0, *steps])
    x = np.linspace(nodes[0] - 20, nodes[-1] + 20, 50)
    matrix = interpolation_matrix(nodes, x, kind)  # type: ignore[arg-type]
    assert matrix @ (a + b * nodes) == pytest.approx(a + b * x, abs=1e-8)
