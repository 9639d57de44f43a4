"""The model of one detector while it is fitted: polynomials of place, and of place times colour."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self, TypeAlias

import numpy as np

from drpflow.algorithms.psf_fit.model import N_MODES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.psf_fit.model import PsfState
    from drpflow.data.polynomial import Basis2D
    from drpflow.data.psf import PixelGridPsf

    Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ColoredState:
    """P(d; x, y, c) = P₀(d; x, y) + (c - c_ref) Σ_j C_j(x, y) Σ_m e_jm φ_m(d).

    Parameters
    ----------
    state
        P₀, the image of a star of the reference colour.
    color_basis
        The polynomials C_j.
    color
        e, shape (J, M).
    color_ref
        Reference colour, mag; None for a model without colour.
    """

    state: PsfState
    color_basis: Basis2D
    color: Floats
    color_ref: float | None

    @property
    def psf(self) -> PixelGridPsf:
        """The model."""
        psf = self.state.psf
        if self.color_ref is None:
            return psf
        slopes = np.tensordot(self.color, self.state.modes, axes=1)
        return replace(
            psf,
            color_ref=self.color_ref,
            color_basis=self.color_basis,
            color_coefficients=slopes,
        )

    def excess(self, color: Floats) -> Floats:
        """Return by how much stars are redder than the reference; 0 where it is not known."""
        if self.color_ref is None:
            return np.zeros(len(color))
        return np.where(np.isfinite(color), color - self.color_ref, 0.0)

    def amplitudes(self, x: Floats, y: Floats, color: Floats) -> Floats:
        """Return the amplitudes of the modes for stars, shape (N, M)."""
        present = self.state.basis.design(x, y) @ self.state.coefficients[:, :N_MODES]
        if self.color_ref is None:
            return np.asarray(present)
        slopes = self.color_basis.design(x, y) @ self.color
        return np.asarray(present + self.excess(color)[:, None] * slopes)

    def with_modes(self, amplitudes: Floats, color: Floats) -> Self:
        """Return the model with other amplitudes, shapes (T, M) and (J, M)."""
        return replace(self, state=self.state.with_modes(amplitudes), color=color)

    def with_pixels(self, pixels: Floats) -> Self:
        """Return the model with other free pixels in its first terms."""
        return replace(self, state=self.state.with_pixels(pixels))

    def finished(self, tolerance_pix: float) -> Self:
        """Return the model with unit flux, its centroids in the centre all over the detector."""
        return replace(self, state=self.state.normalized().centered(tolerance_pix))
