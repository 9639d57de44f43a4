"""Kernels of the visit's background against plain numpy."""

from __future__ import annotations

import numpy as np

from drpflow.kernels.visit_background import cell_means, wing_columns

RADII = np.geomspace(10.0, 160.0, 5)


def profile_at(r: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    c = np.interp(np.log(r), np.log(RADII), np.append(nodes, 0.0))
    return np.where((r >= RADII[0]) & (r < RADII[-1]), c / r**2, 0.0)


def test_cell_means():
    rng = np.random.default_rng(2)
    image = rng.normal(100, 5, (37, 52)).astype(np.float32)
    flat = (image - 100).astype(np.float32)
    excluded = rng.random(image.shape) < 0.3
    level, count, x, y = cell_means(image, flat, excluded, 8.0, 16)
    assert level.shape == (3, 4)
    rows, columns = np.mgrid[:37, :52]
    for j in range(3):
        for i in range(4):
            here = (rows // 16 == j) & (columns // 16 == i) & ~excluded & (np.abs(flat) <= 8)
            assert count[j, i] == here.sum()
            assert np.isclose(level[j, i], image[here].mean(dtype=float), rtol=1e-6)
            assert np.isclose(x[j, i], columns[here].mean(), rtol=1e-6)
            assert np.isclose(y[j, i], rows[here].mean(), rtol=1e-6)


def test_cells_without_pixels():
    image = np.ones((16, 32), np.float32)
    excluded = np.zeros(image.shape, bool)
    excluded[:, :16] = True
    level, count, _, _ = cell_means(image, 0 * image, excluded, 1.0, 16)
    assert np.isnan(level[0, 0])
    assert count.tolist() == [[0, 256]]


def test_wing_columns_are_the_light_of_unit_nodes():
    rng = np.random.default_rng(3)
    x, y = rng.uniform(0, 300, (2, 400))
    stars = np.array([[50.0, 60.0], [250.0, -20.0]])
    flux, region = np.array([1e4, 3e4]), np.array([0, 1])
    columns, core = wing_columns(x, y, *stars, flux, region, RADII, 2)
    nodes = rng.uniform(0, 1, (2, 4))
    expected = np.zeros(400)
    inside = np.zeros(400, bool)
    for k in range(2):
        r = np.hypot(x - stars[0, k], y - stars[1, k])
        expected += flux[k] * profile_at(r, nodes[region[k]])
        inside |= r < RADII[0]
    assert np.allclose(columns @ nodes.ravel(), expected, rtol=1e-5)
    assert np.array_equal(core, inside)
