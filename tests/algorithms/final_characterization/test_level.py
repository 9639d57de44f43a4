"""Stars in a crowd too faint to be detected, whose background differs from star to star."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drpflow.algorithms.final_characterization.fit import VisitFit, fit_visit
from tests.algorithms.final_characterization.test_fit import (
    CONFIG,
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


def crowded(found: DetectorImage, rng: np.random.Generator) -> DetectorImage:
    """Light under each star, of the order of the noise of a pixel (14 electrons)."""
    image, variance = found.image.copy(), found.variance.copy()
    for x, y in zip(found.x, found.y, strict=True):
        level = max(rng.normal(MEAN_ELECTRON, SCATTER_ELECTRON), 0.0)
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


def test_nothing_is_found_on_a_flat_sky(empty_sky: list[DetectorImage]) -> None:
    found, without = fitted(empty_sky), fitted(empty_sky, level=False)
    assert found.level_electron < 1.0
    assert without.level_electron == 0
    assert size_error(empty_sky, found) < 1.1 * size_error(empty_sky, without) + 0.001
