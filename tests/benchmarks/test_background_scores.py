"""Figures of backgrounds from images whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from background_scores import TrueSky, add_far_wing, distances, edge_steps, smoothed


def test_distances() -> None:
    r = distances((3, 4), 1.0, 2.0)
    assert r.shape == (3, 4)
    assert r[2, 1] == 0
    assert r[0, 1] == 2


def test_means_over_squares_leave_masked_pixels_out() -> None:
    values = np.full((60, 80), 3.0)
    used = np.ones(values.shape, bool)
    used[:, ::2] = False
    values[~used] = 1e6
    found, enough = smoothed(values, used, 10)
    assert enough[30, 40]
    assert np.allclose(found[10:-10, 10:-10], 3.0)


def test_squares_with_few_pixels_do_not_count() -> None:
    used = np.zeros((60, 60), bool)
    used[:5] = True
    _, enough = smoothed(np.ones((60, 60)), used, 20)
    assert enough[2, 30]
    assert not enough[40, 30]


def test_edges_are_read_along_the_same_direction() -> None:
    y, x = np.mgrid[:128, :128].astype(float)
    left, right = 1.0 * y, 2.0 + 1.0 * y
    left[0, 0] = np.nan
    sides = edge_steps({0: left, 1: right}, strip_pix=32)
    step = sides[1]["left"] - sides[0]["right"]
    assert step == pytest.approx([2.0] * 4)
    above = edge_steps({0: x, 1: x - 5.0}, strip_pix=32)
    assert above[1]["bottom"] - above[0]["top"] == pytest.approx([-5.0] * 4)


@pytest.mark.parametrize(("x", "y"), [(60.0, 50.0), (-40.0, 20.0), (500.0, 500.0)])
def test_far_wings_end_where_they_are_too_faint_to_count(x: float, y: float) -> None:
    image, strength = np.zeros((100, 120)), 1e5
    add_far_wing(image, x, y, strength)
    r = distances(image.shape, x, y)
    expected = np.where(r > 30, strength / np.maximum(r, 1) ** (11 / 3), 0)
    assert np.abs(image - expected).max() < 2e-3
    near = (r > 31) & (r < 100)
    assert image[near] == pytest.approx(expected[near])


def test_ghosts_and_trails_are_not_light_of_undetected_sources() -> None:
    shape = (40, 50)
    ghosts, trail = np.zeros(shape), np.zeros(shape)
    ghosts[:20], trail[25] = 5.0, 70.0
    true = TrueSky.__new__(TrueSky)
    true.__dict__ |= {
        "sky": np.full(shape, 100.0),
        "wings": np.full(shape, 2.0),
        "ghosts": ghosts,
        "light": 102.0 + 0.3 + ghosts + trail,
        "quiet": trail == 0,
        "undetected": None,
    }
    rest, number = true.rest()
    assert rest == pytest.approx(0.3)
    assert number == 39 * 50
    assert np.allclose(true.smooth, 102.3 + ghosts)
