"""The PSF of a coadd against images resampled and averaged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drpflow.data.ap_corr import ApCorr
from drpflow.data.coadd_psf import CoaddPsf, CoaddPsfInput
from drpflow.data.geometry import Box, ValidPolygon
from drpflow.data.plane_maps import AffineMap
from drpflow.data.polynomial import Basis2D, Domain, Polynomial2D
from drpflow.data.psf import GaussianPsf, PixelGridPsf
from drpflow.data.record import from_record
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.tan_projection import TanProjection
from drpflow.errors import AlgorithmError

PIXEL_DEG = 0.2 / 3600
BOX = Box(0, 300, 0, 300)


def wcs(turn_deg: float = 0.0, scale: float = 1.0, shift: tuple[float, float] = (0, 0)) -> SkyWcs:
    """A WCS whose pixel (150, 150) + shift is the tangent point."""
    t = np.radians(turn_deg)
    matrix = PIXEL_DEG * scale * np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
    offset = -matrix @ (np.array([150.0, 150.0]) + shift)
    return SkyWcs(
        (("detector", AffineMap(matrix, offset)),), TanProjection(30.0, -20.0), (300, 300)
    )


def elliptical(xx: float, yy: float, xy: float, half: int = 20) -> PixelGridPsf:
    """A Gaussian of these moments."""
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    inverse = np.linalg.inv([[xx, xy], [xy, yy]])
    r2 = inverse[0, 0] * x * x + 2 * inverse[0, 1] * x * y + inverse[1, 1] * y * y
    image = np.exp(-r2 / 2) / (2 * np.pi * np.sqrt(xx * yy - xy * xy))
    return PixelGridPsf(Basis2D(0, Domain(-0.5, 299.5, -0.5, 299.5)), image[None])


def item(psf, at: SkyWcs, weight: float = 1.0, visit: int = 1, box: Box = BOX) -> CoaddPsfInput:
    return CoaddPsfInput(psf, at, ValidPolygon.from_box(box), weight, visit, 3)


def test_moments_turn_and_scale_with_the_wcs() -> None:
    psf = CoaddPsf(wcs(), (item(elliptical(5.0, 3.0, 0.6), wcs(30.0, 1.25)),))
    t = np.radians(30)
    to_coadd = 1.25 * np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
    expected = to_coadd @ np.array([[5.0, 0.6], [0.6, 3.0]]) @ to_coadd.T
    found = psf.compute_shape(140.0, 170.0)
    np.testing.assert_allclose(
        [found.xx, found.yy, found.xy],
        [expected[0, 0], expected[1, 1], expected[0, 1]],
        atol=0.025,  # the kernel itself has a second moment of -0.012 pix²
    )
    assert psf.half_size_pix == 25
    assert repr(psf) == "CoaddPsf(1 inputs of 1 visits)"


def test_a_sum_of_inputs_is_weighted() -> None:
    narrow, wide = GaussianPsf(1.6), GaussianPsf(3.0)
    psf = CoaddPsf(wcs(), (item(narrow, wcs(), 3.0), item(wide, wcs(90.0), 1.0)))
    half = psf.half_size_pix
    assert half == wide.half_size_pix
    image = psf.compute_kernel_image(150.0, 150.0)
    small = np.pad(narrow.compute_kernel_image(0, 0), half - narrow.half_size_pix)
    expected = 0.75 * small + 0.25 * wide.compute_kernel_image(0, 0)
    np.testing.assert_allclose(image, expected, atol=1e-6)


def test_a_source_stands_where_it_is() -> None:
    psf = CoaddPsf(wcs(), (item(GaussianPsf(2.0), wcs(17.0, 0.9, (0.3, -0.2))),))
    image, box = psf.compute_image(120.3, 160.8)
    y, x = np.indices(image.shape)
    assert image.sum() == pytest.approx(1)
    assert (image * x).sum() + box.x0 == pytest.approx(120.3, abs=2e-3)
    assert (image * y).sum() + box.y0 == pytest.approx(160.8, abs=2e-3)


def test_inputs_that_do_not_hold_a_place_leave_the_sum() -> None:
    left, right = Box(0, 150, 0, 300), Box(140, 300, 0, 300)
    psf = CoaddPsf(
        wcs(),
        (item(GaussianPsf(1.5), wcs(), 1.0, 1, left), item(GaussianPsf(3.0), wcs(), 1.0, 2, right)),
    )
    held = psf.contributing([50, 145, 250, 400], [100, 100, 100, 100])
    np.testing.assert_array_equal(held, [[1, 1, 0, 0], [0, 1, 1, 0]])
    sigma = psf.compute_sigma([50.0, 145.0, 250.0], [100.0] * 3)
    assert sigma[0] == pytest.approx(1.5, rel=2e-3)
    assert sigma[2] == pytest.approx(3.0, rel=2e-3)
    assert 1.6 < sigma[1] < 2.9
    with pytest.raises(AlgorithmError, match="no input of the coadd holds"):
        psf.compute_kernel_image(400.0, 100.0)


def test_color_goes_to_the_inputs() -> None:
    round_ = elliptical(4.0, 4.0, 0.0)
    slope = elliptical(4.4, 4.4, 0.0).coefficients - round_.coefficients
    domain = Basis2D(0, Domain(-0.5, 299.5, -0.5, 299.5))
    colored = PixelGridPsf(
        round_.basis, round_.coefficients, 1.0, 0.5, color_basis=domain, color_coefficients=slope
    )
    psf = CoaddPsf(wcs(), (item(colored, wcs(), 1.0), item(GaussianPsf(2.0), wcs(), 2.0, 2)))
    assert psf.color_ref == 0.5
    blue, middle, red = (psf.compute_sigma(150.0, 150.0, c) for c in (-0.5, None, 1.5))
    assert blue < middle < red


def corrected(one: CoaddPsfInput, factor: float, error: float = 0.0) -> CoaddPsfInput:
    field = Polynomial2D.constant(factor, Domain(-0.5, 299.5, -0.5, 299.5))
    return replace(one, ap_corr=ApCorr(field, error))


def test_psf_fluxes_on_the_mean_are_corrected_as_those_on_the_inputs() -> None:
    """Each input shows what its PSF flux, times its correction, says is there."""
    narrow, wide = GaussianPsf(1.8), GaussianPsf(2.0)
    factors, weights = (0.985, 0.995), (3.0, 1.0)
    inputs = [
        corrected(item(psf, wcs(), w, visit), c)
        for psf, w, visit, c in zip((narrow, wide), weights, (1, 2), factors, strict=True)
    ]
    psf = CoaddPsf(wcs(), tuple(inputs))
    half = psf.half_size_pix
    shown = [
        np.pad(p.compute_kernel_image(0, 0), half - p.half_size_pix) / c
        for p, c in zip((narrow, wide), factors, strict=True)
    ]
    image = (3 * shown[0] + shown[1]) / 4
    model = psf.compute_kernel_image(150.0, 150.0)
    flux = (image * model).sum() / (model**2).sum()
    correction, _ = psf.psf_flux_correction([150.0, 900.0], [150.0, 150.0])
    assert flux == pytest.approx(1 / 0.9875, rel=1e-3)
    assert flux * correction[0] == pytest.approx(1.0, abs=5e-4)
    assert np.isnan(correction[1])


def test_the_error_of_a_correction_is_that_of_a_mean() -> None:
    inputs = [corrected(item(GaussianPsf(2.0), wcs(), 1.0, k), 1.0, 0.004) for k in range(4)]
    psf = CoaddPsf(wcs(), (*inputs, item(GaussianPsf(2.0), wcs(), 1.0, 9)))
    correction, error = psf.psf_flux_correction(150.0, 150.0)
    assert correction == pytest.approx(1.0)
    assert error == pytest.approx(0.002)
    back = from_record(psf.to_record())
    np.testing.assert_array_equal(back.psf_flux_correction(150.0, 150.0), (correction, error))
    assert back.inputs[4].ap_corr is None


def test_round_trip_of_hundreds_of_inputs() -> None:
    rng = np.random.default_rng(5)
    grid = elliptical(4.0, 4.0, 0.0).coefficients
    basis = Basis2D(2, Domain(-0.5, 299.5, -0.5, 299.5))
    inputs = []
    for k in range(300):
        coefficients = np.concatenate([grid, 1e-4 * rng.normal(size=(5, *grid.shape[1:]))])
        at = wcs(float(rng.uniform(0, 360)), 1.0, tuple(rng.uniform(-9, 9, 2)))
        inputs.append(item(PixelGridPsf(basis, coefficients), at, rng.uniform(), k))
    psf = CoaddPsf(wcs(), tuple(inputs), 4)
    record = psf.to_record()
    back = from_record(record)
    assert back == psf
    assert back.to_record() == record
    assert len(record.arrays) < 10
    assert sum(a.nbytes for a in record.arrays.values()) < 1.01 * 300 * coefficients.size * 4 + 1e5
    np.testing.assert_array_equal(
        back.compute_kernel_image(150.0, 150.0), psf.compute_kernel_image(150.0, 150.0)
    )


def test_combining_multiplies_weights() -> None:
    one = CoaddPsf(wcs(), (item(GaussianPsf(1.5), wcs(), 1.0), item(GaussianPsf(2.0), wcs(), 0.5)))
    other = CoaddPsf(wcs(), (item(GaussianPsf(2.5), wcs(), 1.0, 2),))
    psf = CoaddPsf.combined([(one, 4.0), (other, 3.0)])
    assert [(i.visit, i.weight) for i in psf.inputs] == [(1, 4.0), (1, 2.0), (2, 3.0)]
    elsewhere = CoaddPsf(wcs(1.0), other.inputs)
    with pytest.raises(ValueError, match="one WCS"):
        CoaddPsf.combined([(one, 1.0), (elsewhere, 1.0)])
    with pytest.raises(ValueError, match="no images"):
        CoaddPsf.combined([])


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="weight"):
        item(GaussianPsf(1.0), wcs(), 0.0)
    with pytest.raises(ValueError, match="inputs"):
        CoaddPsf(wcs(), ())
    with pytest.raises(ValueError, match="order"):
        CoaddPsf(wcs(), (item(GaussianPsf(1.0), wcs()),), 0)
