"""The rivals are given what suits them, and their answers are read right."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from rivals import kernel_line, psfex_images, run_rivals, threshold
from scipy.ndimage import correlate
from scoring import match

from drpflow.data.psf_moments import adaptive_moments

SIGMA_PIX, NOISE = 2.0, 8.0


def test_threshold_is_that_of_the_smoothed_noise() -> None:
    line = kernel_line(2.355 * SIGMA_PIX)
    kernel = np.outer(line, line) / line.sum() ** 2
    noise = correlate(np.random.default_rng(3).normal(0, 1, (400, 400)), kernel)
    assert threshold(2.355 * SIGMA_PIX) == pytest.approx(5 * noise.std(), rel=0.03)


def test_model_of_psfex_is_evaluated_in_its_own_coordinates() -> None:
    header = {"POLZERO1": 51.0, "POLSCAL1": 50.0, "POLZERO2": 51.0, "POLSCAL2": 50.0, "POLDEG1": 2}
    planes = np.zeros((1, 6, 3, 3))
    planes[0, :, 1, 1] = [1, 10, 100, 1000, 1e4, 1e5]  # 1, x, x², y, xy, y²
    psf = SimpleNamespace(header=header, data={"PSF_MASK": planes})
    middle, right, top = psfex_images(psf, np.array([50, 100, 50.0]), np.array([50, 50, 100.0]))[
        :, 1, 1
    ]
    assert (middle, right, top) == (1, 111, 1 + 1000 + 1e5)


@pytest.mark.skipif(
    shutil.which("source-extractor") is None or shutil.which("psfex") is None,
    reason="source-extractor and psfex are not installed",
)
def test_they_find_the_stars_and_their_size() -> None:
    rng = np.random.default_rng(7)
    image = rng.normal(300, NOISE, (512, 512))
    k = np.arange(64)
    x, y = 40 + 60 * (k % 8) + rng.uniform(-5, 5, 64), 40 + 60 * (k // 8) + rng.uniform(-5, 5, 64)
    flux = 10 ** rng.uniform(4, 5, 64)
    for u, v, f in zip(x, y, flux, strict=True):
        x0, y0 = round(u) - 15, round(v) - 15
        row, column = np.mgrid[y0 : y0 + 31, x0 : x0 + 31]
        shape = np.exp(-0.5 * ((column - u) ** 2 + (row - v) ** 2) / SIGMA_PIX**2)
        image[row, column] += f * shape / (2 * np.pi * SIGMA_PIX**2)
    bad = np.zeros(image.shape, bool)
    variance = np.full(image.shape, NOISE**2)
    run = run_rivals(image, variance, bad, 2.355 * SIGMA_PIX, 0.2, order=1)
    mine, true = match(run.catalog["X_IMAGE"] - 1.0, run.catalog["Y_IMAGE"] - 1.0, x, y, 1.0)
    assert len(true) == 64
    ratio = run.catalog["FLUX_PSF"][mine] / flux[true]
    assert np.median(ratio) == pytest.approx(1, abs=0.02)
    moments = adaptive_moments(psfex_images(run.psf, x, y))[0]
    size = moments.determinant_radius * run.psf.header["PSF_SAMP"]
    assert np.median(size) == pytest.approx(SIGMA_PIX, rel=0.02)
    assert all(run.cpu_s[step] > 0 for step in ("first", "psfex", "second"))
