"""Against GalSim's images, and against what must hold exactly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drpflow.sim.canvas import canvas, paste, sampling

NO_COMA = np.zeros(2)
COVARIANCE = np.array([0.5, 0.1, 0.4])


def kolmogorov(fwhm_pix: float) -> float:
    return 3.44195 * (fwhm_pix / (2 * np.pi * 0.97586)) ** (5 / 3)


@pytest.mark.parametrize("fwhm_pix", [2.8, 4.0, 6.0])
def test_star_agrees_with_galsim(fwhm_pix: float) -> None:
    import galsim

    turbulence = kolmogorov(fwhm_pix)
    board = canvas(256, sampling(turbulence, COVARIANCE))
    ours = board.draw((128.3, 127.8), turbulence, COVARIANCE, NO_COMA)
    blur = galsim.Gaussian(sigma=1.0).transform(
        *np.linalg.cholesky([[0.5, 0.1], [0.1, 0.4]]).ravel()
    )
    star = galsim.Convolve(galsim.Kolmogorov(fwhm=fwhm_pix), blur.withFlux(1.0))
    theirs = star.drawImage(nx=256, ny=256, scale=1.0, offset=(0.8, 0.3)).array
    assert np.abs(ours - theirs).max() < 1e-4 * theirs.max()


@settings(max_examples=30, deadline=None)
@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(2.6, 7.0))
def test_flux_and_centre_are_exact(dx: float, dy: float, fwhm_pix: float) -> None:
    turbulence = kolmogorov(fwhm_pix)
    fine = sampling(turbulence, COVARIANCE)
    image = canvas(64, fine).draw((32 + dx, 32 + dy), turbulence, COVARIANCE, np.array([0.2, -0.1]))
    assert image.sum() == pytest.approx(1.0, abs=3e-5)
    # The phase of the first wave is the centroid of the (periodic) image.
    waves = np.fft.fft2(image)
    for found, expected in ((waves[0, 1], 32 + dx), (waves[1, 0], 32 + dy)):
        position = (-np.angle(found) * 64 / (2 * np.pi)) % 64
        # 1 mas is 0.005 of a 0.2 arcsec pixel; coma turns this wave by q k²/2.
        assert position == pytest.approx(expected, abs=5e-3)


@settings(max_examples=20, deadline=None)
@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_weighted_centroids_are_unbiased_to_a_tenth_of_a_mas(dx: float, dy: float) -> None:
    turbulence = kolmogorov(3.0)
    image = canvas(64, 2).draw((32 + dx, 32 + dy), turbulence, np.array([0.4, 0, 0.4]), NO_COMA)
    x, y = np.meshgrid(np.arange(64.0), np.arange(64.0))
    weight = np.exp(-0.5 * ((x - 32 - dx) ** 2 + (y - 32 - dy) ** 2) / 2.0**2)
    weight *= image
    assert (weight * x).sum() / weight.sum() - 32 == pytest.approx(dx, abs=5e-4)
    assert (weight * y).sum() / weight.sum() - 32 == pytest.approx(dy, abs=5e-4)


def test_covariance_is_the_images_covariance() -> None:
    image = canvas(64, 1).draw((32.0, 32.0), 0.0, np.array([5.0, 1.5, 3.0]), NO_COMA)
    x, y = np.meshgrid(np.arange(64) - 32.0, np.arange(64) - 32.0)
    # A pixel adds its own 1/12.
    assert (image * x * x).sum() == pytest.approx(5.0 + 1 / 12, abs=1e-3)
    assert (image * y * y).sum() == pytest.approx(3.0 + 1 / 12, abs=1e-3)
    assert (image * x * y).sum() == pytest.approx(1.5, abs=1e-3)


def test_far_wing_is_kolmogorovs() -> None:
    turbulence = kolmogorov(4.0)
    image = canvas(512, 1).draw((256.0, 256.0), turbulence, np.array([0.2, 0, 0.2]), NO_COMA)
    assert image[256, 256 + 60] == pytest.approx(0.1423 * turbulence * 60 ** (-11 / 3), rel=0.05)


def test_a_finer_grid_changes_nothing_that_matters() -> None:
    turbulence = kolmogorov(3.4)
    fine = sampling(turbulence, COVARIANCE)
    chosen = canvas(64, fine).draw((32.4, 31.9), turbulence, COVARIANCE, NO_COMA)
    finer = canvas(64, 4).draw((32.4, 31.9), turbulence, COVARIANCE, NO_COMA)
    assert np.abs(chosen - finer).max() < 1e-4 * finer.max()


def test_sampling_follows_the_width() -> None:
    assert sampling(kolmogorov(8.0), COVARIANCE) == 1
    assert sampling(kolmogorov(2.0), np.zeros(3)) == 2
    assert sampling(kolmogorov(1.0), np.zeros(3)) == 4
    assert sampling(kolmogorov(3.3), COVARIANCE, aliasing=1.0) == 1


@pytest.mark.parametrize("corner", [(-3, -2), (4, 5), (8, -1), (-20, 3), (12, 12)])
def test_paste_keeps_what_lies_on_the_image(corner: tuple[int, int]) -> None:
    image, stamp = np.zeros((10, 12)), np.arange(20.0).reshape(4, 5) + 1
    paste(image, stamp, *corner)
    expected = np.zeros((40, 40))
    x0, y0 = corner
    expected[y0 + 20 : y0 + 24, x0 + 20 : x0 + 25] = stamp
    np.testing.assert_array_equal(image, expected[20:30, 20:32])
