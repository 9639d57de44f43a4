"""Models of the point spread function: a round Gaussian, and a pixel grid × polynomial × colour."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

import numpy as np

from drpflow.data.polynomial import Basis2D
from drpflow.data.psf_base import Psf
from drpflow.data.psf_moments import Moments, adaptive_moments
from drpflow.data.record import Record, component, frozen_array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]

__all__ = ["GaussianPsf", "Moments", "PixelGridPsf", "Psf", "adaptive_moments", "sinc_matrix"]

_KAISER_BETA = 8.0
_BESSEL_TERMS = 26


@component
@dataclass(frozen=True, eq=False)
class GaussianPsf(Psf):
    """A round Gaussian, the same everywhere.

    Parameters
    ----------
    sigma_pix
        Standard deviation of the effective PSF (pixel response included), pixels.
    half_size
        Half the size of the images, pixels; six sigma if not given.

    Raises
    ------
    ValueError
        If sigma or the half size is not positive.
    """

    KIND: ClassVar[str] = "gaussian_psf"
    sigma_pix: float
    half_size: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigma_pix", float(self.sigma_pix))
        if not 0 < self.sigma_pix < np.inf:
            raise ValueError(f"sigma_pix must be positive, not {self.sigma_pix}")
        if self.half_size is not None:
            object.__setattr__(self, "half_size", index(self.half_size))
        if self.half_size is not None and self.half_size < 1:
            raise ValueError(f"half_size must be at least 1, not {self.half_size}")

    @classmethod
    def from_fwhm(cls, fwhm_pix: float) -> Self:
        """Return the Gaussian with this full width at half maximum, pixels."""
        return cls(fwhm_pix / np.sqrt(8 * np.log(2)))

    @property
    def half_size_pix(self) -> int:
        """Images have ``2 half_size_pix + 1`` rows and columns."""
        # Six sigma: 1e-8 of the flux is outside.
        return int(np.ceil(6 * self.sigma_pix)) if self.half_size is None else self.half_size

    def _sample(
        self,
        x: Floats,
        y: Floats,  # noqa: ARG002 - the same everywhere
        color: Floats | None,  # noqa: ARG002
        dx: Floats,
        dy: Floats,
    ) -> Floats:
        offsets = np.arange(-self.half_size_pix, self.half_size_pix + 1)
        along_x, along_y = (
            np.exp(-0.5 * ((offsets - shift[:, None]) / self.sigma_pix) ** 2) for shift in (dx, dy)
        )
        images = along_y[:, :, None] * along_x[:, None, :]
        return np.broadcast_to(images, (x.size, *self.shape))

    def to_record(self) -> Record:
        """Return the stored form."""
        return self._record({"sigma_pix": self.sigma_pix, "half_size": self.half_size})

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the PSF from its stored form."""
        return cls(**record.meta)


@component
@dataclass(frozen=True, eq=False)
class PixelGridPsf(Psf):
    """A grid of pixel values, each a polynomial of place and linear in colour.

        P(d; x, y, c) = Σ_j B_j(x, y) A_j(d) + (c - color_ref) Σ_j C_j(x, y) D_j(d)

    A_j and D_j are images on a square grid of offsets d, sampled every `step_pix`, the source at
    the central grid point. Between grid points p is interpolated with a separable windowed sinc
    (:func:`sinc_matrix`); grid points that an image needs beyond the grid count as zero. Every
    image is normalised to unit sum in the end.

    Parameters
    ----------
    basis
        The polynomials B_j; their domain is the detector's box.
    coefficients
        A_j, shape (basis.n_terms, n, n), n odd.
    step_pix
        Grid step in image pixels: 1 for native sampling, below 1 for a finer grid.
    color_ref
        Reference colour, mag: the mean of the stars behind the model. None without colour term.
    color_basis
        The polynomials C_j, or None for a model without colour.
    color_coefficients
        D_j, shape (color_basis.n_terms, n, n).
    kernel_order
        Zeros of the interpolation kernel on each side.

    Raises
    ------
    ValueError
        If shapes do not fit together, or values are not finite.
    """

    KIND: ClassVar[str] = "pixel_grid_psf"
    basis: Basis2D
    coefficients: Floats
    step_pix: float = 1.0
    color_ref: float | None = None
    color_basis: Basis2D | None = None
    color_coefficients: Floats | None = None
    kernel_order: int = 9

    def __post_init__(self) -> None:
        object.__setattr__(self, "step_pix", float(self.step_pix))
        object.__setattr__(self, "coefficients", _grid(self.coefficients, self.basis.n_terms))
        if not 0 < self.step_pix < np.inf or self.kernel_order < 1:
            raise ValueError(
                f"step_pix {self.step_pix} and kernel_order {self.kernel_order} must be positive"
            )
        if (self.color_basis is None) != (self.color_coefficients is None):
            raise ValueError("color_basis and color_coefficients come together or not at all")
        if self.color_basis is not None and self.color_coefficients is not None:
            if self.color_ref is None or not np.isfinite(self.color_ref):
                raise ValueError("a colour term needs a finite color_ref")
            grid = _grid(self.color_coefficients, self.color_basis.n_terms)
            if grid.shape[1:] != self.coefficients.shape[1:]:
                raise ValueError(f"grids differ: {grid.shape[1:]}, {self.coefficients.shape[1:]}")
            object.__setattr__(self, "color_coefficients", grid)
        if self.color_ref is not None:
            object.__setattr__(self, "color_ref", float(self.color_ref))

    @property
    def half_size_pix(self) -> int:
        """Images have ``2 half_size_pix + 1`` rows and columns: the whole pixels of the grid."""
        return int(np.floor((self.n_grid - 1) / 2 * self.step_pix + 1e-9))

    @property
    def n_grid(self) -> int:
        """Number of grid points along one side."""
        return self.coefficients.shape[1]

    def grids(self, x: ArrayLike, y: ArrayLike, color: ArrayLike | None = None) -> Floats:
        """Return P on the grid itself, not normalised, shape (N, n_grid, n_grid)."""
        x, y = np.ravel(x), np.ravel(y)
        grids = np.tensordot(self.basis.design(x, y), self.coefficients, axes=1)
        if color is None or self.color_basis is None or self.color_coefficients is None:
            return grids
        assert self.color_ref is not None
        excess = np.ravel(color).astype(float) - self.color_ref
        slopes = np.tensordot(self.color_basis.design(x, y), self.color_coefficients, axes=1)
        return grids + excess[:, None, None] * slopes

    def sampling_matrix(self, shift: float) -> Floats:
        """Return the matrix from grid values to pixels along one axis, shape (n, n_grid).

        Parameters
        ----------
        shift
            Place of the source relative to the centre of the central pixel, pixels. An image is
            ``sampling_matrix(dy) @ grid @ sampling_matrix(dx).T``.
        """
        return self.sampling_matrices([shift])[0]

    def sampling_matrices(self, shifts: ArrayLike) -> Floats:
        """Return :meth:`sampling_matrix` for m shifts, shape (m, n, n_grid)."""
        shifts = np.asarray(shifts, np.float64)
        n, half = 2 * self.half_size_pix + 1, self.half_size_pix
        middle = (self.n_grid - 1) / 2
        if self.step_pix != 1:
            offsets = (np.arange(-half, half + 1) - shifts[:, None]) / self.step_pix + middle
            matrix = sinc_matrix(offsets.ravel(), self.n_grid, self.kernel_order)
            return matrix.reshape(shifts.size, n, self.n_grid)
        # On the pixels' own grid all rows have one phase: entry (i, j) depends on j - i only,
        # and the kernel is evaluated once instead of n times.
        diagonals = sinc_matrix(
            middle - half - shifts + n - 1, n + self.n_grid - 1, self.kernel_order
        )
        rows = np.lib.stride_tricks.sliding_window_view(diagonals, self.n_grid, axis=1)
        return np.ascontiguousarray(rows[:, ::-1])

    def _sample(self, x: Floats, y: Floats, color: Floats | None, dx: Floats, dy: Floats) -> Floats:
        along_x = self.sampling_matrices(dx).transpose(0, 2, 1)
        return self.sampling_matrices(dy) @ self.grids(x, y, color) @ along_x

    def to_record(self) -> Record:
        """Return the stored form."""
        meta: dict[str, Any] = {
            "basis": self.basis.to_meta(),
            "step_pix": self.step_pix,
            "kernel_order": self.kernel_order,
            "color_ref": self.color_ref,
            "color_basis": None if self.color_basis is None else self.color_basis.to_meta(),
        }
        arrays = {"coefficients": self.coefficients}
        if self.color_coefficients is not None:
            arrays["color_coefficients"] = self.color_coefficients
        return self._record(meta, arrays)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the PSF from its stored form."""
        meta = record.meta
        color = meta["color_basis"]
        return cls(
            basis=Basis2D.from_meta(meta["basis"]),
            coefficients=record.arrays["coefficients"],
            step_pix=meta["step_pix"],
            color_ref=meta["color_ref"],
            color_basis=None if color is None else Basis2D.from_meta(color),
            color_coefficients=record.arrays.get("color_coefficients"),
            kernel_order=meta["kernel_order"],
        )


def sinc_matrix(positions: ArrayLike, n_grid: int, order: int) -> Floats:
    """Return the weights that interpolate a regular grid at positions.

    K(t) = sinc(t) I₀(β √(1 - t²/order²)) / I₀(β) for |t| < order, with β = 8 (Kaiser's window),
    divided by its sum over the lattice, so that a constant is interpolated exactly at any phase.

    On a natively sampled seeing disc of 3 pixels FWHM and more the error of a half-pixel shift is
    2e-4 of the peak with order 9; the Lanczos window, sinc(t/order), leaves 1e-3 at order 7 and
    does not fall below 4e-4 at order 11, because its response ripples at low frequencies.

    Parameters
    ----------
    positions
        In units of the grid, the first grid point at 0; shape (m,).
    n_grid
        Number of grid points; the grid is zero beyond them.
    order
        Zeros of the kernel on each side.

    Returns
    -------
    ndarray
        Shape (m, n_grid).
    """
    positions = np.asarray(positions, np.float64)
    nearest = np.floor(positions)
    # Every lattice point that the kernel reaches, whether or not the grid has it.
    lattice = nearest[:, None] + np.arange(1 - order, order + 1)
    t = positions[:, None] - lattice
    weights = np.sinc(t) * _bessel_i0_root(_KAISER_BETA**2 / 4 * (1 - (t / order) ** 2))
    weights /= weights.sum(axis=1, keepdims=True)
    matrix = np.zeros((positions.size, n_grid))
    row, tap = np.nonzero((lattice >= 0) & (lattice < n_grid))
    matrix[row, lattice[row, tap].astype(np.intp)] = weights[row, tap]
    return matrix


def _bessel_i0_root(z: Floats) -> Floats:
    """Return I₀(2 √z) = Σ z^k/(k!)² for 0 ≤ z ≤ 16 to rounding.

    With numpy.i0 an image takes twice as long.
    """
    total = np.ones_like(z)
    for k in range(_BESSEL_TERMS, 0, -1):
        total = total * z / k**2 + 1
    return total


def _grid(values: ArrayLike, n_terms: int) -> Floats:
    grid = frozen_array(values, ndim=3)
    n = grid.shape[1]
    if grid.shape != (n_terms, n, n) or n % 2 == 0:
        raise ValueError(f"{n_terms} square grids of odd size are wanted, not shape {grid.shape}")
    if not np.isfinite(grid).all():
        raise ValueError("a PSF grid holds finite values only")
    return grid
