"""Pixels of places against healpy, and pixels near places against brute force."""

from __future__ import annotations

import healpy
import numpy as np
import pytest

from drpflow.data.healpix import (
    pixel_centers_deg,
    pixel_radius_deg,
    pixels_about,
    pixels_in_circles,
    pixels_of_deg,
)


def sky(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(-10, 370, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))


@pytest.mark.parametrize("order", [0, 1, 3, 7, 13, 22, 29])
def test_pixels_are_those_of_healpy(order: int) -> None:
    ra, dec = sky(200_000, order)
    dec[:200] = np.sign(dec[:200]) * (90 - 10.0 ** np.linspace(-9, 0, 200))
    expected = healpy.ang2pix(1 << order, ra, dec, nest=True, lonlat=True)
    different = pixels_of_deg(order, ra, dec) != expected
    # At the finest orders the pixels are as small as the rounding of the angles.
    assert different.mean() < (1e-2 if order == 29 else 1e-4 if order > 20 else 1e-9)


@pytest.mark.parametrize("order", [0, 2, 9])
def test_a_centre_lies_in_its_pixel(order: int) -> None:
    pixel = np.unique(np.linspace(0, 12 * 4**order - 1, 3000).astype(int))
    np.testing.assert_array_equal(pixels_of_deg(order, *pixel_centers_deg(order, pixel)), pixel)


def test_poles_and_the_meridian() -> None:
    places = np.array([[0.0, 90.0], [123.0, -90.0], [360.0, 1e-9], [0.0, 1e-9], [-1e-13, 10.0]])
    for order in (0, 5, 12):
        expected = healpy.ang2pix(1 << order, *places.T, nest=True, lonlat=True)
        np.testing.assert_array_equal(pixels_of_deg(order, *places.T), expected)


@pytest.mark.parametrize("dec_deg", [-90.0, -80.0, 0.0, 41.0, 42.0, 89.999])
def test_one_place_is_as_good_as_many(dec_deg: float) -> None:
    """On either side of the borders of the polar caps, at 41.8 degrees."""
    expected = healpy.ang2pix(1 << 7, 200.0, dec_deg, nest=True, lonlat=True)
    found = pixels_of_deg(7, 200.0, dec_deg)
    assert found.shape == ()
    assert int(found) == expected
    grid = pixels_of_deg(7, np.full((2, 1), 200.0), np.full(3, dec_deg))
    np.testing.assert_array_equal(grid, np.full((2, 3), expected))


@pytest.mark.parametrize(("order", "radius_deg"), [(1, 5.0), (5, 1.1), (7, 0.1), (7, 3.0)])
def test_no_pixel_that_a_circle_touches_is_missed(order: int, radius_deg: float) -> None:
    rng = np.random.default_rng(order)
    ra, dec = sky(8, 3)
    circle, pixel = pixels_in_circles(order, ra, dec, radius_deg)
    for k in range(len(ra)):
        found = set(pixel[circle == k])
        z = rng.uniform(np.cos(np.radians(radius_deg)), 1, 5000)
        angle = rng.uniform(0, 2 * np.pi, z.size)
        r = np.sqrt(1 - z**2)
        points = _turned(np.stack([r * np.cos(angle), r * np.sin(angle), z]), ra[k], dec[k])
        touched = set(healpy.vec2pix(1 << order, *points, nest=True))
        assert touched <= found
        vector = healpy.ang2vec(ra[k], dec[k], lonlat=True)
        reach = np.radians(radius_deg + 2 * pixel_radius_deg(order + 4))
        larger = healpy.query_disc(1 << order, vector, reach, inclusive=True, fact=16, nest=True)
        assert found <= set(larger)


def _turned(cap: np.ndarray, ra_deg: float, dec_deg: float) -> np.ndarray:
    """Turn points about the pole to points about another place."""
    ra, dec = np.radians([ra_deg, dec_deg])
    north = np.array([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    east = np.array([-np.sin(ra), np.cos(ra), 0.0])
    return np.stack([north, east, np.cross(east, north)], axis=1) @ cap


def test_small_pixels_cover_the_margin() -> None:
    rng = np.random.default_rng(1)
    order, finer = 4, 4
    for pixel in (0, 700, 1023, 2000, 3071):
        small = pixels_about(order, pixel, 0.3, finer)
        assert (np.diff(small) > 0).all()
        assert (small >> 2 * finer == pixel).sum() == 4**finer
        ra, dec = pixel_centers_deg(order, pixel)
        x, y = rng.uniform(-6, 6, (2, 40_000))
        points_ra, points_dec = ra + x / np.cos(np.radians(dec)), np.clip(dec + y, -90, 90)
        own = pixels_of_deg(order, points_ra, points_dec) == pixel
        inside = healpy.ang2vec(points_ra[own], points_dec[own], lonlat=True)
        others = healpy.ang2vec(points_ra[~own], points_dec[~own], lonlat=True)
        near = (others @ inside.T).max(axis=1) > np.cos(np.radians(0.3))
        numbers = pixels_of_deg(order + finer, points_ra[~own][near], points_dec[~own][near])
        assert near.sum() > 50
        assert np.isin(numbers, small).all()
        assert small.size < 2.2 * 4**finer
