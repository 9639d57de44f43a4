"""Stars in a crowd too faint to be detected, whose background differs from star to star."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drpflow.algorithms.final_characterization.cutouts import (
    DetectorPixels,
    half_size_pix,
    neighbors_of,
)
from drpflow.algorithms.final_characterization.fit import VisitFit, fit_visit
from drpflow.algorithms.final_characterization.level import level_image, levels_under
from drpflow.algorithms.final_characterization.measure import light_under, measure
from drpflow.config.measurement import MeasurementConfig
from drpflow.data.mask import Mask
from tests.algorithms.final_characterization.test_fit import (
    CONFIG,
    SIGMA_PIX,
    errors,
    images,
    rms,
    stars_of,
)
from tests.algorithms.final_characterization.visit_images import DetectorImage

NUMBERS = (34, 30)
HALF = 20
MEAN_ELECTRON, SCATTER_ELECTRON = 8.0, 6.0


@pytest.fixture(scope="module")
def empty_sky() -> list[DetectorImage]:
    return images(NUMBERS, (0.0, 0.0), 11)


@pytest.fixture(scope="module")
def final(empty_sky: list[DetectorImage]) -> VisitFit:
    return fitted(empty_sky)


def drawn(number: int, rng: np.random.Generator) -> np.ndarray:
    """Levels of the order of the noise of a pixel (14 electrons)."""
    return np.maximum(rng.normal(MEAN_ELECTRON, SCATTER_ELECTRON, number), 0.0)


def crowded(found: DetectorImage, rng: np.random.Generator) -> DetectorImage:
    """Light under each star."""
    image, variance = found.image.copy(), found.variance.copy()
    levels = drawn(len(found.x), rng)
    for x, y, level in zip(found.x, found.y, levels, strict=True):
        rows = slice(max(round(y) - HALF, 0), round(y) + HALF + 1)
        columns = slice(max(round(x) - HALF, 0), round(x) + HALF + 1)
        image[rows, columns] += level
        variance[rows, columns] += level
    return replace(found, image=image, variance=variance)


def fitted(visit: list[DetectorImage], *, level: bool = True) -> VisitFit:
    config = CONFIG.model_copy(update={"background_level": level})
    return fit_visit([stars_of(v, config) for v in visit], config)


def size_error(visit: list[DetectorImage], found: VisitFit) -> float:
    return rms(np.array([errors(image, found, row)[0] for row, image in enumerate(visit)]))


def test_light_under_the_stars_is_not_taken_for_their_wings(empty_sky: list[DetectorImage]) -> None:
    rng = np.random.default_rng(12)
    crowd = [crowded(image, rng) for image in empty_sky]
    found = fitted(crowd)
    size = np.hypot(MEAN_ELECTRON, SCATTER_ELECTRON)
    assert found.level_electron == pytest.approx(size, rel=0.35)
    assert size_error(crowd, found) < 0.004
    assert sum(int(d.used.sum()) for d in found.detectors) > 0.9 * sum(NUMBERS)
    without = fitted(crowd, level=False)
    assert size_error(crowd, without) > 2 * size_error(crowd, found)


def test_nothing_is_found_on_a_flat_sky(empty_sky: list[DetectorImage], final: VisitFit) -> None:
    without = fitted(empty_sky, level=False)
    assert final.level_electron < 1.0
    assert without.level_electron == 0
    assert size_error(empty_sky, final) < 1.1 * size_error(empty_sky, without) + 0.001


def measured(found: DetectorImage, fit: VisitFit, error: float) -> dict[str, np.ndarray]:
    """Stars of the first detector, with levels of an expected size taken off."""
    pixels = DetectorPixels(found.image, found.variance, Mask.zeros(found.image.shape))
    psf, at = fit.detectors[0].psf, (found.x, found.y)
    neighbors = neighbors_of(pixels, at, at, psf, found.place, SIGMA_PIX, CONFIG)
    half, config = half_size_pix(SIGMA_PIX, CONFIG), MeasurementConfig()
    start = found.x + 0.2, found.y - 0.1, 0.8 * found.flux
    levels = levels_under(pixels, neighbors, psf, start, found.color, error, half, CONFIG)
    under = light_under(pixels, neighbors, *at, levels, config)
    columns = measure(pixels, under, psf, *at, found.color, config)
    size = (columns["ixx"] + columns["iyy"]) / (columns["ixxPSF"] + columns["iyyPSF"]) - 1
    return {"level": levels, "dT_T": size, "psf": columns["psfFlux_instFlux"] / found.flux}


def test_stars_are_measured_without_what_lies_under_them(
    empty_sky: list[DetectorImage], final: VisitFit
) -> None:
    """Each beside itself on an empty sky, with the same noise."""
    alone = empty_sky[0]
    levels = drawn(len(alone.x), np.random.default_rng(13))
    light = level_image(alone.image.shape, alone.x, alone.y, levels, 40.0)
    crowd = replace(alone, image=alone.image + light, variance=alone.variance + light)
    error = float(np.hypot(MEAN_ELECTRON, SCATTER_ELECTRON))
    empty, left, taken = (
        measured(image, final, size) for image, size in ((alone, 0), (crowd, 0), (crowd, error))
    )
    assert (left["level"] == 0).all()
    assert rms(taken["level"] - levels) < 0.2 * rms(levels)
    faint = alone.flux < np.median(alone.flux)
    for name in ("dT_T", "psf"):
        before, after = (np.median((v[name] - empty[name])[faint]) for v in (left, taken))
        assert before > 0.01
        assert abs(after) < 0.3 * before


def test_levels_below_a_tenth_of_the_noise_are_left(
    empty_sky: list[DetectorImage], final: VisitFit
) -> None:
    """Where the noise of a pixel is 13 electrons; a little above it levels are small still."""
    none, some, more = (measured(empty_sky[0], final, error) for error in (0.0, 1.2, 1.5))
    for name, values in none.items():
        np.testing.assert_array_equal(some[name], values)
    assert 0 < rms(more["level"]) < 0.8
    assert rms(more["dT_T"] - none["dT_T"]) < 0.2 * rms(none["dT_T"])


def test_each_pixel_has_the_level_of_the_nearest_star() -> None:
    image = level_image((40, 60), np.array([-1.0, 10.0, 30.4]), np.array([5.0, 20.0, 20.0]),
                        np.array([3.0, 1.0, 2.0]), 15.0)  # fmt: skip
    assert image[20, 19] == 1
    assert image[20, 21] == 2
    assert image[20, 46] == 0
    assert image[3, 0] == 3
    assert image[39, 59] == 0
