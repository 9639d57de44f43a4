"""Fluxes without a model: exact areas, parity with sep, and blindness to the background."""

from __future__ import annotations

import numpy as np
import pytest
import sep

from drpflow.kernels import photometry as k


def sampled_overlap(dx: float, dy: float, r: float, n: int = 2000) -> float:
    t = (np.arange(n) + 0.5) / n - 0.5
    return float(((dx + t[:, None]) ** 2 + (dy + t[None, :]) ** 2 <= r * r).mean())


@pytest.mark.parametrize("r", [0.4, 1.0, 2.5, 12.0])
def test_overlap_of_one_pixel(r: float) -> None:
    rng = np.random.default_rng(1)
    for _ in range(15):
        angle = rng.uniform(0, 2 * np.pi)
        distance = max(0, r + rng.uniform(-0.8, 0.8))
        dx, dy = distance * np.cos(angle), distance * np.sin(angle)
        assert k.circle_overlap(dx, dy, r) == pytest.approx(sampled_overlap(dx, dy, r), abs=2e-4)


@pytest.mark.parametrize("r", [0.3, 1.0, 3.0, 6.37, 20.4, 70.0])
def test_overlaps_add_up_to_the_area(r: float) -> None:
    half = int(r) + 2
    total = sum(
        k.circle_overlap(u - 0.31, v + 0.17, r)
        for v in range(-half, half + 1)
        for u in range(-half, half + 1)
    )
    assert total == pytest.approx(np.pi * r * r, rel=3e-8)


def test_nested_apertures_equal_sep() -> None:
    rng = np.random.default_rng(2)
    image, variance = rng.normal(10, 3, (80, 90)), rng.uniform(4, 9, (80, 90))
    radii = np.array([3.0, 6.0, 9.0, 12.0, 20.4, 25.0])
    out = np.empty((3, 6))
    sums, noises, missing = out
    for x, y in [(40.0, 40.0), (44.3, 37.8), (35.5, 42.5)]:
        k.nested_apertures(image, variance, x, y, radii, out)
        for i, r in enumerate(radii):
            want, _, _ = sep.sum_circle(image, [x], [y], r, subpix=0)
            assert sums[i] == pytest.approx(want[0], rel=1e-7)
            # sep weights variances by the overlap, the variance of a weighted sum by its square.
            upper = sep.sum_circle(image, [x], [y], r, var=variance, subpix=0)[1][0] ** 2
            assert 0.8 * upper < noises[i] < upper
        assert not missing.any()


def test_variance_of_apertures_is_that_of_the_weighted_sum() -> None:
    rng = np.random.default_rng(3)
    variance = rng.uniform(4, 9, (21, 21))
    out = np.empty((3, 1))
    sums, noises, _ = out
    k.nested_apertures(variance, variance, 10.2, 9.7, np.array([4.0]), out)
    weight = np.array(
        [[k.circle_overlap(u - 10.2, v - 9.7, 4.0) for u in range(21)] for v in range(21)]
    )
    assert noises[0] == pytest.approx((weight**2 * variance).sum())
    assert sums[0] == pytest.approx((weight * variance).sum())


def test_missing_area_is_counted() -> None:
    stamp = np.ones((31, 31))
    stamp[15, 20] = np.nan
    out = np.empty((3, 3))
    sums, _, missing = out
    radii = np.array([3.0, 8.0, 20.0])
    k.nested_apertures(stamp, np.ones_like(stamp), 15.0, 15.0, radii, out)
    np.testing.assert_allclose(sums + missing, np.pi * radii**2, rtol=1e-7)
    assert missing[0] == 0
    assert missing[1] == 1
    assert missing[2] > 100


def test_compensated_gaussian_is_blind_to_the_background() -> None:
    stamp, variance = np.full((81, 81), 1000.0), np.ones((81, 81))
    flux, _, complete = k.compensated_gaussian(stamp, variance, 40.3, 39.6, 5.0, 2.0, 32.0)
    assert complete
    assert abs(flux) < 1e-7


@pytest.mark.parametrize("sigma", [3.0, 5.0])
def test_compensated_gaussian_of_a_matched_source(sigma: float) -> None:
    v, u = np.mgrid[:121, :121]
    star = np.exp(-((u - 60.2) ** 2 + (v - 59.7) ** 2) / 2 / sigma**2) / (2 * np.pi * sigma**2)
    reach = 2 * sigma * np.sqrt(-2 * np.log(0.005))
    noise = np.full(star.shape, 4.0)
    flux, spread, _ = k.compensated_gaussian(500 * star, noise, 60.2, 59.7, sigma, 2.0, reach)
    # What the filter misses beyond its reach is a part in a thousand.
    assert flux == pytest.approx(500, rel=2e-3)
    # ∫ (g(σ) - g(2σ)/4)² = π σ² (1 - 2·2/5 + 1/4), and the norm is 10/3.
    assert spread == pytest.approx(4 * (10 / 3) ** 2 * np.pi * sigma**2 * 0.45, rel=3e-3)


def test_compensated_gaussian_notices_missing_pixels() -> None:
    stamp, ones = np.ones((81, 81)), np.ones((81, 81))
    stamp[40, 60] = np.nan
    assert not k.compensated_gaussian(stamp, ones, 40.0, 40.0, 5.0, 2.0, 32.0)[2]
    assert k.compensated_gaussian(stamp, ones, 40.0, 40.0, 2.0, 2.0, 13.0)[2]
    assert not k.compensated_gaussian(ones, ones, 10.0, 40.0, 2.0, 2.0, 13.0)[2]


def test_local_background_equals_numpy() -> None:
    rng = np.random.default_rng(4)
    image = rng.normal(2, 5, (70, 70)).astype(np.float32)
    image[20:24, 20:24] += 500
    blocked = rng.random(image.shape) < 0.1
    found = np.empty((2, 3))
    k.local_backgrounds(
        image, blocked, np.array([30.2, 3.0]), np.array([31.7, 66.0]), 6.0, 15.0, 3.0, found
    )
    v, u = np.mgrid[:70, :70]
    for row, (x, y) in zip(found, [(30.2, 31.7), (3.0, 66.0)], strict=True):
        distance = np.hypot(u - x, v - y)
        values = image[(distance >= 6) & (distance <= 15) & ~blocked].astype(float)
        center = np.median(values)
        kept = values[np.abs(values - center) <= 3 * 1.4826 * np.median(np.abs(values - center))]
        want = kept.mean(), kept.std(ddof=1) / np.sqrt(kept.size), kept.size
        np.testing.assert_allclose(row, want, rtol=1e-9)
