"""The state of the fit: a sum of smooth images and free pixels, each a polynomial of place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self, TypeAlias

import numpy as np

from drpflow.algorithms.psf_fit.profile import MODE_NAMES, Moffat, grid_offsets, mode_images
from drpflow.data.psf import PixelGridPsf
from drpflow.data.psf_moments import adaptive_moments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.data.polynomial import Basis2D

    Floats: TypeAlias = NDArray[np.float64]

N_MODES = len(MODE_NAMES)
# After the modes: the profile itself, and its shifts along x and y.
_FLUX, _SHIFT_X, _SHIFT_Y = N_MODES, N_MODES + 1, N_MODES + 2
_GRADIENT_STEP_PIX = 1e-3
_CENTERING_ROUNDS = 12


@dataclass(frozen=True, eq=False)
class PsfState:
    """P(d; x, y) = Σ_j B_j(x, y) [Σ_m c_jm φ_m(d) + R_j(d)].

    Parameters
    ----------
    basis
        The polynomials B_j.
    images
        φ: modes, profile, shifts; shape (N_MODES + 3, n_grid, n_grid).
    coefficients
        c, shape (T, N_MODES + 3).
    pixels
        R, shape (T, n_grid, n_grid).
    step_pix, kernel_order
        As in `PixelGridPsf`.
    """

    basis: Basis2D
    images: Floats
    coefficients: Floats
    pixels: Floats
    step_pix: float
    kernel_order: int

    @classmethod
    def start(
        cls, profile: Moffat, basis: Basis2D, n_grid: int, step_pix: float, kernel_order: int
    ) -> Self:
        """Return the profile, the same everywhere."""
        x, y = grid_offsets(n_grid, step_pix)
        h = _GRADIENT_STEP_PIX
        images = np.concatenate(
            [
                mode_images(profile, x, y),
                [
                    profile(x, y),
                    (profile(x - h, y) - profile(x + h, y)) / (2 * h),
                    (profile(x, y - h) - profile(x, y + h)) / (2 * h),
                ],
            ]
        )
        coefficients = np.zeros((basis.n_terms, len(images)))
        coefficients[0, _FLUX] = 1
        pixels = np.zeros((basis.n_terms, n_grid, n_grid))
        return cls(basis, images, coefficients, pixels, step_pix, kernel_order)

    @property
    def modes(self) -> Floats:
        """The images of the modes alone."""
        return self.images[:N_MODES]

    @property
    def psf(self) -> PixelGridPsf:
        """The model."""
        grid = np.tensordot(self.coefficients, self.images, axes=1) + self.pixels
        return PixelGridPsf(
            self.basis, grid, step_pix=self.step_pix, kernel_order=self.kernel_order
        )

    def with_modes(self, amplitudes: Floats) -> Self:
        """Return the model with other amplitudes of the modes, shape (T, N_MODES)."""
        coefficients = self.coefficients.copy()
        coefficients[:, :N_MODES] = amplitudes
        return replace(self, coefficients=coefficients)

    def with_pixels(self, pixels: Floats) -> Self:
        """Return the model with other free pixels in its first terms."""
        padded = np.zeros_like(self.pixels)
        padded[: len(pixels)] = pixels
        return replace(self, pixels=padded)

    def normalized(self) -> Self:
        """Return the model with unit flux in term 0 and none in the others, to first order."""
        sums = (self.psf.coefficients.sum(axis=(1, 2))) * self.step_pix**2
        sums[0] -= 1
        coefficients = self.coefficients.copy()
        coefficients[:, _FLUX] -= sums / (self.images[_FLUX].sum() * self.step_pix**2)
        return replace(self, coefficients=coefficients)

    def centered(self, tolerance_pix: float) -> Self:
        """Return the model with its adaptive centroid in the centre, all over the detector.

        Offsets on a grid of places are fitted with the model's own polynomials and taken off as
        shifts of the smooth profile, until they are below the tolerance.
        """
        domain = self.basis.domain
        nodes = np.linspace(-0.9, 0.9, self.basis.order + 3)
        u, v = (a.ravel() for a in np.meshgrid(nodes, nodes))
        x = domain.center[0] + u * domain.half_size[0]
        y = domain.center[1] + v * domain.half_size[1]
        state = self
        for _ in range(_CENTERING_ROUNDS):
            _, dx, dy = adaptive_moments(state.psf.compute_kernel_images(x, y))
            if not np.isfinite(dx).all() or np.hypot(dx, dy).max() < tolerance_pix:
                break
            coefficients = state.coefficients.copy()
            coefficients[:, _SHIFT_X] -= self.basis.fit(x, y, dx)
            coefficients[:, _SHIFT_Y] -= self.basis.fit(x, y, dy)
            state = replace(state, coefficients=coefficients)
        return state
