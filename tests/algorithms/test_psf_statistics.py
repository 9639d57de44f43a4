"""Statistics of a PSF model of known shape."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.psf_statistics import psf_statistics
from drpflow.data.ap_corr import ApCorr, ApCorrMap
from drpflow.data.geometry import Box
from drpflow.data.polynomial import Basis2D, Domain, Polynomial2D
from drpflow.data.psf import GaussianPsf, PixelGridPsf
from drpflow.data.summary_stats import STATISTICS, SummaryStats

BOX = Box(0, 1000, 0, 600)


def stars(number: int, reserved: int, *, sigma: float, e1: float = 0.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 0.01, (3, number))
    rows = np.arange(number)
    return {
        "x": rng.uniform(0, 1000, number),
        "y": rng.uniform(0, 600, number),
        "ixx": sigma**2 * (1 + e1) * (1 + noise[0]),
        "iyy": sigma**2 * (1 - e1) * (1 + noise[1]),
        "ixy": sigma**2 * noise[2],
        "shape_flag": np.zeros(number, bool),
        "calib_psf_used": rows >= reserved,
        "calib_psf_reserved": rows < reserved,
    }


def test_a_gaussian_in_numbers() -> None:
    columns = stars(200, 50, sigma=1.6, e1=0.04)
    numbers = psf_statistics(GaussianPsf(1.6), columns, BOX)
    SummaryStats(numbers)
    assert numbers["psfSigma"] == pytest.approx(1.6, rel=1e-5)
    assert numbers["psfIxx"] == pytest.approx(2.56, rel=1e-5)
    assert numbers["psfArea"] == pytest.approx(4 * np.pi * 2.56, rel=1e-3)
    assert numbers["nPsfStar"] == 150
    assert numbers["psfStarDeltaE1Median"] == pytest.approx(0.04, abs=3e-3)
    assert numbers["psfStarDeltaE2Scatter"] == pytest.approx(0.01, rel=0.35)
    assert numbers["psfStarDeltaSizeMedian"] == pytest.approx(0, abs=4e-3)
    assert numbers["starEMedian"] == pytest.approx(0.04, abs=4e-3)
    assert numbers["psfTraceRadiusDelta"] == pytest.approx(0, abs=1e-9)
    assert numbers["psfApFluxDelta"] == pytest.approx(0, abs=1e-12)
    assert set(numbers) <= set(STATISTICS)


def test_a_gradient_shows_in_the_ranges() -> None:
    y, x = np.mgrid[-12:13, -12:13]
    wide, narrow = (np.exp(-(x**2 + y**2) / 2 / s**2) / (2 * np.pi * s**2) for s in (1.85, 1.75))
    basis = Basis2D(1, Domain.of_box(BOX))
    psf = PixelGridPsf(basis, np.array([(wide + narrow) / 2, (wide - narrow) / 2, 0 * wide]))
    field = Polynomial2D(basis, np.array([1.0, 0.02, 0.0]))
    numbers = psf_statistics(
        psf, stars(30, 3, sigma=1.8), BOX, ApCorrMap({"psfFlux": ApCorr(field)})
    )
    assert numbers["psfTraceRadiusDelta"] == pytest.approx(0.1, abs=5e-3)
    assert numbers["psfApFluxDelta"] > 1e-3
    assert numbers["psfApCorrSigmaScaledDelta"] > 5e-3


def test_distance_to_the_nearest_star() -> None:
    columns = stars(1, 0, sigma=1.5)
    columns["x"][:], columns["y"][:] = 0.0, 0.0
    numbers = psf_statistics(GaussianPsf(1.5), columns, BOX)
    assert numbers["maxDistToNearestPsf"] == pytest.approx(np.hypot(999, 599))


def test_without_stars_the_model_is_still_described() -> None:
    columns = {name: values[:0] for name, values in stars(1, 0, sigma=1.5).items()}
    numbers = psf_statistics(GaussianPsf(1.5), columns, BOX)
    assert numbers["nPsfStar"] == 0
    assert np.isnan(numbers["maxDistToNearestPsf"])
    assert np.isnan(numbers["starEMedian"])
    assert "psfStarDeltaSizeMedian" not in numbers
