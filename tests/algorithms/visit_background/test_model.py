"""The model of a visit's sky finds the sky, and nothing but the sky."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.visit_background.design import build_design
from drpflow.algorithms.visit_background.frame import DetectorFrame
from drpflow.algorithms.visit_background.layers import detector_background
from drpflow.algorithms.visit_background.model import VisitFit, fit_visit
from drpflow.config.model_visit_background import ModelVisitBackgroundConfig
from drpflow.data.background import Background, MeshLayer
from tests.algorithms.visit_background.focal_plane import (
    CELL,
    LEVEL,
    NOISE,
    SIDE,
    Sky,
    camera,
    centers,
    true_wings,
)

CONFIG = ModelVisitBackgroundConfig()
FLAT = CONFIG.model_copy(
    update={"wings": CONFIG.wings.model_copy(update={"enabled": False, "regions": 1})}
)


def fit(sky: Sky, frames: dict[int, DetectorFrame] | None = None, stars: bool = False) -> VisitFit:
    given = sky.detector_stars() if stars else {}
    design = build_design(sky.cells(), frames or {}, given, 1, CONFIG.max_order)
    return fit_visit(design, FLAT)


def errors(
    sky: Sky, found: VisitFit, frames: dict[int, DetectorFrame] | None = None
) -> dict[int, np.ndarray]:
    """Background less the true sky at the middles of the cells, wings left out."""
    out = {}
    for detector in camera().detectors:
        frame = (frames or {}).get(detector.id)
        background = detector_background(found, detector, frame, None, FLAT)
        cells = found.design.detectors[detector.id].cells
        x, y = cells.centers
        image = sum(layer.evaluate_grid(x, y) for _, layer in background.layers)
        out[detector.id] = image - sky.smooth(cells, detector.id)
    return out


def rms(values: dict[int, np.ndarray]) -> float:
    return float(np.sqrt(np.mean([np.mean(v**2) for v in values.values()])))


def test_a_smooth_sky_is_found_to_the_noise_of_its_terms():
    sky = Sky()
    found = fit(sky)
    assert not found.nebula
    assert found.solution.order == 2
    # Six terms from all pixels.
    limit = NOISE * np.sqrt(6 / (4 * SIDE**2))
    assert rms(errors(sky, found)) < 2 * limit
    assert found.error() == pytest.approx(limit, rel=0.5)


def test_an_even_sky_takes_no_more_than_a_level():
    found = fit(Sky(gradient=(0.0, 0.0), level=100.0))
    assert found.solution.order <= 2  # the scene has a small term in xy


def test_offsets_of_detectors_are_found_where_the_data_speak_for_them():
    sky = Sky(pistons=(3.0, -2.0, 0.0, -1.0))
    found = fit(sky)
    assert 0.3 < found.solution.piston_sigma < 30
    assert rms(errors(sky, found)) < 0.1
    assert fit(Sky()).solution.piston_sigma < 0.2


def test_a_galaxy_of_300_pixels_is_not_subtracted():
    x, y = centers()
    r = np.hypot(x - 200, y - 260)
    galaxy = 20 * np.exp(-1.678 * r / 300)
    sky = Sky(light={0: galaxy})
    found = fit(sky)
    taken = errors(sky, found)[0]
    # The plain mean of the galaxy over the detector is what a model of the detector would take.
    assert np.abs(taken).max() < 0.1 * galaxy.mean()
    assert found.used[0].mean() < 0.5
    assert found.used[3].mean() > 0.7


def test_the_frame_gives_the_shape_of_the_empty_sky():
    x, y = centers()
    shape = 1 + 0.01 * np.sin(x / 60) * np.cos(y / 80)
    frames, shapes = {}, {}
    for detector in camera().detectors:
        side = np.arange(0, SIDE, CELL) + (CELL - 1) / 2
        layer = MeshLayer(shape, np.ones(shape.shape), side, side)
        frames[detector.id] = DetectorFrame(Background((("mesh", layer),), "1"))
        shapes[detector.id] = shape
    sky = Sky(shape=shapes)
    with_frame, without = fit(sky, frames), fit(sky)
    assert rms(errors(sky, with_frame, frames)) < 0.1
    assert rms(errors(sky, without)) > 5 * rms(errors(sky, with_frame, frames))


def test_wings_of_stars_are_found_and_are_a_layer_of_their_own():
    stars = ((150.0, 300.0, 2e7), (400.0, 120.0, 6e6), (-60.0, 200.0, 3e7), (300.0, 480.0, 1e7))
    sky = Sky(stars=stars)
    found = fit(sky, stars=True)
    detector = camera().detector(0)
    background = detector_background(found, detector, None, sky.detector_stars()[0], FLAT)
    assert background.names[-1] == "wings"
    cells = found.design.detectors[0].cells
    x, y = cells.centers
    image = sum(layer.evaluate_grid(x, y) for _, layer in background.layers)
    light = sum(f * true_wings(np.hypot(cells.x - u, cells.y - v)) for u, v, f in stars)
    for u, v, _ in stars[:2]:
        r = np.hypot(cells.x - u, cells.y - v)
        ring = (r > 50) & (r < 200)
        left = (sky.smooth(cells, 0) + light - image)[ring]
        assert abs(left.mean()) < 0.1 * light[ring].mean()
    bare = background.without("wings")
    only_sky = sum(layer.evaluate_grid(x, y) for _, layer in bare.layers)
    assert np.abs(only_sky - sky.smooth(cells, 0)).mean() < 0.3


def test_a_nebula_that_fills_the_field_is_told_and_only_a_level_taken():
    light = {}
    for detector in camera().detectors:
        x, y = centers()
        light[detector.id] = 0.5 * LEVEL * (1 + np.sin(x / 130 + detector.id) * np.cos(y / 170))
    found = fit(Sky(light=light))
    assert found.nebula
    assert found.solution.order == 0
    model = detector_background(found, camera().detector(0), None, None, FLAT)
    values = model.layers[0][1].evaluate_grid(np.arange(0.0, SIDE, 64), np.arange(0.0, SIDE, 64))
    assert np.ptp(values) < 1e-9


def test_one_detector_alone_has_no_offset():
    sky = Sky()
    cells = {2: sky.cells()[2]}
    found = fit_visit(build_design(cells, {}, {}, 1, CONFIG.max_order), FLAT)
    assert found.solution.piston_sigma == 0
    background = detector_background(found, camera().detector(2), None, None, FLAT)
    x, y = cells[2].centers
    error = background.layers[0][1].evaluate_grid(x, y) - sky.smooth(cells[2], 2)
    assert np.sqrt(np.mean(error**2)) < 0.2
