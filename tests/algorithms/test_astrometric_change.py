"""What a second astrometric solution changes, before and after it is made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drpflow.algorithms.astrometric_change import (
    am1_change,
    distance_mas,
    expected_change_mas,
    wcs_change_mas,
)
from drpflow.data.astrometric_tables import Observations
from drpflow.data.sky_wcs import SkyWcs
from tests.tasks.astrometric_run import SCALE_ARCSEC, SIZE_PIX, camera

SEED = 4


def observations(n_images: int = 6, n_stars: int = 50) -> Observations:
    rng = np.random.default_rng(SEED)
    image = np.repeat(np.arange(n_images), n_stars)
    number = image.size
    x, y = rng.uniform(0, SIZE_PIX, (2, number))
    ones = np.full(number, 1e-4)
    return Observations(np.arange(number), image // 2, image % 2, x, y, ones, 0 * ones, ones)


def test_a_shift_of_the_centroids_is_one_of_the_wcss() -> None:
    before = observations()
    shift = 0.01 * (1 + before.visit)
    after = replace(before, x=before.x + shift)
    wanted = 10 * (1 + np.repeat(np.arange(3), 2)) * SCALE_ARCSEC
    np.testing.assert_allclose(expected_change_mas(before, after, SCALE_ARCSEC), wanted, rtol=1e-6)


def test_a_stretch_counts_and_noise_does_not() -> None:
    before = observations(n_stars=400)
    rng = np.random.default_rng(SEED)
    noise = rng.normal(0, 0.01, (2, len(before)))
    noisy = replace(before, x=before.x + noise[0], y=before.y + noise[1])
    # Six terms of noise: 10 mpix √6/√400 in both coordinates together.
    left = expected_change_mas(before, noisy, 1.0)
    assert np.median(left) == pytest.approx(10 * np.sqrt(6 / 400), rel=0.4)
    stretch = 1e-4 * (before.x - SIZE_PIX / 2)
    found = expected_change_mas(before, replace(before, x=before.x + stretch), 1.0)
    assert np.median(found) == pytest.approx(1e3 * 1e-4 * SIZE_PIX / np.sqrt(12), rel=0.1)


def test_a_few_wild_centroids_do_not_count() -> None:
    before = observations()
    x = before.x.copy()
    x[::25] += 1.0
    assert np.median(expected_change_mas(before, replace(before, x=x), 1.0)) < 5


def test_images_of_few_stars_have_no_expectation() -> None:
    few = observations(n_images=1, n_stars=5)
    assert expected_change_mas(few, few, 1.0).size == 0
    none = few.take(np.zeros(0, np.intp))
    assert expected_change_mas(none, none, 1.0).size == 0


@pytest.mark.parametrize(("ra", "dec"), [(0.0001, -30.0), (120.0, 85.0)])
def test_the_distance_of_two_wcss(ra: float, dec: float) -> None:
    cam = camera()
    one = SkyWcs.from_camera(cam, 0, ra, dec, 10.0)
    two = SkyWcs.from_camera(cam, 0, ra, dec + 0.02 / 3600, 10.0)
    assert wcs_change_mas(one, two) == pytest.approx(20, rel=1e-3)
    assert np.isnan(wcs_change_mas(None, two))
    assert np.isnan(wcs_change_mas(one, None))


def test_distances_go_round() -> None:
    off = distance_mas(
        np.array([359.99999]), np.array([60.0]), np.array([0.00001]), np.array([60.0])
    )
    assert off == pytest.approx(0.00002 * 3.6e6 / 2, rel=1e-6)


def residuals(scale: float, order: np.ndarray | None = None) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(SEED)
    stars, visits = 120, 6
    place = rng.uniform(-0.15, 0.15, (2, stars))
    star, visit = (a.ravel() for a in np.meshgrid(np.arange(stars), np.arange(visits)))
    error = np.where(star % 3, 3.0, 50.0)
    noise = rng.normal(size=(2, star.size)) * error * scale
    columns = {
        "isolated_star_id": 10 + star, "visit": visit, "detector": np.zeros(star.size, int),
        "field_x": place[0][star], "field_y": place[1][star], "dx": noise[0], "dy": noise[1],
        "xx": error**2, "yy": error**2, "used": np.ones(star.size, bool),
        "reserved": star % 10 == 0,
    }  # fmt: skip
    rows = np.arange(star.size) if order is None else order
    return {name: values[rows] for name, values in columns.items()}


def test_repeatability_is_that_of_the_same_bright_stars() -> None:
    shuffled = np.random.default_rng(1).permutation(720)[:700]
    found = am1_change(residuals(1.0), residuals(0.5, shuffled), reserved=False)
    assert found.before == pytest.approx(np.sqrt(2) * 3, rel=0.15)
    assert found.after == pytest.approx(found.before / 2, rel=0.01)


def test_repeatability_of_nothing() -> None:
    found = am1_change({}, {}, reserved=True)
    assert np.isnan(found.before)
    assert np.isnan(found.after)
