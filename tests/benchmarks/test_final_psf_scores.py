"""Scores of PSF models: what is wrong by a known amount is told to be."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from accuracy_final_psf import photon_snr
from final_psf_scores import (
    FrameTruth,
    LeftOut,
    StarNoise,
    TrueField,
    correlation_of_length,
    rho1,
    score_psf,
    von_karman,
)
from folds_final_psf import fold_of


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


def test_noise_of_a_gaussian_star() -> None:
    """σ(log T) = σ(e) = 2/ν above the sky, and half of that in e for a star alone."""
    y, x = np.mgrid[-20:21, -20:21]
    image = np.exp(-(x * x + y * y) / 2 / 2.5**2) / (2 * np.pi * 2.5**2)
    faint, bright = StarNoise.of_image(image, 1e4), StarNoise.of_image(image, 1e-3)
    assert faint.trace(np.array([20.0])) * 20 == pytest.approx([2.0], rel=0.03)
    assert faint.distortion(np.array([20.0])) * 20 == pytest.approx([2.0], rel=0.03)
    assert bright.distortion(np.array([1000.0])) * 1000 == pytest.approx([1.0], rel=0.05)


@pytest.mark.parametrize("rho", [0.0, 0.4, 0.8, 1.0])
def test_correlation_of_ellipticities_without_direction(rho: float) -> None:
    """Lengths of pairs of vectors, drawn with a known correlation of their components."""
    one, two = np.random.default_rng(1).normal(size=(2, 2, 100_000))
    lengths = np.hypot(*one), np.hypot(*(rho * one + np.sqrt(1 - rho**2) * two))
    found = correlation_of_length(np.array(rho))
    assert found == pytest.approx(np.corrcoef(*lengths)[0, 1], abs=0.015)


def test_oracle_is_the_error_of_the_best_estimate() -> None:
    """The linear estimate with the true covariance, over many draws of field and noise."""
    rng = np.random.default_rng(1)
    sx, sy = rng.uniform(-1, 1, (2, 60))
    gx, gy = (v.ravel() for v in np.meshgrid(*[np.linspace(-1, 1, 6)] * 2))
    x, y = np.append(sx, gx), np.append(sy, gy)
    correlation = von_karman(np.hypot(x[:, None] - x, y[:, None] - y) / 0.8)
    root = np.linalg.cholesky(correlation + 1e-9 * np.eye(x.size))
    sigma, left = 0.01 * np.ones(60), []
    air = 0.02 * (root @ rng.normal(size=(x.size, 2)))[60:]
    shapes = np.column_stack([np.hypot(*air.T), 0.3 + 0.1 * gx + air[:, 0], air[:, 1]])
    field = TrueField(gx, gy, shapes, 0.8, air, 0.02)
    assert field.amplitudes() == pytest.approx([0.0131, 0.02, 0.02], rel=1e-6)
    design = np.column_stack([np.ones(x.size), x, y, x * x, x * y, y * y])
    for _ in range(200):
        true = 0.02 * root @ rng.normal(size=x.size) + design @ rng.normal(0, 0.1, 6)
        seen = true[:60] + sigma * rng.normal(size=60)
        among = 0.02**2 * correlation + 0.1**2 * design @ design.T
        gain = np.linalg.solve(among[:60, :60] + np.diag(sigma**2), among[:60, 60:])
        left.append(np.mean((seen @ gain - true[60:]) ** 2))
    oracle = field.oracle((sx, sy), np.tile(sigma[:, None], 3))
    assert oracle[1] == pytest.approx(np.sqrt(np.mean(left)), rel=0.05)


def test_oracle_of_size_knows_that_it_follows_the_length_of_e() -> None:
    """The same for log T = 0.02 |e|, the estimate with the covariance of the lengths."""
    rng = np.random.default_rng(2)
    sx, sy = rng.uniform(-1, 1, (2, 60))
    gx, gy = (v.ravel() for v in np.meshgrid(*[np.linspace(-1, 1, 6)] * 2))
    x, y = np.append(sx, gx), np.append(sy, gy)
    correlation = von_karman(np.hypot(x[:, None] - x, y[:, None] - y) / 0.8)
    root = np.linalg.cholesky(correlation + 1e-9 * np.eye(x.size))
    lengths = 0.02 * np.hypot(*(rng.normal(size=(2, 300, x.size)) @ root.T))
    air = 0.02 * (root @ rng.normal(size=(x.size, 2)))[60:]
    field = TrueField(gx, gy, np.column_stack([np.hypot(*air.T), air]), 0.8, air, 0.02)
    design = np.column_stack([np.ones(x.size), x, y, x * x, x * y, y * y])
    among = 0.0131**2 * correlation_of_length(correlation) + 0.1**2 * design @ design.T
    gain = np.linalg.solve(among[:60, :60] + 0.003**2 * np.eye(60), among[:60, 60:])
    seen = lengths[:, :60] + 0.003 * rng.normal(size=(300, 60))
    middle = lengths.mean()
    left = np.sqrt(np.mean((middle + (seen - middle) @ gain - lengths[:, 60:]) ** 2))
    oracle = field.oracle((sx, sy), np.full((60, 3), 0.003))
    assert oracle[0] == pytest.approx(left, rel=0.06)


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


def test_every_star_is_left_out_once_in_all_visits() -> None:
    stars = np.arange(10**12, 10**12 + 3000)
    folds = fold_of(stars, 3)
    assert set(folds) == {0, 1, 2}
    assert np.abs(np.bincount(folds) - 1000).max() < 100
    assert (fold_of(stars[::7], 3) == folds[::7]).all()


def test_scatter_beyond_noise_of_stars_left_out() -> None:
    rng = np.random.default_rng(2)
    n, noise, scatter = 4000, 0.005, 0.01
    stars = dict.fromkeys(("ixxPSF", "iyyPSF"), np.full(n, 4.0)) | {"ixyPSF": np.zeros(n)}
    e1, e2, size = rng.normal(0, [[np.hypot(noise, scatter)], [noise], [noise]], (3, n))
    stars |= {"ixx": 4 * (1 + e1) * np.exp(size), "iyy": 4 * (1 - e1) * np.exp(size)}
    stars |= {"ixy": 4 * e2 * np.exp(size), "ixyErr": np.full(n, 4 * noise)}
    stars |= dict.fromkeys(("ixxErr", "iyyErr"), np.full(n, 8 * noise / np.sqrt(2)))
    stars |= {"psfFlux_instFlux": np.full(n, 2e4), "psfFlux_instFluxErr": np.full(n, 100.0)}
    stars |= {"shape_flag": np.zeros(n, bool), "calib_psf_reserved": np.ones(n, bool)}
    found = LeftOut()
    found.add(stars, rng.uniform(0, 5, (2, n)))
    assert found.intrinsic(1) == pytest.approx(scatter, rel=0.05)
    assert found.intrinsic(0) < 0.002
    assert "2e-5" in found.lines()[-1]
