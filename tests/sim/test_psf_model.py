from dataclasses import replace

import numpy as np
import pytest

from drpflow.sim.canvas import canvas
from drpflow.sim.psf_image import central_fwhm_pix, psf_image, star_blur
from drpflow.sim.psf_model import PsfCumulants, VisitPsf, build_visit_psf

from .surveys import QUIET, build, quiet, tiny

ROUND = {
    "psf": {
        "optics_fwhm_arcsec": 0.01,
        "defocus_arcsec": 0,
        "tilt_arcsec": 0,
        "astigmatism_arcsec": 0,
        "coma_arcsec": 0,
        "jitter_arcsec": 0,
        "atmospheric_ellipticity": 0,
        "seeing_arcsec": [0.8, 0.8],
    },
    "atmosphere": {"refraction": False},
}


def test_image_size_is_the_seeing_at_its_wavelength_and_airmass() -> None:
    survey = build(QUIET, ROUND)
    for visit, wavelength in ((1, 620.0), (2, 480.0)):
        model = survey.model(visit)
        assert model.geometry.wavelength_nm == pytest.approx(wavelength, abs=8.0)
        expected = 0.8 * model.truth.airmass**0.6
        expected *= (model.geometry.wavelength_nm / 500.0) ** -0.2
        assert central_fwhm_pix(model, 0) * 0.2 == pytest.approx(expected, rel=5e-3)


def test_red_stars_are_sharper() -> None:
    model = build(QUIET, ROUND).model(1)
    red, blue = (psf_image(model, 0, 128.0, 128.0, t).max() for t in (3000.0, 12000.0))
    # FWHM ∝ λ^-0.2 and a few nanometres between the two.
    assert 1.001 < red / blue < 1.02


def test_optics_add_in_quadrature() -> None:
    psf = build(QUIET, ROUND).model(1).psf
    optics = replace(psf, optics_sigma=0.3, defocus=0.2, astigmatism=np.array([0.1, 0.0]))
    one, zero = np.ones(1), np.zeros(1)
    c = optics.cumulants(zero, zero, 620 * one, zero, 0.0, 0.0, 0.015).covariance[0] * 0.2**2
    np.testing.assert_allclose(c, [0.09 + 0.3**2 / 4, 0.0, 0.09 + 0.1**2 / 4], atol=1e-12)


def test_dispersion_blurs_towards_the_zenith_only() -> None:
    psf = build(QUIET, ROUND).model(1).psf
    one, zero = np.ones(1), np.zeros(1)
    base = psf.cumulants(zero, zero, 620 * one, zero, 30.0, 0.0, 0.015).covariance[0]
    blurred = psf.cumulants(zero, zero, 620 * one, 0.04 * one, 30.0, 0.0, 0.015).covariance[0]
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    np.testing.assert_allclose(blurred - base, [c * c, c * s, s * s], atol=1e-12)


def test_turned_detector_sees_the_same_image_turned() -> None:
    psf = tiny().model(1).psf
    x, y, one = np.array([2.0]), np.array([-1.0]), np.ones(1)
    straight = psf.cumulants(x, y, 620 * one, 0.02 * one, 10.0, 0.0, 0.015)
    turned = psf.cumulants(x, y, 620 * one, 0.02 * one, 10.0, 90.0, 0.015)
    xx, xy, yy = straight.covariance[0]
    np.testing.assert_allclose(turned.covariance[0], [yy, -xy, xx], atol=1e-12)
    qx, qy = straight.coma[0]
    np.testing.assert_allclose(turned.coma[0], [qy, -qx], atol=1e-12)


def test_covariances_are_positive_all_over_the_field() -> None:
    survey = tiny()
    x, y = np.meshgrid(np.linspace(0, 255, 9), np.linspace(0, 255, 9))
    for visit in (1, 2, 3):
        xx, xy, yy = star_blur(survey.model(visit), 1, x.ravel(), y.ravel()).covariance.T
        assert (xx > 0).all()
        assert (xx * yy > xy**2).all()


def test_image_varies_over_the_field_and_from_visit_to_visit() -> None:
    survey = build(name="demo")
    x, y = np.meshgrid(np.linspace(0, 1023, 5), np.linspace(0, 1023, 5))
    spread = []
    for visit in (1, 2, 3, 4):
        blurs = star_blur(survey.model(visit), 0, x.ravel(), y.ravel())
        size = blurs.covariance[:, 0] + blurs.covariance[:, 2]
        spread.append(np.ptp(size) / size.mean())
    assert max(spread) > 0.02


def ellipticities(exposure_time_s: float) -> np.ndarray:
    values = []
    config = quiet().config
    visit = replace(quiet().visits[0], exposure_time_s=exposure_time_s)
    for seed in range(40):
        psf: VisitPsf = build_visit_psf(config.model_copy(update={"seed": seed}), visit, 0.1)
        values.append(psf.ellipticity_rms * psf.ellipticity(np.zeros(1), np.zeros(1)))
    return np.array(values)


def test_atmospheric_ellipticity_has_its_rms() -> None:
    rms = quiet().config.psf.atmospheric_ellipticity
    assert ellipticities(30.0).std() == pytest.approx(rms, rel=0.25)
    assert ellipticities(120.0).std() == pytest.approx(ellipticities(30.0).std() / 2, rel=1e-6)


def test_psf_image_has_unit_flux_and_its_centre() -> None:
    model = tiny().model(1)
    image = psf_image(model, 0, 100.3, 50.8, size=127)
    assert image.sum() == pytest.approx(1.0, abs=4e-3)
    assert np.unravel_index(image.argmax(), image.shape) == (63, 63)


def test_coma_skews_the_image_along_its_axis() -> None:
    board = canvas(64, 1)
    image = board.draw((32.0, 32.0), 0.0, np.array([6.0, 0.0, 6.0]), np.array([4.0, 0.0]))
    x, y = np.meshgrid(np.arange(64) - 32.0, np.arange(64) - 32.0)
    moments = {
        p: float((image * x ** p[0] * y ** p[1]).sum()) for p in [(3, 0), (1, 2), (2, 1), (0, 3)]
    }
    # κ = 3q along the coma and q across it.
    assert moments[3, 0] == pytest.approx(12.0, rel=1e-3)
    assert moments[1, 2] == pytest.approx(4.0, rel=1e-3)
    assert moments[2, 1] == pytest.approx(0.0, abs=1e-6)
    assert moments[0, 3] == pytest.approx(0.0, abs=1e-6)


def test_without_coma_the_mean_is_the_place() -> None:
    one = np.ones(2)
    blurs = (
        build(QUIET, ROUND).model(1).psf.cumulants(one, one, 620 * one, 0 * one, 0.0, 0.0, 0.015)
    )
    assert not blurs.centering_pix().any()


def test_centering_of_a_gaussian_image() -> None:
    # For a Gaussian of width σ the matched centroid lies at -q/σ² from the mean.
    blurs = PsfCumulants(np.zeros(1), np.array([[4.0, 0.0, 4.0]]), np.array([[0.5, -0.2]]))
    np.testing.assert_allclose(blurs.centering_pix(), [[0.125, -0.05]], rtol=1e-3)
