"""Clouds finer than a polynomial."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from drpflow.algorithms.fgcm.field import local_design
from drpflow.algorithms.fgcm.patches import (
    Cells,
    StarResiduals,
    fit_patches,
    split_cells,
    visit_patches,
)
from drpflow.config.fgcm import FgcmConfig

from .made_up_survey import detector_grid

DETECTORS = detector_grid(4, 4)
MMAG = 1e-3


def cells_of(field, error: float, rng: np.random.Generator, per_side: int = 2) -> Cells:
    detector = np.repeat(np.arange(len(DETECTORS), dtype=np.int32), 120)
    u, v = rng.uniform(-1, 1, (2, detector.size))
    x, y = DETECTORS.field(detector, u, v)
    value = field(x, y) + error * rng.normal(size=x.size)
    stars = StarResiduals(detector, u, v, value, np.full(x.size, error**2), np.zeros(16))
    return split_cells(stars, DETECTORS, per_side)


def test_a_clear_sky_has_no_patches():
    rng = np.random.default_rng(1)
    found = [
        fit_patches(cells_of(lambda x, y: 0 * x, 0.01, rng), DETECTORS, 2, 3.0) for _ in range(40)
    ]
    assert sum(f is not None for f in found) <= 1


def test_patches_are_found_with_right_errors():
    rng = np.random.default_rng(2)
    pulls = []
    for _ in range(30):
        kx, ky, phase = rng.uniform(6, 10, 3)

        def field(x, y, kx=kx, ky=ky, phase=phase):
            return 0.01 * np.sin(kx * x + phase) * np.cos(ky * y)

        found = fit_patches(cells_of(field, 0.01, rng), DETECTORS, 2, 3.0)
        assert found is not None
        t = np.linspace(-0.95, 0.95, 20)
        u, v = np.meshgrid(t, t)
        row = np.arange(len(DETECTORS))[:, None]
        truth = field(*DETECTORS.field(row, u.ravel(), v.ravel())).mean(axis=1)
        error = found.local[:, 0] - truth
        assert np.sqrt(np.mean(error**2)) < 1.5 * MMAG
        pulls.append(error / np.sqrt(found.variance))
    assert 0.6 < np.std(np.concatenate(pulls)) < 1.3


def test_a_detector_without_stars_follows_its_neighbors():
    rng = np.random.default_rng(3)
    whole = cells_of(lambda x, y: 0.02 * np.sin(6 * x), 0.005, rng)
    inside = (np.abs(whole.x_deg - DETECTORS.x_deg[5]) < 0.1) & (
        np.abs(whole.y_deg - DETECTORS.y_deg[5]) < 0.1
    )
    names = ("x_deg", "y_deg", "value", "variance", "detector")
    part = replace(whole, **{name: getattr(whole, name)[~inside] for name in names})
    found = fit_patches(part, DETECTORS, 2, 3.0)
    truth = 0.02 * np.sin(6 * DETECTORS.x_deg[5])
    assert abs(found.local[5, 0] - truth) < 4 * MMAG
    others = np.delete(found.variance, 5)
    assert found.variance[5] > 2 * np.median(others)


def test_cells_average_their_stars():
    detector = np.zeros(4, np.int32)
    u, value = np.array([-0.5, -0.5, 0.5, 0.5]), np.array([1.0, 3.0, 5.0, 9.0])
    stars = StarResiduals(detector, u, np.zeros(4), value, np.ones(4), np.zeros(16))
    cells = split_cells(stars, DETECTORS, 2)
    np.testing.assert_allclose(np.sort(cells.value), [2.0, 7.0])
    np.testing.assert_allclose(cells.variance, 0.5)


def test_structure_inside_cells_is_in_their_errors():
    rng = np.random.default_rng(6)
    detector = np.repeat(np.arange(16, dtype=np.int32), 48)
    u, v = rng.uniform(-1, 1, (2, detector.size))
    noise = 0.005
    structure = 0.02 * np.sqrt(2) * np.sin(40 * u + detector)
    value = structure + noise * rng.normal(size=u.size)
    variance = np.full(u.size, noise**2)
    cells = split_cells(StarResiduals(detector, u, v, value, variance, np.zeros(16)), DETECTORS, 2)
    pulls = cells.value / np.sqrt(cells.variance)
    assert 0.75 < np.std(pulls) < 1.2
    smooth = StarResiduals(detector, u, v, value - structure, variance, np.zeros(16))
    per_cell = 1 / (split_cells(smooth, DETECTORS, 2).variance / noise**2)
    np.testing.assert_allclose(per_cell, np.round(per_cell), atol=1e-9)


def test_shared_errors_of_a_detector_are_not_taken_for_clouds():
    rng = np.random.default_rng(7)
    amplitude = {}
    for shared in (0.0, 0.02**2):
        found = []
        for _ in range(10):
            cells = cells_of(lambda x, y: 0 * x, 0.005, rng)
            off = 0.02 * rng.normal(size=16)
            value = cells.value + off[cells.detector]
            cells = replace(cells, value=value, shared=np.full(16, shared))
            fit = fit_patches(cells, DETECTORS, 2, 0.0)
            found.append(0.0 if fit is None else np.std(fit.local[:, 0]))
        amplitude[shared] = np.mean(found)
    assert amplitude[0.0] > 0.012
    assert amplitude[0.02**2] < 0.008


def test_few_stars_show_structure_finer_than_a_detector():
    rng = np.random.default_rng(4)
    detectors = detector_grid(2, 2)
    detector = np.repeat(np.arange(4, dtype=np.int32), 80)
    u, v = rng.uniform(-1, 1, (2, detector.size))

    def cloud(x, y):
        return 0.05 * np.sin(50 * x) * np.cos(40 * y)

    value = cloud(*detectors.field(detector, u, v)) + 0.004 * rng.normal(size=u.size)
    stars = StarResiduals(detector, u, v, value, np.full(u.size, 0.004**2), np.zeros(4))
    off = {}
    for order in (4, 10):
        found = visit_patches(stars, detectors, order, FgcmConfig(), clear=False)
        place = rng.uniform(-0.9, 0.9, (2, 400))
        row = np.repeat(np.arange(4), 100)
        field = (local_design(*place, order) * found.local[row]).sum(axis=1)
        off[order] = np.sqrt(np.mean((field - cloud(*detectors.field(row, *place))) ** 2))
    assert off[10] < 8 * MMAG
    assert off[10] < 0.7 * off[4]
