"""Telling clear visits from cloudy ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drpflow.algorithms.fgcm.clouds import Clouds, update_clouds
from drpflow.algorithms.fgcm.layout import Layout, degrees
from drpflow.config.fgcm import FgcmConfig, GrayConfig

from .made_up_survey import made_up_survey


@pytest.fixture(scope="module")
def layout() -> Layout:
    survey = made_up_survey(1, nights=10, per_night=10, stars_per_detector=2)
    return Layout.of(survey.visits, survey.detectors, FgcmConfig())


def settle(layout: Layout, gray: np.ndarray, error: float, config: GrayConfig) -> Clouds:
    """Iterate on visits whose gray terms are measured with an error each, prior apart."""
    clouds = Clouds.start(layout, config)
    for least in (0.1, 0.05, 0.02, 0.01, *[0.0] * 15):
        center, precision = clouds.prior(layout)
        total = precision + error**-2
        mean = (gray * error**-2 + center * precision) / total
        clouds = update_clouds(
            clouds,
            layout,
            mean,
            np.broadcast_to(1 / total, mean.shape),
            config,
            least_scatter=least,
        )
    return clouds


def draw(layout: Layout, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    n, terms = layout.n_visits, degrees(layout.gray_order).size
    cloudy = np.arange(n) % 7 == 3
    gray = rng.normal(0, 1, (n, terms)) * np.where(np.arange(terms) == 0, 0.002, 0.0003)
    gray[cloudy, 0] -= rng.uniform(0.025, 0.5, cloudy.sum())
    gray[cloudy, 1:] += rng.normal(0, 0.05, (cloudy.sum(), terms - 1)) * gray[cloudy, :1]
    return gray, cloudy


def test_cloudy_visits_are_told_and_the_scatter_is_found(layout):
    config = GrayConfig()
    gray, cloudy = draw(layout, np.random.default_rng(1))
    measured = gray + 0.0005 * np.random.default_rng(2).normal(size=gray.shape)
    clouds = settle(layout, measured, 0.0005, config)
    assert (clouds.photometric(config) == ~cloudy).all()
    assert clouds.scatter == pytest.approx(0.002, rel=0.3)
    assert 1 - clouds.clear.mean() == pytest.approx(cloudy.mean(), abs=0.03)


def test_the_cavity_gives_back_what_was_measured(layout):
    config = GrayConfig()
    gray, _ = draw(layout, np.random.default_rng(3))
    clouds = settle(layout, gray, 0.001, config)
    np.testing.assert_allclose(clouds.gray, gray[:, 0], atol=1e-9)
    np.testing.assert_allclose(clouds.gray_variance, 1e-6)


def test_thin_but_uneven_cloud_is_not_photometric(layout):
    config = GrayConfig()
    gray, cloudy = draw(layout, np.random.default_rng(4))
    row = int(np.flatnonzero(~cloudy)[0])
    gray[row, :3] = -0.01, 0.004, -0.004
    clouds = settle(layout, gray, 0.0004, config)
    assert not clouds.photometric(config)[row]


def test_haze_is_photometric_and_does_not_widen_the_scatter(layout):
    config = GrayConfig()
    gray, cloudy = draw(layout, np.random.default_rng(5))
    hazy = np.flatnonzero(~cloudy)[::12]
    without = settle(layout, gray, 0.0004, config).scatter
    gray[hazy, 0] -= 0.010
    clouds = settle(layout, gray, 0.0004, config)
    assert clouds.photometric(config)[hazy].all()
    assert clouds.scatter < without + 0.0007


def test_visit_of_which_nothing_is_told_is_neither(layout):
    config = GrayConfig()
    clouds = Clouds.start(layout, config)
    center, precision = clouds.prior(layout)
    told = update_clouds(clouds, layout, center, 1 / precision, config)
    assert np.isinf(told.gray_variance).all()
    assert not told.photometric(config).any()
    assert replace(told, gray=told.gray).clear == pytest.approx(0.8)
