"""Scores of PSF models: what is wrong by a known amount is told to be."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from accuracy_final_psf import photon_snr
from final_psf_scores import FrameTruth, attainable, rho1, score_psf


class Model:
    """Round stars of a size, that grow with colour."""

    color_ref = 1.0

    def __init__(self, size: float, slope: float) -> None:
        self.size, self.slope = size, slope

    def compute_shape(self, x: np.ndarray, y: np.ndarray, color: np.ndarray) -> SimpleNamespace:
        trace = self.size * (1 + self.slope * (color - 1.0)) + 0 * x
        return SimpleNamespace(xx=trace, yy=trace, xy=0 * x)


def test_size_and_trend_with_colour() -> None:
    x = np.linspace(0, 100, 9)
    one, three = np.full(9, 4.0), np.full(3, 4.0)
    truth = FrameTruth(x, x, (one, one, 0 * one), (x[:3], x[:3]), [(three, three, 0 * three)] * 2)
    color_of = {4000.0: 2.0, 5500.0: 1.0, 7500.0: 0.5}.__getitem__
    found = score_psf(Model(4.04, 0.02), truth, color_of)
    assert found["mean_t"] == pytest.approx(0.01)
    assert found["rms_t"] == pytest.approx(0.01)
    assert found["size"] == pytest.approx(0.005, rel=0.01)
    assert found["rms_e"] == 0
    assert found["color"] == pytest.approx(0.02 * 1.01)


def test_attainable_is_the_noise_of_the_coefficients() -> None:
    """A linear field: three coefficients, as many as the stars have to pay for."""
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-1, 1, (2, 300))
    gx, gy = (v.ravel() for v in np.meshgrid(*[np.linspace(-1, 1, 15)] * 2))
    shapes = np.stack([0.1 * gx, 0.02 * gy, 0 * gx], axis=1)
    trace, distortion = attainable((x, y, np.full(300, 100.0)), (gx, gy), shapes)
    assert trace == pytest.approx(2 * np.sqrt(3 / 300) / 100, rel=0.1)
    assert distortion == pytest.approx(trace, rel=1e-6)


def test_pairs_of_equal_errors_are_correlated() -> None:
    x = np.array([0.0, 1.0, 5.0])
    sums, pairs = rho1(x, 0 * x, np.full(3, 0.01), np.zeros(3), np.array([0.5, 1.5, 6.0]))
    assert pairs.tolist() == [1, 2]
    assert sums == pytest.approx([1e-4, 2e-4])


def test_error_of_the_correction_is_no_noise_of_the_star() -> None:
    stars = {
        "psfFlux_instFlux": np.array([1e5]),
        "psfFlux_instFluxErr": np.array([np.hypot(100.0, 300.0)]),
        "psfFlux_apCorr": np.array([1.0]),
        "psfFlux_apCorrErr": np.array([0.003]),
    }
    assert photon_snr(stars, np.array([True])) == pytest.approx([1000.0])
