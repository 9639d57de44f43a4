"""Convolution with a kernel that changes, against sums over pixels and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, signal

from drpflow.algorithms.psf_match.convolve import (
    Planes,
    convolve,
    convolve_planes,
    grow,
    missing_weight,
    squared,
)
from drpflow.data.mask import Mask
from drpflow.data.noise_covariance import NoiseCovariance
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.spatial_kernel import SpatialKernel

SHAPE = (150, 180)
ORIGIN = (1000, 500)
WHITE = NoiseCovariance.white()
DOMAIN = Domain(999.5, 1179.5, 499.5, 649.5)


def gaussian(xx: float, yy: float, n: int = 21) -> np.ndarray:
    u = np.arange(n) - n // 2
    image = np.exp(-(u[None] ** 2) / 2 / xx - u[:, None] ** 2 / 2 / yy)
    return image / image.sum()


def lopsided(order: int = 2) -> SpatialKernel:
    """A kernel without symmetry, that widens along x and turns along y; its sum is 1."""
    basis = Basis2D(order, DOMAIN)
    shifted = np.roll(gaussian(2, 3), (1, -2), (0, 1))
    images = np.array([gaussian(4, 6), gaussian(7, 3), shifted])
    images[1:] -= images[0]
    coefficients = np.zeros((3, basis.n_terms))
    coefficients[0, 0] = 1
    coefficients[1, :3] = 0.2, 0.3, -0.1
    coefficients[2, :3] = 0.1, -0.2, 0.25
    return SpatialKernel(basis, images, coefficients)


def by_sums(image: np.ndarray, kernel: SpatialKernel, y: int, x: int) -> float:
    """Σ K(u; x) I(x - u) at one pixel."""
    half = kernel.half_size_pix
    values = kernel.at([x + ORIGIN[0]], [y + ORIGIN[1]])[0]
    around = np.pad(image, half)[y : y + 2 * half + 1, x : x + 2 * half + 1]
    return float((values[::-1, ::-1] * around).sum())


def test_against_sums_over_pixels() -> None:
    rng = np.random.default_rng(5)
    image = rng.normal(size=SHAPE).astype(np.float32)
    kernel = lopsided()
    made = convolve(image, kernel, ORIGIN)
    # Corners, edges, the seams of the tiles at multiples of 108, the interior.
    v, u = (-first % 108 for first in ORIGIN[::-1])
    for y, x in [(0, 0), (149, 179), (0, 100), (v - 1, u - 1), (v, u), (v - 1, u), (70, 33)]:
        assert made[y, x] == pytest.approx(by_sums(image, kernel, y, x), abs=2e-6)


def test_constant_kernel_against_scipy() -> None:
    image = np.random.default_rng(6).normal(size=SHAPE).astype(np.float32)
    plain = np.roll(gaussian(2, 5), (2, 1), (0, 1))
    made = convolve(image, SpatialKernel.constant(plain, Basis2D(0, DOMAIN)), ORIGIN)
    np.testing.assert_allclose(made, signal.oaconvolve(image, plain, mode="same"), atol=2e-6)


def test_cutouts_are_convolved_alike() -> None:
    image = np.random.default_rng(7).normal(size=SHAPE).astype(np.float32)
    kernel = lopsided()
    whole = convolve(image, kernel, ORIGIN)
    part = convolve(image[20:, 30:], kernel, (ORIGIN[0] + 30, ORIGIN[1] + 20))
    np.testing.assert_allclose(part[10:, 10:], whole[30:, 40:], atol=2e-6)


def test_cutouts_far_from_their_edges_are_equal_to_the_last_bit() -> None:
    """Tiles lie at multiples of their size, so that errors of rounding are the same."""
    image = np.random.default_rng(8).normal(size=(360, 340)).astype(np.float32)
    image[190, 180] = 1e5  # its light makes errors in the whole tile
    kernel = lopsided()
    whole = convolve(image, kernel, ORIGIN)
    part = convolve(image[20:, 30:], kernel, (ORIGIN[0] + 30, ORIGIN[1] + 20))
    np.testing.assert_array_equal(part[118:, 118:], whole[138:, 148:])


def test_squared_kernel() -> None:
    kernel = lopsided()
    square = squared(kernel, WHITE)
    x, y = np.array([1000.0, 1040.0, 1179.0]), np.array([500.0, 640.0, 560.0])
    expected = np.square(kernel.at(x, y))
    error = np.abs(square.at(x, y) - expected).max(axis=(1, 2)) / expected.max(axis=(1, 2))
    assert (error < 3e-3).all()


def test_noise_is_what_the_variance_says() -> None:
    rng = np.random.default_rng(8)
    variance = np.linspace(1, 4, SHAPE[1], dtype=np.float32) * np.ones(SHAPE, np.float32)
    kernel = lopsided()
    made = []
    for _ in range(60):
        noise = (rng.normal(size=SHAPE) * np.sqrt(variance)).astype(np.float32)
        made.append(convolve(noise, kernel, ORIGIN))
    planes = Planes(noise, variance, Mask.zeros(SHAPE))
    stated = convolve_planes(
        planes, kernel, ORIGIN, WHITE, no_data_weight=1e-3, mask_threshold=0.01
    )
    inner = (slice(15, -15), slice(15, -15))
    ratio = np.square(made).mean(axis=0)[inner] / stated.variance[inner]
    left, right = ratio[:, :60].mean(), ratio[:, -60:].mean()
    # 60 images of some 60² pixels, 40 of which hang together: 0.6 %.
    assert left == pytest.approx(1, abs=0.025)
    assert right == pytest.approx(1, abs=0.025)


def test_pixels_without_data() -> None:
    image = np.ones(SHAPE, np.float32)
    variance = np.ones(SHAPE, np.float32)
    mask = Mask.zeros(SHAPE)
    mask.set("NO_DATA", (slice(60, 90), slice(60, 100)))
    image[mask.any("NO_DATA")] = np.nan
    image[20, 20] = np.inf  # without a bit of its own
    kernel = lopsided()
    made = convolve_planes(
        Planes(image, variance, mask),
        kernel,
        ORIGIN,
        WHITE,
        no_data_weight=1e-3,
        mask_threshold=0.01,
    )
    lost = made.mask.any("NO_DATA")
    assert np.isnan(made.image[lost]).all()
    assert np.isnan(made.variance[lost]).all()
    assert lost[20, 20]
    assert lost[0].all()  # half of the kernel is beyond the edge
    assert lost[60:90, 60:100].all()
    # What is left has lost no more than a thousandth of its light, and had sum 1.
    np.testing.assert_allclose(made.image[~lost], 1, atol=1.6e-3)
    assert lost.mean() < 0.45
    assert (made.variance[~lost] > 0).all()
    assert np.isnan(image[70, 70])  # the input is as it was
    assert not mask.any("NO_DATA")[0, 0]


def test_missing_weight_against_a_convolution() -> None:
    empty = np.random.default_rng(9).random((60, 70)) < 0.02
    weights = gaussian(3, 5)
    padded = np.pad(empty, 10, constant_values=True).astype(float)
    expected = signal.convolve(padded, weights, mode="valid")
    np.testing.assert_allclose(missing_weight(empty, weights), expected, atol=1e-6)


def test_masks_grow_with_the_kernel() -> None:
    mask = Mask.zeros((60, 60))
    mask.set("CR", (slice(30, 31), slice(20, 21)))
    mask.set("NO_DATA", (slice(10, 11), slice(50, 51)))
    weights = gaussian(4, 9)
    grown = grow(mask, weights, 0.05)
    expected = ndimage.binary_dilation(mask.any("CR"), weights > 0.05 * weights.max())
    np.testing.assert_array_equal(grown.any("CR"), expected)
    assert grown.any("NO_DATA").sum() == 1  # that plane goes by the weight that is lost
