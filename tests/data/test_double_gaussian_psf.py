"""The round double Gaussian."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drpflow.data.double_gaussian_psf import DoubleGaussianPsf


def profile(psf: DoubleGaussianPsf, r: float) -> float:
    """The formula, of peak 1."""
    s, b, k = psf.sigma_pix, psf.wing_amplitude, psf.wing_ratio
    return (np.exp(-(r**2) / 2 / s**2) + b * np.exp(-(r**2) / 2 / (k * s) ** 2)) / (1 + b)


@given(st.floats(1, 20), st.floats(0, 0.5), st.floats(1.2, 4))
def test_fwhm_is_that_of_the_whole_profile(fwhm: float, amplitude: float, ratio: float) -> None:
    psf = DoubleGaussianPsf.from_fwhm(fwhm, amplitude, ratio)
    assert profile(psf, fwhm / 2) == pytest.approx(0.5, abs=1e-9)
    assert psf.fwhm_pix == pytest.approx(fwhm, rel=1e-9)


@pytest.mark.parametrize("sigma_pix", [1.5, 2.5, 4.0])
def test_sigma_is_the_adaptive_size(sigma_pix: float) -> None:
    psf = DoubleGaussianPsf.from_sigma(sigma_pix)
    assert float(psf.compute_sigma(10.0, 20.0)) == pytest.approx(sigma_pix, rel=2e-4)
    assert psf.fwhm_pix < 2.3548 * sigma_pix  # wings widen moments more than the core


def test_images_are_the_formula_at_sub_pixel_places() -> None:
    psf = DoubleGaussianPsf(2.0)
    image, box = psf.compute_image(100.3, 49.8)
    y, x = np.mgrid[box.y0 : box.y1, box.x0 : box.x1]
    expected = profile(psf, np.hypot(x - 100.3, y - 49.8))
    np.testing.assert_allclose(image, expected / expected.sum(), rtol=1e-12)
    # Σ over pixels of a well-sampled profile is its integral, 2π σ² (1 + b r²) / (1 + b).
    integral = 2 * np.pi * 4 * (1 + 0.1 * 6.25) / 1.1
    assert expected.sum() == pytest.approx(integral, rel=1e-4)


def test_images_end_where_nothing_is_left() -> None:
    psf = DoubleGaussianPsf(2.0)
    assert profile(psf, psf.half_size_pix) < 1e-5 < profile(psf, psf.half_size_pix - 1)
    assert psf.radius_pix(0.5) == pytest.approx(psf.fwhm_pix / 2)
    assert DoubleGaussianPsf(2.0, half_size=7).shape == (15, 15)


@pytest.mark.parametrize(
    "values", [{"sigma_pix": 0}, {"sigma_pix": 2, "wing_amplitude": -1}, {"sigma_pix": np.inf},
               {"sigma_pix": 2, "wing_ratio": 0}, {"sigma_pix": 2, "half_size": 0}]
)  # fmt: skip
def test_what_is_no_profile_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        DoubleGaussianPsf(**values)
