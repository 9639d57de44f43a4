"""Exposures brought to another PSF: stars of a simulated image against the target."""

from __future__ import annotations

from functools import cache

import galsim
import numpy as np
import pytest

from drpflow.algorithms.psf_match.match import (
    MatchedPsf,
    apply_kernel,
    match_models,
    match_psf,
)
from drpflow.config.psf_match import PsfMatchConfig
from drpflow.data.ap_corr import ApCorrMap
from drpflow.data.double_gaussian_psf import DoubleGaussianPsf
from drpflow.data.exposure import Exposure
from drpflow.data.geometry import Box
from drpflow.data.mask import Mask
from drpflow.data.noise_covariance import NoiseCovariance
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.psf import GaussianPsf, PixelGridPsf
from drpflow.data.psf_moments import adaptive_moments
from drpflow.errors import AlgorithmError, MissingDatasetError

SHAPE = (600, 600)
BOX = Box.from_shape(SHAPE)
HALF = 25
STAMP = 37
FLUX = 1e5
# Positions of stars: all over the image, at various sub-pixel places.
STARS = [(47.3 + 101.2 * i, 49.1 + 100.37 * j) for i in range(6) for j in range(6)]
TARGET = DoubleGaussianPsf.from_sigma(2.75)


def pixel(place: float) -> int:
    return int(np.floor(place + 0.5))


def profile(x: float, y: float) -> galsim.GSObject:
    """A Kolmogorov disc whose FWHM grows by 20 % over the image, with an ellipticity that turns."""
    u, v = x / 300 - 1, y / 300 - 1
    fwhm = 4.6 * (1 + 0.06 * u + 0.04 * v * v + 0.03 * u * v)
    return galsim.Kolmogorov(fwhm=fwhm).shear(g1=0.04 * u + 0.02 * v * v, g2=0.02 - 0.05 * v)


def drawn(item: galsim.GSObject, n: int, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """Values at pixel centres with the source at (x, y) off the middle (the pixel is in it)."""
    image = galsim.ImageD(n, n, scale=1.0)
    item.drawImage(image, method="no_pixel", offset=(x, y))
    return image.array


@cache
def model() -> PixelGridPsf:
    """What a perfect fit with polynomials of degree 4 makes of it."""
    basis = Basis2D(4, Domain.of_box(BOX))
    x, y = (v.ravel() for v in np.meshgrid(np.linspace(0, 599, 8), np.linspace(0, 599, 8)))
    images = np.array([drawn(profile(*at), STAMP) for at in zip(x, y, strict=True)])
    images /= images.sum(axis=(1, 2), keepdims=True)
    coefficients = basis.fit(x, y, images.reshape(len(x), -1).T).T
    return PixelGridPsf(basis, coefficients.reshape(-1, STAMP, STAMP))


@cache
def stars() -> np.ndarray:
    """The true image of the stars, without noise; their light beyond the model's stamps too."""
    image = np.zeros(SHAPE)
    for x, y in STARS:
        column, row = pixel(x), pixel(y)
        half = 47
        stamp = FLUX * drawn(profile(x, y), 2 * half + 1, x - column, y - row)
        y0, x0 = row - half, column - half
        inside = np.s_[max(y0, 0) : row + half + 1, max(x0, 0) : column + half + 1]
        image[inside] += stamp[max(-y0, 0) :, max(-x0, 0) :][: 600 - max(y0, 0), : 600 - max(x0, 0)]
    return image


def exposure(**parts: object) -> Exposure:
    components = {"psf": model(), "photo_calib": PhotoCalib(2.0), "ap_corr": ApCorrMap({})}
    return Exposure(
        stars().astype(np.float32),
        Mask.zeros(SHAPE),
        np.full(SHAPE, 4.0, np.float32),
        unit="electron",
        components=components | parts,
    )


@cache
def matched() -> MatchedPsf:
    return match_psf(exposure(), TARGET)


def stamps_of(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images of the stars far from the edges, and the target at the same places."""
    found, wanted = [], []
    for x, y in STARS:
        if min(x, y) > 60 and max(x, y) < 540:
            row, column = pixel(y), pixel(x)
            cut = np.s_[row - HALF : row + HALF + 1, column - HALF : column + HALF + 1]
            found.append(image[cut])
            wanted.append(TARGET.compute_image(x, y)[0])
    half = TARGET.half_size_pix
    inner = slice(half - HALF, half + HALF + 1)
    return np.array(found), np.array(wanted)[:, inner, inner]


def test_stars_have_the_size_shape_and_profile_of_the_target() -> None:
    found, wanted = stamps_of(matched().exposure.image)
    m, t = adaptive_moments(found)[0], adaptive_moments(wanted)[0]
    size = np.abs(m.determinant_radius / t.determinant_radius - 1)
    assert size.max() < 0.002
    assert np.hypot(m.e1 - t.e1, m.e2 - t.e2).max() < 0.0015
    peaks = wanted.max(axis=(1, 2))
    # Fluxes alike in total; 0.8 % of the stars' light is beyond the stamps of the model.
    assert (np.abs(found / FLUX - wanted).max(axis=(1, 2)) / peaks).max() < 0.01
    inside = found / found.sum(axis=(1, 2), keepdims=True)
    wanted = wanted / wanted.sum(axis=(1, 2), keepdims=True)
    assert (np.abs(inside - wanted).max(axis=(1, 2)) / peaks).max() < 0.005


def test_fluxes_are_kept() -> None:
    before, after = stars(), matched().exposure.image
    for x, y in STARS:
        if min(x, y) > 60 and max(x, y) < 540:
            row, column = pixel(y), pixel(x)
            cut = np.s_[row - 47 : row + 48, column - 47 : column + 48]
            assert after[cut].sum() == pytest.approx(before[cut].sum(), rel=1e-3)
    numbers = matched().numbers
    assert numbers["sum_error"] < 1e-12


def test_what_the_result_says_of_itself() -> None:
    made = matched()
    result = made.exposure
    assert result.photo_calib == PhotoCalib(2.0)
    assert result.ap_corr is None
    assert "before matching" in result.missing["ap_corr"]
    assert result.unit == "electron"
    assert made.notes == ()
    x, y = np.array([30.0, 300.0, 590.0]), np.array([590.0, 300.0, 8.0])
    sizes = result.psf.compute_sigma(x, y)
    np.testing.assert_allclose(sizes, TARGET.compute_sigma(0, 0), rtol=0.003)
    assert made.numbers["size_error"] < 0.002
    assert made.numbers["ellipticity_error"] < 0.0015
    assert made.numbers["profile_error"] < 0.004
    assert made.numbers["condition"] > 1
    assert made.numbers["rank"] == made.numbers["n_unknowns"]
    assert made.reference.shape[1] == STAMP + made.kernel.size_pix - 1
    assert len(made.cells) == made.numbers["n_cells"] == 36


def test_psf_of_the_result_is_that_of_its_stars() -> None:
    result = matched().exposure
    found, _ = stamps_of(result.image)
    inner = [(x, y) for x, y in STARS if min(x, y) > 60 and max(x, y) < 540]
    for stamp, (x, y) in zip(found, inner, strict=True):
        image = result.psf.compute_image(x, y)[0]
        half = image.shape[0] // 2
        n = min(half, HALF)
        cut = slice(half - n, half + n + 1)
        star = stamp[HALF - n : HALF + n + 1, HALF - n : HALF + n + 1] / FLUX
        assert np.abs(star - image[cut, cut]).max() < 0.01 * image.max()


def test_variance_and_covariance_are_those_of_the_noise() -> None:
    """White noise, and noise that hung together before."""
    rng = np.random.default_rng(12)
    before = np.array([[0, 0.3, 0], [0.5, 1, 0.2], [0, 0.1, 0]])
    white = rng.normal(size=(3, *SHAPE))
    smooth = np.zeros_like(white)
    for (row, column), weight in np.ndenumerate(before):
        smooth += weight * np.roll(white, (row - 1, column - 1), (1, 2))
    correlation = NoiseCovariance.white().convolved(before)
    kernel = matched().matched
    for noise, variance, known in (
        (white, 1.0, None),
        (smooth, np.square(before).sum(), correlation),
    ):
        values, stated = [], None
        for image in noise:
            one = exposure(noise_covariance=known).replace(
                image=image.astype(np.float32), variance=np.full(SHAPE, variance, np.float32)
            )
            stated = apply_kernel(one, kernel, PsfMatchConfig())
            values.append(stated.image[30:-30, 30:-30])
        found = np.square(values).mean(axis=0) / stated.variance[30:-30, 30:-30]
        assert found.mean() == pytest.approx(1, abs=0.02)
        # Sums of 16² pixels, 3267 of them: their variance is known to 3 %.
        sums = np.array(values)[:, :528, :528].reshape(3, 33, 16, 33, 16).sum(axis=(2, 4))
        factor = stated.noise_covariance.factor(np.ones((16, 16)))
        expected = 256 * stated.variance[30:-30, 30:-30].mean() * factor
        assert np.square(sums).mean() == pytest.approx(expected, rel=0.09)


def test_kernel_sum_is_exact() -> None:
    made = match_psf(exposure(), TARGET, kernel_sum=3.0)
    x, y = np.array([0.0, 250.0, 599.0]), np.array([599.0, 13.0, 0.0])
    np.testing.assert_allclose(made.kernel.sum_at(x, y), 3.0, rtol=1e-13)
    one = matched().exposure
    inner = np.s_[100:-100, 100:-100]
    np.testing.assert_allclose(made.exposure.image[inner], 3 * one.image[inner], rtol=1e-4, atol=1)
    np.testing.assert_allclose(made.exposure.variance[inner], 9 * one.variance[inner], rtol=1e-4)
    tripled, single = made.exposure.noise_covariance, one.noise_covariance
    np.testing.assert_allclose(tripled.correlation, single.correlation, atol=1e-12)


def test_cutouts_with_one_domain_have_one_kernel() -> None:
    part = match_psf(exposure().cutout((200, 420, 150, 400)), TARGET, domain=BOX)
    assert part.kernel == matched().kernel
    whole = matched().exposure.image[190:360, 240:380]
    np.testing.assert_allclose(part.exposure.image[40:210, 40:180], whole, atol=0.02)


def test_a_target_that_varies() -> None:
    """The PSF of another image: here the same one, widened by a Gaussian that is known."""
    narrow = model()
    basis = narrow.basis
    u = np.arange(STAMP) - STAMP // 2
    blur = np.exp(-(u**2) / 2 / 1.8**2)
    matrix = np.array(
        [[np.exp(-((i - j) ** 2) / 2 / 1.8**2) for i in range(STAMP)] for j in range(STAMP)]
    )
    matrix /= matrix[STAMP // 2].sum()
    wide = PixelGridPsf(basis, matrix @ narrow.coefficients @ matrix)
    made = match_models(narrow, wide, BOX, PsfMatchConfig(kernel_size_pix=23))
    assert made.numbers["profile_error"] < 0.004
    assert made.numbers["size_error"] < 0.001
    found = made.kernel.at([100.0, 500.0], [500.0, 80.0])
    expected = np.outer(blur, blur)[7:30, 7:30] / blur.sum() ** 2
    assert np.abs(found - expected).max() < 0.05 * expected.max()


def test_an_exposure_without_a_psf_is_refused() -> None:
    bare = exposure(psf=None).replace(missing={"psf": "too few stars"})
    with pytest.raises(MissingDatasetError, match="has no psf: too few stars"):
        match_psf(bare, TARGET)


@pytest.mark.parametrize("method", ["alard_lupton", "fourier"])
def test_deconvolution_is_refused_unless_allowed(method: str) -> None:
    narrow = DoubleGaussianPsf.from_sigma(1.9)
    config = PsfMatchConfig(method=method)
    with pytest.raises(AlgorithmError, match=r"wider than the target: at \(599, ") as error:
        match_psf(exposure(), narrow, config=config)
    assert error.value.numbers["size_ratio"] > 1.05
    allowed = config.model_copy(update={"deconvolution": "allow", "regularisation": 1e-5})
    made = match_models(model(), narrow, BOX, allowed)
    assert made.numbers["max_noise_gain"] > 0.2
    assert made.numbers["width_ratio"] > 1.05


@pytest.mark.parametrize(("shear", "is_matched"), [(0.08, True), (0.25, False)])
def test_deconvolution_along_one_axis(shear: float, is_matched: bool) -> None:
    """Of the target's size or smaller, but longer: matched if this can be done well."""
    image = drawn(galsim.Gaussian(sigma=2.0).shear(g1=shear), 31)
    psf = PixelGridPsf(Basis2D(0, Domain.of_box(BOX)), image[None])
    target = GaussianPsf(2.03)
    if is_matched:
        numbers = match_models(psf, target, BOX, PsfMatchConfig()).numbers
        assert numbers["width_ratio"] > 1.05
        assert numbers["size_error"] < 0.005
        assert numbers["ellipticity_error"] < 0.003
    else:
        with pytest.raises(AlgorithmError, match=r"along its longer axis|it deconvolves"):
            match_models(psf, target, BOX, PsfMatchConfig())


def test_noise_that_would_grow_is_refused() -> None:
    config = PsfMatchConfig(max_noise_gain=0.01)
    with pytest.raises(AlgorithmError, match="variance of noise by"):
        match_models(model(), TARGET, BOX, config)


def test_a_kernel_too_large_or_too_small() -> None:
    with pytest.raises(AlgorithmError, match="too large for a PSF model with images of 37"):
        match_models(model(), TARGET, BOX, PsfMatchConfig(kernel_size_pix=75))
    boxy = match_models(model(), TARGET, BOX, PsfMatchConfig(kernel_size_pix=17))
    assert boxy.numbers["profile_error"] > 0.01
    assert any("cut off" in note for note in boxy.notes)
    with pytest.raises(AlgorithmError, match="gives no image of the sky"):
        match_models(model(), TARGET, BOX, PsfMatchConfig(), kernel_sum=0.0)


def test_few_places_bear_low_degrees() -> None:
    made = match_models(model(), TARGET, BOX, PsfMatchConfig(cell_size_pix=300))
    assert made.numbers["order"] == 2
    assert "degree 2 only" in made.notes[0]
