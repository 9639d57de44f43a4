"""PSF models against GalSim's images of the same profiles."""

from __future__ import annotations

import galsim
import numpy as np
import pytest

from drpflow.data.geometry import Box
from drpflow.data.polynomial import UNIT, Basis2D, Domain
from drpflow.data.psf import GaussianPsf, PixelGridPsf, adaptive_moments, sinc_matrix
from drpflow.errors import AlgorithmError

EXACT = galsim.GSParams(folding_threshold=1e-5, maxk_threshold=1e-6, maximum_fft_size=16384)
BOX = Box(0, 1000, 0, 800)


def effective(profile: galsim.GSObject) -> galsim.GSObject:
    """The profile with the response of a pixel."""
    return galsim.Convolve(profile, galsim.Pixel(1.0), gsparams=EXACT)


def draw(
    profile: galsim.GSObject, n: int, dx: float = 0, dy: float = 0, step: float = 1
) -> np.ndarray:
    """Values at the grid points: flux per pixel of the image whatever the step."""
    image = profile.drawImage(
        nx=n, ny=n, scale=step, offset=(dx / step, dy / step), method="no_pixel", dtype=float
    )
    return image.array / step**2


SEEING = {
    "kolmogorov": galsim.Kolmogorov(fwhm=3.4, gsparams=EXACT).shear(g1=0.06, g2=-0.03),
    "moffat": galsim.Moffat(3.5, fwhm=3.2, gsparams=EXACT).shear(g1=-0.05),
}


def grid_psf(name: str, step: float, **more: float) -> PixelGridPsf:
    n = 2 * int(np.ceil(20 / step)) + 1
    grid = draw(effective(SEEING[name]), n, step=step)
    return PixelGridPsf(Basis2D(0, UNIT), grid[None], step_pix=step, **more)  # type: ignore[arg-type]


def linear_psf(color: bool = True) -> PixelGridPsf:
    """Sigma grows with x, and falls with colour, to first order."""
    basis = Basis2D(1, Domain.of_box(BOX))
    sigma, delta = 1.8, 1e-3
    base, wider = (draw(galsim.Gaussian(sigma=s), 31) for s in (sigma, sigma + delta))
    slope = (wider - base) / delta
    coefficients = np.array([base, 0.2 * slope, 0 * slope])
    if not color:
        return PixelGridPsf(basis, coefficients)
    return PixelGridPsf(
        basis,
        coefficients,
        color_ref=0.6,
        color_basis=Basis2D(0, UNIT),
        color_coefficients=-0.05 * slope[None],
    )


@pytest.mark.parametrize("sigma", [0.9, 1.7, 3.3])
def test_gaussian_is_galsims(sigma: float) -> None:
    psf = GaussianPsf(sigma)
    kernel = psf.compute_kernel_image(3, 4)
    expected = draw(galsim.Gaussian(sigma=sigma), kernel.shape[0])
    assert np.abs(kernel - expected / expected.sum()).max() < 1e-12
    assert np.abs(kernel - expected).max() < 1e-6
    # Where pixels are as large as the PSF, sums over pixels are no integrals.
    loose = sigma < 1
    assert psf.compute_sigma(0, 0) == pytest.approx(sigma, rel=2e-2 if loose else 1e-7)
    area = 4 * np.pi * sigma**2
    assert psf.effective_area(0, 0) == pytest.approx(area, rel=1e-2 if loose else 1e-5)
    assert GaussianPsf.from_fwhm(4.0).sigma_pix == pytest.approx(1.69864, abs=1e-5)


@pytest.mark.parametrize("psf", [GaussianPsf(1.5), linear_psf(), grid_psf("moffat", 0.5)])
def test_kernel_image_is_odd_normalised_and_centred(psf: GaussianPsf | PixelGridPsf) -> None:
    kernel = psf.compute_kernel_image(100.3, 200.8)
    assert kernel.dtype == np.float64
    assert kernel.shape == psf.shape
    assert kernel.shape[0] % 2 == kernel.shape[1] % 2 == 1
    assert kernel.sum() == pytest.approx(1, abs=1e-14)
    _, x, y = adaptive_moments(kernel)
    assert (x, y) == pytest.approx((0, 0), abs=1e-6)


@pytest.mark.parametrize("name", SEEING)
@pytest.mark.parametrize("step", [1.0, 0.75, 0.5])
@pytest.mark.parametrize(("dx", "dy"), [(0.0, 0.0), (0.5, 0.5), (0.3, -0.45), (-0.1, 0.25)])
def test_image_is_galsims_at_any_phase(name: str, step: float, dx: float, dy: float) -> None:
    psf = grid_psf(name, step)
    # Half a pixel belongs to the next one, whose source stands on its other side.
    image, box = psf.compute_image(200 + dx, 100 + dy)
    x, y = 200 + dx - box.center[0], 100 + dy - box.center[1]
    assert (abs(x), abs(y)) <= (0.5, 0.5)
    assert image.sum() == pytest.approx(1, abs=1e-14)
    expected = draw(effective(SEEING[name]), image.shape[0], x, y)
    tolerance = 5e-4 if step == 1 else 2e-4
    assert np.abs(image - expected / expected.sum()).max() < tolerance * expected.max()


@pytest.mark.parametrize("name", SEEING)
@pytest.mark.parametrize("step", [1.0, 0.5])
def test_shape_is_galsims(name: str, step: float) -> None:
    psf = grid_psf(name, step)
    found = psf.compute_shape(10.0, 20.0)
    image = galsim.Image(draw(effective(SEEING[name]), psf.shape[0]), scale=1)
    expected = galsim.hsm.FindAdaptiveMom(image)
    assert found.determinant_radius == pytest.approx(expected.moments_sigma, rel=1e-3)
    assert found.e1 == pytest.approx(expected.observed_e1, abs=1e-3)
    assert found.e2 == pytest.approx(expected.observed_e2, abs=1e-3)
    for dx, dy in ((0.4, 0.2), (-0.3, 0.5)):
        shifted, _ = psf.compute_image(10 + dx, 20 + dy)
        moments, _, _ = adaptive_moments(shifted)
        assert np.array(moments) == pytest.approx(np.array(found), rel=1e-3, abs=1e-3)


def test_images_stand_where_they_are_asked_for() -> None:
    psf = linear_psf()
    image, box = psf.compute_image(300.3, 99.6)
    assert box == Box(285, 316, 85, 116)
    _, x, y = adaptive_moments(image)
    assert (box.center[0] + x, box.center[1] + y) == pytest.approx((300.3, 99.6), abs=1e-3)


def test_psf_varies_with_place_and_colour() -> None:
    psf = linear_psf()
    sigma_of = psf.compute_sigma
    left, right = float(sigma_of(0, 400)), float(sigma_of(999, 400))
    assert right - left == pytest.approx(0.4, abs=0.02)
    assert sigma_of(500, 0) == pytest.approx(float(sigma_of(500, 799)), abs=1e-9)
    assert sigma_of(500, 400, 1.6) - sigma_of(500, 400) == pytest.approx(-0.05, abs=3e-3)
    assert np.array_equal(
        psf.compute_kernel_image(5, 6), psf.compute_kernel_image(5, 6, psf.color_ref)
    )


def test_arrays_are_the_scalars() -> None:
    psf = linear_psf()
    x, y, color = np.array([[0.0, 500.0, 900.0]]), np.array([[100.0], [700.0]]), 1.1
    shapes = psf.compute_shape(*np.broadcast_arrays(x, y), np.full((2, 3), color))
    assert shapes.xx.shape == (2, 3)
    alone = psf.compute_shape(900.0, 700.0, color)
    assert np.array(shapes)[:, 1, 2] == pytest.approx(np.array(alone))
    stack = psf.compute_kernel_images([0.0, 500.0], [1.0, 2.0], [0.2, 1.5])
    assert stack[1] == pytest.approx(psf.compute_kernel_image(500.0, 2.0, 1.5), abs=1e-16)


def test_colour_is_ignored_by_models_without_it() -> None:
    psf = linear_psf(color=False)
    assert np.array_equal(psf.compute_kernel_image(5, 6, 9.0), psf.compute_kernel_image(5, 6))
    assert psf.color_ref is None


def test_sampling_matrix_is_the_linear_operator_of_a_fit() -> None:
    psf = linear_psf()
    image, box = psf.compute_image(40.2, 60.7, 0.9)
    dx, dy = 40.2 - box.center[0], 60.7 - box.center[1]
    grid = psf.grids(40.2, 60.7, 0.9)[0]
    product = psf.sampling_matrix(dy) @ grid @ psf.sampling_matrix(dx).T
    assert image == pytest.approx(product / product.sum(), abs=1e-15)


def test_sinc_matrix() -> None:
    positions = np.array([0.0, 3.0, 4.25, 5.5, -40.0])
    matrix = sinc_matrix(positions, 30, 9)
    assert matrix[:2] == pytest.approx(np.eye(30)[[0, 3]], abs=1e-15)
    assert not matrix[4].any(), "far from the grid everything is zero"
    inner = sinc_matrix(np.linspace(10, 19, 37), 30, 9)
    assert inner @ np.ones(30) == pytest.approx(np.ones(37), abs=1e-14)
    wave = np.cos(2 * np.pi * 0.2 * np.arange(30))
    exact = np.cos(2 * np.pi * 0.2 * np.linspace(10, 19, 37))
    assert inner @ wave == pytest.approx(exact, abs=2e-4)


def test_model_without_flux_is_a_declared_failure() -> None:
    psf = PixelGridPsf(Basis2D(0, UNIT), -np.ones((1, 3, 3)))
    with pytest.raises(AlgorithmError, match=r"sums to -9 at \(3.0, 4.0\)"):
        psf.compute_kernel_image(3, 4)


@pytest.mark.parametrize(
    "arguments",
    [
        {"coefficients": np.ones((1, 4, 4))},
        {"coefficients": np.ones((2, 3, 3))},
        {"coefficients": np.full((1, 3, 3), np.nan)},
        {"step_pix": 0.0},
        {"color_basis": Basis2D(0, UNIT)},
        {"color_basis": Basis2D(0, UNIT), "color_coefficients": np.ones((1, 3, 3))},
        {
            "color_basis": Basis2D(0, UNIT),
            "color_coefficients": np.ones((1, 5, 5)),
            "color_ref": 0.5,
        },
    ],
)
def test_impossible_models_are_refused(arguments: dict) -> None:
    with pytest.raises(ValueError):
        PixelGridPsf(**{"basis": Basis2D(0, UNIT), "coefficients": np.ones((1, 3, 3)), **arguments})


@pytest.mark.parametrize("arguments", [(0.0,), (np.inf,), (1.0, 0)])
def test_impossible_gaussians_are_refused(arguments: tuple) -> None:
    with pytest.raises(ValueError):
        GaussianPsf(*arguments)


@pytest.mark.parametrize(
    "psf", [GaussianPsf(1.5), linear_psf(), grid_psf("moffat", 0.5), grid_psf("moffat", 0.75)]
)
def test_many_images_are_the_single_ones(psf: GaussianPsf | PixelGridPsf) -> None:
    rng = np.random.default_rng(5)
    x, y, color = rng.uniform(-3, 1003, (3, 300))
    x[:3] = 10.5, 11.5, -0.5
    color = color / 1000
    images, x0, y0 = psf.compute_images(x, y, color)
    assert images.shape == (300, *psf.shape)
    for k in (0, 1, 2, 7, 255, 256, 299):
        image, box = psf.compute_image(x[k], y[k], color[k])
        assert (box.x0, box.y0) == (x0[k], y0[k])
        assert images[k] == pytest.approx(image, abs=1e-15)
    _, dx, dy = adaptive_moments(images)
    assert x0 + psf.half_size_pix + dx == pytest.approx(x, abs=2e-3)
    assert y0 + psf.half_size_pix + dy == pytest.approx(y, abs=2e-3)
    assert psf.compute_images([], [])[0].shape == (0, *psf.shape)


def test_rows_of_a_native_grid_are_shifted_copies() -> None:
    psf = linear_psf()
    shifts = np.array([-0.5, 0.0, 0.37])
    expected = [
        sinc_matrix(np.arange(-15, 16) - shift + 15, psf.n_grid, psf.kernel_order)
        for shift in shifts
    ]
    assert psf.sampling_matrices(shifts) == pytest.approx(np.array(expected), abs=1e-13)
