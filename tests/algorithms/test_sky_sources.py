"""Sky sources lie where nothing else does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from drpflow.algorithms.sky_sources import place_sky_sources


def blobs(seed: int, share: float) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(220, 300)), 6)
    return np.asarray(noise > np.quantile(noise, 1 - share))


@pytest.mark.parametrize("radius", [1.0, 4.5, 8.0])
def test_nothing_is_near_and_they_are_apart(radius: float) -> None:
    occupied = blobs(1, 0.2)
    x, y = place_sky_sources(occupied, 30, radius, np.random.default_rng(2))
    distance = ndimage.distance_transform_edt(~occupied)
    assert (distance[y.astype(int), x.astype(int)] > radius).all()
    assert min(x.min(), y.min(), 299 - x.max(), 219 - y.max()) >= radius
    apart = np.hypot(x - x[:, None], y - y[:, None]) + 1e9 * np.eye(x.size)
    assert apart.min() > 2 * radius
    assert x.size == 30


def test_places_are_spread_evenly_over_what_is_free() -> None:
    occupied = np.zeros((200, 400), bool)
    occupied[:, :200] = True
    found = [
        place_sky_sources(occupied, 20, 3.0, np.random.default_rng(seed)) for seed in range(50)
    ]
    x, y = (np.concatenate(part) for part in zip(*found, strict=True))
    assert x.mean() == pytest.approx((203 + 396) / 2, abs=6)
    assert y.mean() == pytest.approx(99.5, abs=6)
    assert x.std() == pytest.approx(194 / np.sqrt(12), rel=0.1)


def test_same_seed_same_places() -> None:
    occupied = blobs(3, 0.3)
    first, second = (place_sky_sources(occupied, 50, 3, np.random.default_rng(4)) for _ in "ab")
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("radius", [3.0, 200.0])
def test_no_room_no_places(radius: float) -> None:
    occupied = np.zeros((50, 50), bool)
    occupied[::4] = radius < 100
    x, y = place_sky_sources(occupied, 10, radius, np.random.default_rng(5))
    assert x.size == y.size == 0


def test_little_room_few_places() -> None:
    occupied = np.ones((100, 100), bool)
    occupied[20:41, 20:41] = False
    x, y = place_sky_sources(occupied, 100, 8.0, np.random.default_rng(6))
    assert x.size == 1
    assert 28 <= x[0] <= 32
    assert 28 <= y[0] <= 32
