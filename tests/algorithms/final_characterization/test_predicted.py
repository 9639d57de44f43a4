"""Places of stars by the astrometric solution."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.final_characterization.predicted import Predicted, predict, with_own_error
from drpflow.config.final_psf import PlacePriorConfig
from drpflow.data.sky_wcs import SkyWcs
from tests.tasks.star_scene import make_camera

CONFIG = PlacePriorConfig()


def test_places_and_errors_are_in_pixels() -> None:
    wcs = SkyWcs.from_camera(make_camera(), 3, 150.0, -20.0, 0.0)
    x, y = np.array([10.0, 300.0]), np.array([20.0, 400.0])
    ra, dec = wcs.pixel_to_world_values(x, y)
    found = predict(ra, np.array([dec[0], np.nan]), np.full(2, 30.0), wcs, 0.04 * np.sqrt(2))
    assert (found.x[0], found.y[0]) == pytest.approx((10.0, 20.0), abs=1e-6)
    assert found.sigma[0] == pytest.approx(0.05 / 0.3, rel=1e-3)
    assert np.isnan(found.sigma[1])


def test_without_a_solution_nothing_is_known() -> None:
    found = predict(np.zeros(3), np.zeros(3), np.zeros(3), None, np.nan)
    assert np.isnan(found.sigma).all()


def measured(rng: np.random.Generator, offset: float, n: int = 200) -> tuple[Predicted, tuple]:
    x, y = rng.uniform(0, 500, (2, n))
    turbulence, noise = 0.04, 0.02
    at = Predicted(x, y, np.full(n, 0.005))
    off = rng.normal(0, np.hypot(turbulence, noise), (2, n)) + offset
    return at, (x + off[0], y + off[1], np.full(n, noise))


def test_turbulence_and_offsets_are_seen() -> None:
    rng = np.random.default_rng(1)
    found, seen = zip(*[measured(rng, k) for k in (0.0, 0.3, 4.0)], strict=True)
    known = with_own_error(dict(enumerate(found)), dict(enumerate(seen)), CONFIG)
    assert known[0].sigma == pytest.approx(0.04, rel=0.15)
    assert known[1].x - found[1].x == pytest.approx(0.3, abs=0.02)
    assert np.isnan(known[2].sigma).all(), "off by more than is believed"


def test_too_few_stars_tell_no_error() -> None:
    at, seen = measured(np.random.default_rng(2), 0.0, 6)
    assert np.isnan(with_own_error({0: at}, {0: seen}, CONFIG)[0].sigma).all()
