"""The kernels of the deblender, beside plain numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import nnls

from drpflow.kernels import deblend as k
from drpflow.kernels import deblend_points as kp

SHAPE = (40, 50)


def star(x: float, y: float, size: int = 21) -> tuple[np.ndarray, int, int]:
    """A Gaussian stamp with its first pixel."""
    column, row = round(x), round(y)
    offset = np.arange(size) - size // 2
    shape = np.exp(-0.5 * ((offset - (x - column)) / 1.6) ** 2)
    tall = np.exp(-0.5 * ((offset - (y - row)) / 1.6) ** 2)
    return np.outer(tall, shape) / (2 * np.pi * 1.6**2), column - size // 2, row - size // 2


class Stars:
    """Three stars, two of them blended, one near the edge and in another blend."""

    def __init__(self) -> None:
        self.x, self.y = np.array([12.3, 17.8, 46.9]), np.array([15.1, 17.2, 30.4])
        stamps = [star(x, y) for x, y in zip(self.x, self.y, strict=True)]
        self.stamps = np.array([s[0] for s in stamps], np.float32)
        self.x0, self.y0 = (np.array([s[i] for s in stamps]) for i in (1, 2))
        self.owner = np.array([1, 1, 2], np.int32)
        self.labels = np.ones(SHAPE, np.int32)
        self.labels[:, 35:] = 2
        self.labels[:3] = 0
        self.variance = np.random.default_rng(1).uniform(50, 150, SHAPE).astype(np.float32)
        self.bad = np.random.default_rng(2).random(SHAPE) < 0.05

    def full(self, j: int) -> np.ndarray:
        """One star on the whole image, in its blend only."""
        image = np.zeros((80, 90))
        n = self.stamps.shape[1]
        v, u = 20 + self.y0[j], 20 + self.x0[j]
        image[v : v + n, u : u + n] = self.stamps[j]
        return image[20:60, 20:70] * (self.labels == self.owner[j])

    @property
    def flat(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The stamps as templates: values, first, boxes."""
        n = self.stamps.shape[1]
        boxes = np.column_stack([self.x0, self.x0 + n, self.y0, self.y0 + n])
        return self.stamps.ravel(), np.arange(3) * n**2, boxes


def test_added_points_are_shifted_by_their_gradients() -> None:
    s = Stars()
    image = np.zeros(SHAPE, np.float32)
    coefficients = np.array([[100.0, 0, 0], [0, 0, 0], [200.0, 0, 0]])
    kp.add_points(image, s.labels, s.owner, s.stamps, s.x0, s.y0, coefficients, -1.0)
    np.testing.assert_allclose(image, -100 * s.full(0) - 200 * s.full(2), atol=1e-4)
    moved, x0, y0 = star(12.4, 15.05)
    image[:] = 0
    one = slice(0, 1)
    coefficients[0] = 1, 0.1, -0.05
    kp.add_points(
        image, s.labels, s.owner[one], s.stamps[one], s.x0[one], s.y0[one], coefficients[one], 1.0
    )
    n = moved.shape[0]
    np.testing.assert_allclose(image[y0 : y0 + n, x0 : x0 + n], moved, atol=3e-3 * moved.max() * 3)


def test_fluxes_are_those_of_weighted_least_squares() -> None:
    s = Stars()
    rng = np.random.default_rng(3)
    image = sum(f * s.full(j) for j, f in enumerate([5000.0, 3000.0, 900.0]))
    image = (image + rng.normal(0, np.sqrt(s.variance))).astype(np.float32)
    coefficients, residual = np.zeros((3, 3)), image.copy()
    kp.fit_points(
        residual, s.variance, s.bad, s.labels, s.owner, s.stamps, s.x0, s.y0, s.x, s.y,
        coefficients, 100.0, 30, False,
    )  # fmt: skip
    weight = np.where(s.bad, 0, 1 / np.sqrt(s.variance)).ravel()
    design = np.stack([s.full(j).ravel() for j in range(3)], axis=1)
    want = np.linalg.lstsq(design * weight[:, None], image.ravel() * weight, rcond=None)[0]
    np.testing.assert_allclose(coefficients[:, 0], want, rtol=2e-3)
    model = design @ coefficients[:, 0]
    np.testing.assert_allclose(residual.ravel(), image.ravel() - model, atol=0.02)


def test_displacements_are_found() -> None:
    s = Stars()
    true, x0, y0 = star(12.5, 14.9)
    image = np.zeros(SHAPE, np.float32)
    n = true.shape[0]
    image[y0 : y0 + n, x0 : x0 + n] = 1e4 * true
    image *= s.labels == 1
    one, coefficients = slice(0, 1), np.zeros((1, 3))
    kp.fit_points(
        image, s.variance, np.zeros(SHAPE, bool), s.labels, s.owner[one], s.stamps[one],
        s.x0[one], s.y0[one], s.x[one], s.y[one], coefficients, 5.0, 3, True,
    )  # fmt: skip
    # Differences of neighbouring pixels are gradients of a star a little wider than this one.
    np.testing.assert_allclose(coefficients[0, 1:] / coefficients[0, 0], [0.2, -0.2], atol=0.06)


def test_negative_fluxes_become_zero() -> None:
    s = Stars()
    image = (-1000 * s.full(0)).astype(np.float32)
    coefficients = np.zeros((3, 3))
    kp.fit_points(
        image, s.variance, s.bad, s.labels, s.owner, s.stamps, s.x0, s.y0, s.x, s.y,
        coefficients, 5.0, 3, True,
    )  # fmt: skip
    assert (coefficients[0] == 0).all()


def test_chi2_of_the_core() -> None:
    s = Stars()
    residual = np.random.default_rng(4).normal(0, 10, SHAPE).astype(np.float32)
    image = residual + 50
    chi2, usable = np.empty(3), np.empty(3)
    kp.point_chi2(
        residual, image, s.variance, s.bad, s.labels, s.owner, s.x, s.y, 4.0, 0.1, chi2, usable
    )
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for j in range(3):
        core = np.hypot(x - s.x[j], y - s.y[j]) <= 4
        good = core & ~s.bad & (s.labels == s.owner[j])
        assert chi2[j] == pytest.approx((residual**2 / (s.variance + 25))[good].mean(), rel=1e-5)
        if j < 2:
            assert usable[j] == pytest.approx(good.sum() / core.sum())
    assert usable[2] < 0.95  # some of its core is beyond the edge


def test_weights_are_those_of_nnls() -> None:
    s = Stars()
    rng = np.random.default_rng(5)
    image = (4000 * s.full(0) - 800 * s.full(1) + 500 * s.full(2)).astype(np.float32)
    image += rng.normal(0, np.sqrt(s.variance)).astype(np.float32)
    weights = np.zeros(3)
    k.fit_weights(image.copy(), s.variance, s.bad, s.labels, s.owner, *s.flat, weights, 30)
    sigma = np.where(s.bad, np.inf, np.sqrt(s.variance)).ravel()
    design = np.stack([s.full(j).ravel() for j in range(3)], axis=1)
    want, _ = nnls(design / sigma[:, None], image.ravel() / sigma)
    np.testing.assert_allclose(weights, want, rtol=5e-3, atol=1)
    assert weights[1] == 0


def template(image: np.ndarray, variance: float, center: tuple[int, int]) -> np.ndarray:
    scratch = np.full((31, 31), np.nan, np.float32)
    labels, bad = np.ones(image.shape, np.int32), np.zeros(image.shape, bool)
    noise = np.full(image.shape, variance, np.float32)
    half = k.symmetric_template(
        image.astype(np.float32), noise, bad, labels, 1, center, 2, 9, scratch
    )
    full = np.zeros((31, 31))
    if half >= 0:
        part = slice(15 - half, 16 + half)
        full[part, part] = scratch[part, part]
    return full


def test_a_symmetric_source_is_its_own_template() -> None:
    y, x = np.mgrid[-25:26, -25:26]
    source = 1000 * np.exp(-np.hypot(x / 3, y / 2) / 1.5)
    found = template(source, 1e-6, (25, 25))
    want = source[10:41, 10:41]
    np.testing.assert_allclose(found[13:18, 13:18], want[13:18, 13:18], rtol=1e-5)
    # Further out means of 3 x 3 pixels are taken.
    assert np.abs(found - want).max() < 0.05 * want.max()


def test_a_template_is_symmetric_falls_outwards_and_leaves_the_neighbour_out() -> None:
    y, x = np.mgrid[-25:26, -25:26]
    source = 1000 * np.exp(-0.5 * (x**2 + y**2) / 9.0)
    neighbour = 1500 * np.exp(-0.5 * ((x - 9) ** 2 + (y + 2) ** 2) / 4.0)
    found = template(source + neighbour, 1.0, (25, 25))
    np.testing.assert_allclose(found, found[::-1, ::-1], atol=1e-3)
    assert abs(found.sum() / source[10:41, 10:41].sum() - 1) < 0.06
    profile = found[15, 15:]
    assert (np.diff(profile) <= 1e-3).all()


def test_a_template_of_nothing_is_empty() -> None:
    assert not template(np.full((51, 51), -1.0), 1.0, (25, 25)).any()


def test_light_is_divided_in_the_ratio_of_the_templates() -> None:
    s = Stars()
    weights = np.array([400.0, 100.0, 50.0])
    image = np.random.default_rng(6).normal(20, 5, SHAPE).astype(np.float32)
    shapes = (s.owner, *s.flat, weights)
    floor, total = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32)
    k.add_templates(floor, floor, s.labels, *shapes, True)
    floor *= np.float32(0.01)
    k.add_templates(total, floor, s.labels, *shapes, False)
    models = np.array([w * s.full(j) for j, w in enumerate(weights)])
    models[models < 0.01 * models.max(axis=0)] = 0
    np.testing.assert_allclose(total, models.sum(axis=0), rtol=1e-5, atol=1e-12)
    counts, none = np.empty(3, np.int64), np.empty(0, np.int32)
    k.apportion(image, total, floor, s.labels, *shapes, counts, none, none, none.astype(np.float32))
    rows, columns = np.empty((2, counts.sum()), np.int32)
    shares = np.empty(rows.size, np.float32)
    own, everything = k.apportion(
        image, total, floor, s.labels, *shapes, counts, rows, columns, shares
    )
    sum_of_all = np.where(total > 0, models.sum(axis=0), 1)
    start = 0
    for j in range(3):
        part = slice(start, start + counts[j])
        child = np.zeros(SHAPE)
        child[rows[part], columns[part]] = shares[part]
        np.testing.assert_allclose(child, image * models[j] / sum_of_all, rtol=1e-4, atol=1e-4)
        assert own[j] == pytest.approx((child * models[j]).sum(), rel=1e-4)
        assert everything[j] == pytest.approx((image * models[j]).sum(), rel=1e-4)
        start += counts[j]


def test_nearest_source() -> None:
    rng = np.random.default_rng(7)
    x, y = rng.uniform(0, 100, (2, 60))
    first = np.array([0, 40, 40, 60])
    for a, b in ((0, 40), (40, 60)):
        order = np.argsort(y[a:b])
        x[a:b], y[a:b] = x[a:b][order], y[a:b][order]
    rows, columns = rng.integers(0, 100, (2, 500)).astype(np.int32)
    label = rng.integers(0, 3, 500).astype(np.int32)
    nearest = np.empty(500, np.int64)
    k.nearest_source(rows, columns, label, first, x, y, nearest)
    distance = np.hypot(rows[:, None] - y, columns[:, None] - x)
    blend = np.repeat([0, 2], [40, 20])
    distance[label[:, None] != blend] = np.inf
    want = np.where(np.isfinite(distance.min(axis=1)), distance.argmin(axis=1), -1)
    np.testing.assert_array_equal(nearest, want)


def test_a_point_takes_the_place_of_a_wide_template() -> None:
    s = Stars()
    stars = 5000 * s.full(0) + 4000 * s.full(1)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    wide = 60 * np.exp(-0.5 * (np.hypot(x - s.x[1], y - s.y[1]) / 6) ** 2) * (s.labels == 1)
    noise = np.random.default_rng(8).normal(0, np.sqrt(s.variance))
    image = (stars + noise).astype(np.float32)
    values = np.concatenate([s.stamps.ravel(), wide.ravel().astype(np.float32)])
    _, first, boxes = s.flat
    first[1], boxes[1] = s.stamps.size, (0, SHAPE[1], 0, SHAPE[0])
    weights = np.array([5000.0, 1.0, 0.0])
    residual = (image - 5000 * s.full(0) - wide).astype(np.float32)
    for scale, want in ((1.0, True), (1e9, False)):
        changed, accepted, coefficients = residual.copy(), np.zeros(1, bool), np.zeros((1, 3))
        one = slice(1, 2)
        kp.retry_points(
            changed, image, s.variance, s.bad, s.labels, np.array([1]), s.owner, values, first,
            boxes, weights, s.stamps[one], s.x0[one], s.y0[one], s.x[one], s.y[one], coefficients,
            np.array([10.0 * scale]), np.array([5.0, 4.0]), np.array([0.03, 2.0]), accepted,
        )  # fmt: skip
        assert accepted[0] == want
        left = image - stars if want else residual
        np.testing.assert_allclose(changed, left, atol=4 if want else 1e-2)
