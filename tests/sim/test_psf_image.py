import numpy as np
import pytest

from drpflow.sim.psf_image import central_fwhm_pix, central_image, psf_image, star_blur

from .surveys import QUIET, build, tiny


def test_image_follows_its_place_within_the_pixel() -> None:
    model = tiny().model(1)
    left, right = (psf_image(model, 0, x, 100.0) for x in (99.6, 100.4))
    assert left.shape == right.shape == (41, 41)
    assert left[20, 19] > left[20, 21]
    assert right[20, 21] > right[20, 19]


def test_size_cuts_and_does_not_scale() -> None:
    model = tiny().model(1)
    large, small = (psf_image(model, 0, 100.0, 100.0, size=n) for n in (61, 21))
    np.testing.assert_allclose(large[20:41, 20:41], small, atol=2e-5 * small.max())


def test_redder_stars_have_narrower_images_without_refraction() -> None:
    still = build(QUIET, {"atmosphere": {"refraction": False}}).model(2)
    one = np.array([128.0])
    red, blue = (star_blur(still, 0, one, one, t).turbulence[0] for t in (3000.0, 12000.0))
    assert red < blue


def test_blue_band_blurs_along_the_zenith() -> None:
    model = build(QUIET).model(2)
    still = build(QUIET, {"atmosphere": {"refraction": False}}).model(2)
    one = np.array([128.0])
    extra = star_blur(model, 0, one, one).covariance - star_blur(still, 0, one, one).covariance
    xx, xy, yy = extra[0]
    assert xx * yy == pytest.approx(xy**2, abs=1e-9)
    assert xx + yy > 0.01


def test_fwhm_of_the_image_is_that_of_its_profile() -> None:
    model = tiny().model(1)
    image = central_image(model, 0)
    assert image.shape == (63, 63)
    peak_fwhm = central_fwhm_pix(model, 0)
    # Pixels above half of the peak, coarse but independent; the pixel adds its own width.
    area = (image > image.max() / 2).sum()
    assert 2 * np.sqrt(area / np.pi) == pytest.approx(peak_fwhm, rel=0.15)
