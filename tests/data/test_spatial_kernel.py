"""The kernel that changes over an image."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.spatial_kernel import SpatialKernel

DOMAIN = Domain(-0.5, 199.5, -0.5, 99.5)


def gaussian(sigma: float, n: int = 15) -> np.ndarray:
    u = np.arange(n) - n // 2
    image = np.exp(-(u**2) / 2 / sigma**2)
    image = np.outer(image, image)
    return image / image.sum()


def changing(order: int = 3, n_images: int = 6, seed: int = 4) -> SpatialKernel:
    """A kernel of sum 2 with components that are of very different strength."""
    rng = np.random.default_rng(seed)
    widths = np.linspace(1.5, 3, n_images)
    images = np.array([gaussian(width) for width in widths])
    images[1:] -= images[0]
    basis = Basis2D(order, DOMAIN)
    coefficients = rng.normal(size=(n_images, basis.n_terms))
    coefficients *= 0.3 ** np.arange(n_images)[:, None]
    coefficients[0] = np.eye(1, basis.n_terms)[0] * 2
    return SpatialKernel(basis, images, coefficients)


def test_value_sum_and_noise_gain_at_a_place() -> None:
    kernel = changing()
    terms = kernel.basis.design(30.0, 70.0)
    direct = sum(
        (kernel.coefficients[r] @ terms) * kernel.images[r] for r in range(len(kernel.images))
    )
    np.testing.assert_allclose(kernel.at([30.0], [70.0])[0], direct, atol=1e-15)
    x, y = np.array([0.0, 30.0, 190.0]), np.array([5.0, 70.0, 99.0])
    np.testing.assert_allclose(kernel.sum_at(x, y), 2.0, rtol=1e-12)
    np.testing.assert_allclose(
        kernel.noise_gain_at(x, y), np.square(kernel.at(x, y)).sum(axis=(1, 2))
    )


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 0.0])
def test_compressed_to_a_tolerance(tolerance: float) -> None:
    kernel = changing()
    small = kernel.compressed(tolerance)
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, 199, 200), rng.uniform(0, 99, 200)
    change = np.abs(small.at(x, y) - kernel.at(x, y)).max()
    first = kernel.coefficients[:, 0] @ kernel.images.reshape(6, -1)
    # The tolerance is held on a grid of places; between them it may be a little more.
    assert change <= 1.5 * tolerance * np.abs(first).max() + 1e-11
    np.testing.assert_allclose(small.sum_at(x, y), 2.0, rtol=1e-12)
    np.testing.assert_allclose(small.images[1:].sum(axis=(1, 2)), 0.0, atol=1e-9)
    # Nine polynomials change five images: there are no more than five components.
    assert len(small.images) <= 6
    if tolerance == 1e-2:
        assert len(small.images) < 6


def test_a_constant_kernel_stays_one_image() -> None:
    kernel = SpatialKernel.constant(gaussian(2.0), Basis2D(0, DOMAIN))
    assert kernel.compressed(0.0) == kernel
    np.testing.assert_array_equal(kernel.at([3.0], [4.0])[0], gaussian(2.0))


def test_shapes_are_checked() -> None:
    basis = Basis2D(1, DOMAIN)
    with pytest.raises(ValueError, match="odd squares"):
        SpatialKernel(basis, np.zeros((1, 4, 4)), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="coefficients"):
        SpatialKernel(basis, np.zeros((1, 5, 5)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="finite"):
        SpatialKernel(basis, np.full((1, 5, 5), np.nan), np.zeros((1, 3)))
