"""The kernel that brings one PSF model to another, by least squares.

Σ_cells Σ_pixels (P * K - T)² + λ Σ_cells Σ K²  → min,    K = φ_0 + Σ_k Σ_j a_kj B_j(x, y) φ_k

with φ_0 of sum 1 and all other φ_k of sum 0, so that ΣK = 1 everywhere whatever the a_kj are. The
models have no noise of their own: pixels count alike, and nothing is clipped. The second term is
known as a ridge; written by frequencies it makes the kernel P̂* T̂/(|P̂|² + λ), which leaves alone
what the PSF passes by less than √λ instead of blowing it up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.spatial_kernel import SpatialKernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.psf_match.basis import KernelBasis
    from drpflow.algorithms.psf_match.cells import Cells
    from drpflow.data.polynomial import Basis2D

    Floats: TypeAlias = NDArray[np.float64]

# Directions of smaller eigenvalue, relative to the largest, hold rounding errors only.
_NULL = 1e-13


@dataclass(frozen=True, eq=False)
class Solution:
    """A kernel of sum 1, and how well it was determined.

    Parameters
    ----------
    kernel
        The kernel.
    condition
        Largest over smallest eigenvalue of the equations, columns of unit length, the penalty
        included.
    n_unknowns, rank
        Unknowns, and how many of them the equations determine; the others are zero.
    """

    kernel: SpatialKernel
    condition: float
    n_unknowns: int
    rank: int


def solve_least_squares(
    cells: Cells, reference: Floats, kernels: KernelBasis, polynomials: Basis2D, penalty: float
) -> Solution:
    """Return the kernel with a sum-of-Gaussians basis.

    Parameters
    ----------
    cells
        The PSF at N places.
    reference
        The target on the frame, shape (N or 1, s + n - 1, s + n - 1).
    kernels
        Basis of the kernel.
    polynomials
        Basis of its coefficients.
    penalty
        λ.

    Notes
    -----
    144 cells of 33² pixels, a kernel of 41² with 27 images and 15 polynomials: 0.5 s.
    """
    images = kernels.images
    flat = images.reshape(len(images), -1)
    gram = penalty * (flat @ flat.T)
    m = len(images) - 1
    left = np.empty((len(cells), m, m))
    right = np.empty((len(cells), m))
    for k, image in enumerate(cells.images):
        passed = kernels.convolved(image).reshape(m + 1, -1)
        missing = reference[min(k, len(reference) - 1)].ravel() - passed[0]
        left[k] = passed[1:] @ passed[1:].T + gram[1:, 1:]
        right[k] = passed[1:] @ missing - gram[1:, 0]
    terms = polynomials.design(cells.x, cells.y)
    n = polynomials.n_terms
    products = np.einsum("ci,cj->cij", terms, terms).reshape(len(cells), -1)
    matrix = (products.T @ left.reshape(len(cells), -1)).reshape(n, n, m, m)
    normal = matrix.transpose(0, 2, 1, 3).reshape(n * m, n * m)
    solution, condition, rank = solve_symmetric(normal, (terms.T @ right).ravel())
    coefficients = np.zeros((m + 1, n))
    coefficients[0, 0] = 1.0
    coefficients[1:] = solution.reshape(n, m).T
    return Solution(SpatialKernel(polynomials, images, coefficients), condition, n * m, rank)


def solve_symmetric(normal: Floats, right: Floats) -> tuple[Floats, float, int]:
    """Solve normal equations; return the solution, their condition number and their rank."""
    scale = 1 / np.sqrt(np.maximum(np.diag(normal), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(normal * np.outer(scale, scale))
    kept = values > _NULL * values[-1]
    projected = vectors[:, kept].T @ (right * scale)
    solution = scale * (vectors[:, kept] @ (projected / values[kept]))
    condition = float(values[-1] / max(values[0], _NULL * values[-1]))
    return solution, condition, int(np.count_nonzero(kept))


def solve_fourier(
    cells: Cells, reference: Floats, size_pix: int, polynomials: Basis2D, penalty: float
) -> Solution:
    """Return the kernel with free pixels: P̂* T̂/(|P̂|² + λ) at each cell, then polynomials.

    The kernel of a cell is cut to its size and brought to sum 1 by adding a multiple of the
    target, cut likewise, which changes no shape. The condition number is that of the division.
    """
    from scipy import fft

    frame = reference.shape[1]
    length = fft.next_fast_len(frame, real=True)
    spectra = fft.rfft2(cells.images, (length, length))
    powers = np.abs(spectra) ** 2 + penalty
    targets = fft.rfft2(reference, (length, length))
    found = fft.irfft2(spectra.conj() * targets / powers, (length, length))
    # Full convolution: the image's middle s // 2 and the kernel's n // 2 add up to the frame's.
    kernels = found[:, :size_pix, :size_pix]
    middle = (frame - size_pix) // 2
    window = reference[:, middle : middle + size_pix, middle : middle + size_pix]
    window = window / window.sum(axis=(1, 2), keepdims=True)
    lacking = 1 - kernels.sum(axis=(1, 2))
    kernels = kernels + lacking[:, None, None] * window
    values = kernels.reshape(len(kernels), -1)
    coefficients = polynomials.fit(cells.x, cells.y, values.T).T
    images = coefficients.reshape(-1, size_pix, size_pix)
    images = _with_exact_sums(images, window[0])
    kernel = SpatialKernel(polynomials, images, np.eye(len(images)))
    condition = float(powers.max() / powers.min())
    return Solution(kernel, condition, values.shape[1] * polynomials.n_terms, len(values))


def _with_exact_sums(images: Floats, window: Floats) -> Floats:
    """Return images of polynomials, the first of sum 1 and the others of sum 0 to rounding."""
    wanted = np.zeros(len(images))
    wanted[0] = 1.0
    lacking = wanted - images.sum(axis=(1, 2))
    return images + lacking[:, None, None] * window
