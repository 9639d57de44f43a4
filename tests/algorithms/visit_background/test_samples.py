"""From pixels to cells: backgrounds put back, sources masked evenly."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.visit_background.samples import detrended_pixels, measure_sky
from drpflow.config.measure_sky import MeasureSkyConfig
from drpflow.data.background import Background, PolynomialLayer
from drpflow.data.exposure import Exposure
from drpflow.data.mask import Mask
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.sky_samples import SkySamples
from drpflow.errors import AlgorithmError

SIDE, SKY, TAKEN = 256, 200.0, 190.0
CONFIG = MeasureSkyConfig()


def exposure(light: np.ndarray | float = 0.0, unit: str = "nJy", seed: int = 4) -> Exposure:
    """A frame of which calibrateImage took a level of 190 electrons, with 10 nJy an electron."""
    rng = np.random.default_rng(seed)
    image = rng.poisson(SKY + light * np.ones((SIDE, SIDE))).astype(np.float32)
    variance = np.full(image.shape, SKY, np.float32)
    background = Background((("mesh", PolynomialLayer.constant(TAKEN)),))
    calibration = PhotoCalib(10.0)
    image = background.subtract(image)
    components = {"background": background, "photo_calib": calibration}
    if unit == "nJy":
        image, scaled = calibration.calibrate_image(image, variance)
        assert scaled is not None
        variance = scaled
    return Exposure(image, Mask.zeros(image.shape), variance, unit=unit, components=components)


@pytest.mark.parametrize("unit", ["nJy", "electron"])
def test_background_and_calibration_are_undone(unit):
    image, variance = detrended_pixels(exposure(unit=unit))
    assert image.mean() == pytest.approx(SKY, abs=0.3)
    assert np.allclose(variance, SKY, rtol=1e-5)


def test_pixels_of_unknown_calibration_are_refused():
    bare = exposure()
    uncalibrated = Exposure(bare.image, bare.mask, bare.variance, unit="nJy")
    with pytest.raises(AlgorithmError, match="electrons"):
        detrended_pixels(uncalibrated)


def test_the_mean_of_an_empty_sky_is_unbiased():
    means = []
    for seed in range(6):
        samples = measure_sky(exposure(seed=seed), 2.0, CONFIG)
        seen = samples.count > 0
        means.append(np.average(samples.level[seen], weights=samples.count[seen]))
    error = np.sqrt(SKY / (6 * SIDE**2))
    assert np.mean(means) == pytest.approx(SKY, abs=4 * error)


def test_stars_are_masked_and_wide_light_stays():
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    star = 4e4 / (2 * np.pi * 4) * np.exp(-((x - 100) ** 2 + (y - 120) ** 2) / 8)
    wide = 10 * np.exp(-((x - 180) ** 2 + (y - 60) ** 2) / (2 * 150**2))
    samples = measure_sky(exposure(star + wide), 2.0, CONFIG)
    assert samples.count[7, 6] < 0.6 * CONFIG.cell_pix**2
    assert np.nanmean(samples.level[2:5, 10:13]) == pytest.approx(SKY + 10, abs=1)
    corner = wide[192:, :64].mean()
    assert np.nanmean(samples.level[12:, :4]) == pytest.approx(SKY + corner, abs=0.5)


def test_nothing_but_saturated_pixels_is_a_declared_failure():
    given = exposure()
    mask = Mask.zeros(given.shape)
    mask.set("SAT", np.ones(given.shape, bool))
    spoiled = Exposure(given.image, mask, given.variance, unit="nJy", components=given.components)
    with pytest.raises(AlgorithmError, match="sky"):
        measure_sky(spoiled, 2.0, CONFIG)


def test_samples_survive_as_rows():
    samples = measure_sky(exposure(), 2.0, CONFIG)
    again = SkySamples.from_columns(samples.to_columns())
    for name in ("level", "count", "x", "y"):
        assert np.array_equal(getattr(again, name), getattr(samples, name), equal_nan=True)
    assert (again.cell_pix, again.shape_pix) == (CONFIG.cell_pix, (SIDE, SIDE))
    assert again.noise == pytest.approx(samples.noise)


def test_what_is_known_from_elsewhere_does_not_count():
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    # Fainter than what one exposure shows: a coadd sees it.
    faint = 3 * np.exp(-((x - 100) ** 2 + (y - 120) ** 2) / (2 * 20**2))
    known = np.hypot(x - 100, y - 120) < 70
    given = exposure(faint)
    without = measure_sky(given, 2.0, CONFIG)
    with_footprints = measure_sky(given, 2.0, CONFIG, known)
    inside = known.reshape(16, 16, 16, 16).all(axis=(1, 3))
    assert without.count[inside].mean() > 128  # of 256
    assert not with_footprints.count[inside].any()
    level, count = with_footprints.level, with_footprints.count
    seen = count > 0
    error = np.sqrt(SKY / count.sum())
    assert np.average(level[seen], weights=count[seen]) == pytest.approx(SKY, abs=4 * error + 0.02)
