"""Sky frames: what visits share is found, patterns only where there are some."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.visit_background.frame import PATTERN, DetectorFrame
from drpflow.algorithms.visit_background.patterns import principal_components
from drpflow.algorithms.visit_background.sky_frame import FrameVisit, make_sky_frame
from drpflow.config.make_sky_frame import MakeSkyFrameConfig
from drpflow.errors import AlgorithmError
from tests.algorithms.visit_background.focal_plane import CELL, NOISE, SIDE, Sky, centers

CONFIG = MakeSkyFrameConfig()
_PLACE = ("x_mm", "y_mm")


def shapes() -> dict[int, np.ndarray]:
    x, y = centers()
    wave = 1 + 0.01 * np.exp(-((x - 200) ** 2 + (y - 300) ** 2) / (2 * 120**2))
    return {0: wave, 1: 1.02 * wave[::-1], 2: 0.98 * np.ones_like(wave), 3: wave.T}


def visits(number: int, light=lambda v: {}) -> dict[int, FrameVisit]:
    rng = np.random.default_rng(7)
    found = {}
    for v in range(number):
        gradient = tuple(0.02 * rng.normal(size=2))
        sky = Sky(gradient=gradient, shape=shapes(), seed=100 + v, light=light(v))
        found[v] = FrameVisit(sky.cells(), {})
    return found


def test_the_shape_that_all_visits_share_is_found():
    frame = make_sky_frame(visits(5), CONFIG)
    assert frame.visits == (0, 1, 2, 3, 4)
    assert frame.n_patterns == 0
    true = np.concatenate([shapes()[k].ravel() for k in range(4)])
    side = np.arange(0, SIDE, CELL) + (CELL - 1) / 2
    found = [DetectorFrame(frame.layers[k]).shape(side, side).ravel() for k in range(4)]
    ratio = np.concatenate(found) / true
    # Up to a polynomial of the third degree over the focal plane, which visits have of their own.
    assert np.std(ratio) < 4e-3
    steps = [found[k].mean() / true.reshape(4, -1)[k].mean() for k in range(4)]
    assert np.std(steps) < 4e-3
    local = [(f / t.ravel()) for f, t in zip(found, (shapes()[k] for k in range(4)), strict=True)]
    x, y = (c.ravel() / SIDE for c in centers())
    terms = np.column_stack([x**i * y**j for i in range(4) for j in range(4 - i)])
    rest = [part - terms @ np.linalg.lstsq(terms, part, rcond=None)[0] for part in local]
    noise = NOISE / 300 / np.sqrt(5 * SIDE**2)
    assert np.sqrt(np.mean(np.square(rest))) < 8 * noise


def test_light_that_one_visit_has_is_left_out():
    x, y = centers()

    def galaxy(v: int) -> dict[int, np.ndarray]:
        return {v: 30 * np.exp(-np.hypot(x - 250, y - 200) / 40)} if v < 4 else {}

    clean, spoiled = (make_sky_frame(visits(5, light), CONFIG) for light in (lambda v: {}, galaxy))
    side = np.arange(0, SIDE, CELL) + (CELL - 1) / 2
    ratio = [
        DetectorFrame(spoiled.layers[k]).shape(side, side)
        / DetectorFrame(clean.layers[k]).shape(side, side)
        for k in range(4)
    ]
    cells = Sky().cells()
    u, v = (np.concatenate([getattr(c, n).ravel() for c in cells.values()]) / 8 for n in _PLACE)
    # Visits have polynomials of the third degree of their own.
    terms = np.column_stack([u**i * v**j for i in range(4) for j in range(4 - i)])
    values = np.concatenate([part.ravel() for part in ratio])
    rest = values - terms @ np.linalg.lstsq(terms, values, rcond=None)[0]
    assert np.std(rest) < 1e-3  # the plain mean of the visits is off by 0.02 at the galaxy


def test_too_few_visits_are_a_declared_failure():
    with pytest.raises(AlgorithmError, match="needs 3"):
        make_sky_frame(visits(2), CONFIG)


def test_a_pattern_that_comes_and_goes_is_found_by_what_it_predicts():
    x, _ = centers()
    stripes = np.sin(x / 40)

    def light(v: int) -> dict[int, np.ndarray]:
        strength = 3.0 * np.cos(1.7 * v)
        return dict.fromkeys(range(4), strength * stripes)

    config = CONFIG.model_copy(update={"mesh_pix": 32})
    frame = make_sky_frame(visits(14, light), config)
    assert frame.n_patterns >= 1
    side = np.arange(0, SIDE, CELL) + (CELL - 1) / 2
    pattern = DetectorFrame(frame.layers[1]).pattern(0, side, side)
    assert f"{PATTERN}1" in frame.layers[1].names
    assert abs(np.corrcoef(pattern.ravel(), stripes.ravel())[0, 1]) > 0.8


def test_components_of_data_with_gaps():
    rng = np.random.default_rng(3)
    scores, rows = rng.normal(size=(20, 2)), rng.normal(size=(2, 60))
    values = scores @ rows
    weights = (rng.random(values.shape) < 0.7).astype(float)
    a, e = principal_components(np.where(weights > 0, values, 99.0), weights, 2)
    assert np.allclose(e @ e.T, np.eye(2), atol=1e-8)
    assert np.abs(a @ e - values).max() < 0.1 * np.abs(values).max()
