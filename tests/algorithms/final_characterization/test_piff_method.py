"""Piff's model as a PSF of ours; skipped where Piff is not installed."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.final_characterization.piff_method import fit_piff
from drpflow.config.final_psf import FinalPsfConfig
from drpflow.errors import AlgorithmError
from tests.algorithms.final_characterization.test_fit import errors, images, rms, stars_of

pytest.importorskip("piff")

CONFIG = FinalPsfConfig(method="piff")


def test_its_model_is_brought_over() -> None:
    (image,) = images((36,), (0.0,), 8)
    stars = stars_of(image, CONFIG)
    found = fit_piff(stars, CONFIG)
    size, ellipticity = errors(image, found, 0)
    assert found.order == 2
    assert found.detectors[0].used.sum() >= 28
    assert rms(size) < 0.02
    assert rms(ellipticity) < 0.03


def test_few_stars_lower_the_order_and_fewer_fail() -> None:
    (image,) = images((12,), (0.0,), 9)
    stars = stars_of(image, CONFIG)
    assert fit_piff(stars, CONFIG).order == 1
    with pytest.raises(AlgorithmError, match="2 stars"):
        fit_piff(stars.select(np.arange(12) < 2), CONFIG)
