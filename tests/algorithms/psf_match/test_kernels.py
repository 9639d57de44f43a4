"""The basis, the solution and the size of kernels, against kernels that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from drpflow.algorithms.psf_match.basis import KernelBasis, scaled_widths
from drpflow.algorithms.psf_match.cells import Cells, checked_image, realise, reference_images
from drpflow.algorithms.psf_match.kernel_size import choose_size
from drpflow.algorithms.psf_match.solve import (
    solve_fourier,
    solve_least_squares,
    solve_symmetric,
)
from drpflow.config.psf_match import PsfMatchConfig
from drpflow.data.coadd_psf import CoaddPsf, CoaddPsfInput
from drpflow.data.double_gaussian_psf import DoubleGaussianPsf
from drpflow.data.geometry import Box, ValidPolygon
from drpflow.data.plane_maps import AffineMap
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.psf import GaussianPsf
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.tan_projection import TanProjection
from drpflow.errors import AlgorithmError

BOX = Box(0, 400, 0, 300)


def gaussian(sigma: float, n: int) -> np.ndarray:
    u = np.arange(n) - n // 2
    image = np.exp(-(u**2) / 2 / sigma**2)
    image = np.outer(image, image)
    return image / image.sum()


def test_basis_sums_and_convolutions() -> None:
    basis = KernelBasis(17, (1.2, 2.5), (3, 2))
    assert basis.images.shape == (10 + 6, 17, 17)
    sums = basis.images.sum(axis=(1, 2))
    assert sums[0] == pytest.approx(1, abs=1e-14)
    np.testing.assert_allclose(sums[1:], 0, atol=1e-14)
    image = np.random.default_rng(1).normal(size=(11, 11))
    for made, kernel in zip(basis.convolved(image), basis.images, strict=True):
        np.testing.assert_allclose(made, signal.convolve(image, kernel), atol=1e-12)


def test_widths_follow_both_psfs() -> None:
    assert scaled_widths(3.0, 5.0, (0.5, 1.0), 0.2) == pytest.approx((2.0, 4.0))
    assert scaled_widths(5.0, 5.0, (0.5, 1.0), 0.2) == pytest.approx((0.5, 1.0))
    assert scaled_widths(6.0, 5.0, (0.5, 1.0), 0.2) == pytest.approx((0.5, 1.0))


@pytest.mark.parametrize("method", ["least squares", "fourier"])
def test_between_gaussians_the_kernel_is_known(method: str) -> None:
    """σ² of the kernel is σ²(target) - σ²(PSF), at every place."""
    x, y = (v.ravel() for v in np.meshgrid(np.linspace(0, 399, 6), np.linspace(0, 299, 6)))
    sigmas = 1.8 + 0.4 * x / 399  # a PSF that varies by 20 %
    cells = Cells(x, y, np.array([gaussian(sigma, 25) for sigma in sigmas]))
    reference = gaussian(3.0, 25 + 21 - 1)[None]
    polynomials = Basis2D(4, Domain.of_box(BOX))
    if method == "fourier":
        solution = solve_fourier(cells, reference, 21, polynomials, 1e-8)
    else:
        basis = KernelBasis(21, (2.2, 4.4), (4, 2))
        solution = solve_least_squares(cells, reference, basis, polynomials, 1e-10)
    found = solution.kernel.at(x, y)
    expected = np.array([gaussian(np.sqrt(9 - sigma**2), 21) for sigma in sigmas])
    worst = np.abs(found - expected).max(axis=(1, 2)) / expected.max(axis=(1, 2))
    assert worst.max() < 0.01
    np.testing.assert_allclose(found.sum(axis=(1, 2)), 1, atol=1e-12)
    assert solution.condition > 1


def test_rank_and_condition_of_the_equations() -> None:
    normal = np.diag([4.0, 1.0, 0.0]) + 0.0
    normal[0, 1] = normal[1, 0] = 1.0
    solution, condition, rank = solve_symmetric(normal, np.array([6.0, 3.0, 0.0]))
    np.testing.assert_allclose(solution, [1.0, 2.0, 0.0], atol=1e-12)
    assert rank == 2
    assert condition > 1e12
    assert solve_symmetric(np.eye(2) * 7, np.ones(2))[1] == pytest.approx(1)


def test_a_reference_is_padded_and_cut() -> None:
    cells = Cells(np.zeros(1), np.zeros(1), gaussian(2, 15)[None])
    kept, framed = reference_images(gaussian(2, 21), cells, 35)
    assert kept is cells
    assert framed.shape == (1, 35, 35)
    assert framed[0, 7:28, 7:28] == pytest.approx(gaussian(2, 21))
    assert framed[0, :7].max() == 0
    analytic = reference_images(GaussianPsf(2.0), cells, 61)[1]
    assert analytic[0] == pytest.approx(gaussian(2, 61))  # no padding where the formula goes on
    with pytest.raises(AlgorithmError, match="lies outside of 9 pixels"):
        reference_images(DoubleGaussianPsf(2.0), cells, 9)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.ones((4, 4)), "no odd square"),
        (np.ones(5), "no odd square"),
        (np.full((5, 5), np.nan), "not finite"),
        (np.zeros((5, 5)), "sums to nothing"),
        (np.eye(1, 25).reshape(5, 5), "off its middle"),
    ],
)
def test_what_is_no_reference_is_refused(image: np.ndarray, said: str) -> None:
    with pytest.raises(AlgorithmError, match=said):
        checked_image(image)


def wcs(turn_deg: float, shape: tuple[int, int]) -> SkyWcs:
    """A WCS turned about pixel (200, 150)."""
    t = np.radians(turn_deg)
    matrix = 0.2 / 3600 * np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
    offset = -matrix @ np.array([200.0, 150.0])
    return SkyWcs((("detector", AffineMap(matrix, offset)),), TanProjection(30, -20), shape)


def test_places_without_a_psf_are_left_out() -> None:
    """A detector that lies at 45 degrees in the box leaves its corners empty."""
    detector = Box(60, 340, 50, 250)
    item = CoaddPsfInput(
        GaussianPsf(2.0), wcs(45, (300, 400)), ValidPolygon.from_box(detector), 1.0, 1, 0
    )
    psf = CoaddPsf(wcs(0, (300, 400)), (item,))
    cells = realise(psf, BOX, 60.0, 12)
    assert 0 < cells.n_left_out < 40
    assert len(cells) + cells.n_left_out == 8 * 6
    assert psf.contributing(cells.x, cells.y).all()
    with pytest.raises(AlgorithmError, match="no PSF anywhere"):
        realise(psf, Box(5000, 5100, 0, 100), 60.0, 12)


def test_size_of_the_kernel() -> None:
    cells = Cells(np.zeros(1), np.zeros(1), gaussian(1.5, 21)[None])
    target = DoubleGaussianPsf(2.5)
    size, notes = choose_size(cells, target, PsfMatchConfig())
    assert target.radius_pix(1e-3) <= size // 2 < target.radius_pix(1e-3) + 1
    assert notes == []
    bright = Cells(np.zeros(1), np.zeros(1), gaussian(4.0, 21)[None])
    assert "21 pixels, at whose edges" in choose_size(bright, target, PsfMatchConfig())[1][0]
    assert choose_size(cells, gaussian(2.5, 31), PsfMatchConfig()) == (21, [])
    small, notes = choose_size(cells, target, PsfMatchConfig(max_kernel_size_pix=15))
    assert small == 15
    assert "where the target asks for" in notes[0]
    given = PsfMatchConfig(kernel_size_pix=41)
    assert choose_size(cells, target, given)[0] == 41
    with pytest.raises(AlgorithmError, match=r"43 pixels is too large .* images of 21: at most 41"):
        choose_size(cells, target, PsfMatchConfig(kernel_size_pix=43))
