"""Moments of the PSF are biased by noise as those of a star are."""

from __future__ import annotations

import numpy as np

from drpflow.algorithms.measurement.noisy_psf import debiased_psf_columns
from drpflow.algorithms.measurement.shapes import measure_shapes
from drpflow.algorithms.measurement.work_image import WorkImage, plain_scene
from drpflow.data.psf import GaussianPsf

SIGMA, STEP, SIDE = 2.0, 40, 20
NOISE = 10.0


def faint_stars(flux: float) -> tuple[WorkImage, dict[str, np.ndarray]]:
    """400 stars of one flux, measured."""
    rng = np.random.default_rng(3)
    n = STEP * SIDE
    psf = GaussianPsf(SIGMA)
    nodes = (np.arange(SIDE) + 0.5) * STEP
    x, y = (v.ravel() + rng.uniform(-0.5, 0.5, SIDE**2) for v in np.meshgrid(nodes, nodes))
    image = rng.normal(0, NOISE, (n, n))
    stamps, x0, y0 = psf.compute_images(x, y)
    size = stamps.shape[1]
    for stamp, column, row in zip(stamps, x0, y0, strict=True):
        image[row : row + size, column : column + size] += flux * stamp
    data = image.astype(np.float32)
    variance = np.full(data.shape, NOISE**2, np.float32)
    bad = np.zeros(data.shape, bool)
    shapes = measure_shapes(data, variance, bad, x, y, SIGMA)
    columns = {name: shapes[name] for name in ("x", "y", "ixx", "iyy", "ixy", "flag")}
    columns["psfFlux_instFlux"] = np.full(x.size, flux)
    same = np.full(x.size, SIGMA**2)
    columns |= {"ixxPSF": same, "iyyPSF": same, "ixyPSF": 0 * same}
    return WorkImage(plain_scene(data, variance, bad), data, bad), columns


def test_the_bias_of_faint_stars_is_that_of_the_noisy_psf() -> None:
    work, columns = faint_stars(10 * NOISE * np.sqrt(4 * np.pi) * SIGMA)
    rng = np.random.default_rng(4)
    found = debiased_psf_columns(work, columns, GaussianPsf(SIGMA), rng)
    good = ~columns["flag"] & ~found["iDebiasedPSF_flag"]
    size = (columns["ixx"] + columns["iyy"])[good]
    noisy = (found["ixxDebiasedPSF"] + found["iyyDebiasedPSF"])[good]
    error = size.std() / np.sqrt(good.sum())
    # At S/N 10 the mean size is too large by several standard deviations, and so is the PSF's.
    assert size.mean() - 2 * SIGMA**2 > 3 * error
    assert abs(size.mean() - noisy.mean()) < 3 * np.sqrt(2) * error
    assert 0.8 < noisy.std() / size.std() < 1.25


def test_without_noise_they_are_those_of_the_psf() -> None:
    work, columns = faint_stars(1e9)
    found = debiased_psf_columns(work, columns, GaussianPsf(SIGMA), np.random.default_rng(4))
    np.testing.assert_allclose(found["ixxDebiasedPSF"], SIGMA**2, rtol=1e-5)
    np.testing.assert_allclose(found["ixyDebiasedPSF"], 0, atol=1e-4)


def test_what_has_no_flux_is_flagged() -> None:
    work, columns = faint_stars(1e4)
    columns["psfFlux_instFlux"][:2] = -5.0, np.nan
    found = debiased_psf_columns(work, columns, GaussianPsf(SIGMA), np.random.default_rng(4))
    assert found["iDebiasedPSF_flag"][:2].all()
    assert np.isnan(found["ixxDebiasedPSF"][:2]).all()
    assert np.isfinite(found["ixxDebiasedPSF"][2:]).mean() > 0.99
