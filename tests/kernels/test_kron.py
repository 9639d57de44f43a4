"""Elliptical apertures and first moments against numpy and sep."""

from __future__ import annotations

import numpy as np
import sep

from drpflow.kernels import kron as k
from tests.kernels.test_moments import bare_scene, elliptical

MOMENTS = (12.0, 6.0, 2.5)
X, Y = 45.3, 44.8
SIZE = 91


def radius() -> np.ndarray:
    """The circular radius of each pixel, by its definition."""
    xx, yy, xy = MOMENTS
    matrix = np.array([[xx, xy], [xy, yy]])
    v, u = np.mgrid[:SIZE, :SIZE]
    d = np.stack([u - X, v - Y], axis=-1)
    square = np.einsum("vui,ij,vuj->vu", d, np.linalg.inv(matrix), d)
    return np.sqrt(square) * np.linalg.det(matrix) ** 0.25


def test_the_metric_keeps_the_area() -> None:
    a, b, c = k.ellipse_metric(*MOMENTS)
    assert np.isclose(a * b - c * c, 1)
    assert np.isclose(a * 2.0**2 + b * 1.5**2 + 2 * c * 3.0, radius_at(2.0, 1.5) ** 2)


def radius_at(dx: float, dy: float) -> float:
    matrix = np.array([[MOMENTS[0], MOMENTS[2]], [MOMENTS[2], MOMENTS[1]]])
    d = np.array([dx, dy])
    return float(np.sqrt(d @ np.linalg.inv(matrix) @ d) * np.linalg.det(matrix) ** 0.25)


def test_first_moment_equals_numpy() -> None:
    image = elliptical((SIZE, SIZE), X, Y, MOMENTS)
    image[40, 50] = np.nan
    found = k.first_moment(image, X, Y, k.ellipse_metric(*MOMENTS), 12.0)
    r = radius()
    inside = (r <= 12.0) & np.isfinite(image)
    assert np.isclose(found, (r * image)[inside].sum() / image[inside].sum(), rtol=1e-12)
    assert np.isnan(k.first_moment(-np.ones((9, 9)), 4, 4, (1.0, 1.0, 0.0), 3.0))


def test_sums_within_ellipses_are_those_of_sep() -> None:
    image = elliptical((SIZE, SIZE), X, Y, MOMENTS).astype(np.float32)
    half = np.hypot((MOMENTS[0] - MOMENTS[1]) / 2, MOMENTS[2])
    mean = (MOMENTS[0] + MOMENTS[1]) / 2
    a, b = np.sqrt(mean + half), np.sqrt(mean - half)
    angle = 0.5 * np.arctan2(2 * MOMENTS[2], MOMENTS[0] - MOMENTS[1])
    scene = bare_scene(image, 4.0)
    for scale in (2.5, 4.0, 6.0):
        place = ([X], [Y], [a], [b], [angle], [scale])
        flux, error, _ = (v[0] for v in sep.sum_ellipse(image, *place, var=4.0, subpix=0))
        out = np.empty(3)
        metric = k.ellipse_metric(*MOMENTS)
        stamp = image.astype(float)
        k.elliptical_sum(scene, stamp, (0, 0, X, Y), metric, scale * np.sqrt(a * b), out)
        assert np.isclose(out[0], flux, rtol=2e-3)
        # sep weights variances with the overlap, not with its square.
        assert 0.9 * error < np.sqrt(out[1]) < error
        assert out[2] == 0


def test_pixels_without_a_value_are_told() -> None:
    image = np.ones((SIZE, SIZE))
    image[45, 47] = np.nan
    out = np.empty(3)
    metric = k.ellipse_metric(*MOMENTS)
    k.elliptical_sum(bare_scene(image, 1.0), image, (0, 0, X, Y), metric, 6.0, out)
    assert out[2] == 1
    # A smoothed border holds a third of a pixel too much.
    assert np.isclose(out[0], np.pi * 36 - 1, atol=0.5)


def test_errors_hold_the_noise_of_the_radius() -> None:
    rng = np.random.default_rng(1)
    clean = 4e3 * elliptical((SIZE, SIZE), X, Y, MOMENTS)
    rows, moments = np.zeros(1, np.int64), np.array([MOMENTS])
    pulls = []
    for _ in range(300):
        scene = bare_scene(clean + rng.normal(0, 2, clean.shape), 4.0)
        found = np.empty((1, 5))
        k.kron_fluxes(
            scene, rows, np.array([X]), np.array([Y]), moments, np.array([1.0]), 2.0, 6.0, 45,
            found,
        )  # fmt: skip
        pulls.append((found[0, 1], np.sqrt(found[0, 2])))
    flux, error = np.array(pulls).T
    assert 0.88 < flux.std() / np.median(error) < 1.12
