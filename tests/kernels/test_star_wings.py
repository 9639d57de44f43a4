"""Kernels of the wings of stars against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.kernels.star_wings import (
    INNER_RAMP,
    add_interpolated,
    add_near_wings,
    wing_tails,
)

RADII = np.geomspace(10.0, 160.0, 5)
NODES = np.array([[1.0, 0.8, 0.5, 0.2, 0.0], [0.5, 0.9, 0.3, 0.3, 0.0]])
STARS = np.array([30.0, 150.0]), np.array([-15.0, 40.0]), np.array([5e4, 2e4]), np.array([0, 1])
X, Y = np.arange(0.0, 200.0), np.arange(0.0, 90.0)


def light(r: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Wings of a star of unit flux."""
    c = np.interp(np.log(np.maximum(r, 1e-3)), np.log(RADII), nodes)
    ramp = np.clip((r / RADII[0] - INNER_RAMP) / (1 - INNER_RAMP), 0, 1)
    return np.where(r < RADII[-1], c * ramp / np.maximum(r, 1e-3) ** 2, 0.0)


def direct() -> np.ndarray:
    total = np.zeros((Y.size, X.size))
    for x, y, flux, region in zip(*STARS, strict=True):
        total += flux * light(np.hypot(X - x, Y[:, None] - y), NODES[region])
    return total


@pytest.mark.parametrize("reach", [(160.0, 160.0), (40.0, 90.0), (25.0, 160.0)])
def test_near_wings_and_tails_are_the_wings(reach):
    wings = (*STARS, RADII, NODES, np.array(reach))
    out = np.full((Y.size, X.size), 7.0)
    add_near_wings(out, X, Y, *wings)
    assert np.allclose(out - 7 + wing_tails(X, Y, *wings), direct(), atol=1e-9)


def test_near_wings_end_smoothly_at_their_reach():
    place = np.zeros(1), np.zeros(1), np.array([1e4]), np.array([0])
    x = np.linspace(30, 60, 3001)
    near = np.zeros((1, x.size))
    add_near_wings(near, x, np.zeros(1), *place, RADII, NODES, np.array([50.0]))
    assert not near[0, x >= 50].any()
    # Value and slope are 0 there: 0.1 pixels within, less than a thousandth of the light is left.
    here = light(np.array([50.0]), NODES[0])[0] * 1e4
    assert np.abs(near[0, (x > 49.9) & (x < 50)]).max() < 1e-3 * here
    assert near[0, 0] > here


def test_a_tail_has_no_peak():
    place = np.zeros(1), np.zeros(1), np.array([1e4]), np.array([0])
    x = np.linspace(0, 150, 601)
    tail = wing_tails(x, np.zeros(1), *place, RADII, NODES, np.array([40.0]))[0]
    here = light(np.array([40.0]), NODES[0])[0] * 1e4
    assert here < tail[0] < 5 * here
    assert (np.diff(tail) <= 1e-12).all()


def test_a_mesh_gives_cubics_back():
    def cubic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 2 + x - 0.3 * y + 1e-2 * x * y - 2e-4 * x**3 + 1e-6 * x**2 * y**3

    nodes_x, nodes_y = 8.0 * np.arange(-4, 30), 8.0 * np.arange(2, 20)
    x, y = np.linspace(-23.0, 200.0, 50), np.arange(24.0, 120.0)
    out = np.ones((y.size, x.size))
    values = cubic(nodes_x, nodes_y[:, None])
    add_interpolated(out, x, y, values, -4, 2, 8.0)
    assert np.allclose(out - 1, cubic(x, y[:, None]), rtol=1e-9, atol=1e-6)
