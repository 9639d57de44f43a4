"""A convolution kernel that changes over an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self, TypeAlias

import numpy as np

from drpflow.data.polynomial import Basis2D
from drpflow.data.record import Record, StoredComponent, component, frozen_array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]


# Components below this part of the kernel are rounding errors, and not of any sum.
_ROUNDING = 1e-12
# Places along a side at which a kernel of fewer images is compared with the whole one.
_CHECKED = 6


@component
@dataclass(frozen=True, eq=False)
class SpatialKernel(StoredComponent):
    """A sum of images whose weights are polynomials of place.

        K(u; x, y) = Σ_r c_r(x, y) E_r(u),    c_r(x, y) = Σ_j C_rj B_j(x, y)

    The convolved image is I'(x) = Σ_u K(u; x) I(x - u): the kernel is the one of the place that
    receives.

    Parameters
    ----------
    basis
        The polynomials B_j.
    images
        E_r, shape (m, n, n), n odd; the offset u = 0 is in the middle.
    coefficients
        C_rj, shape (m, basis.n_terms).

    Raises
    ------
    ValueError
        If shapes do not fit together, or values are not finite.
    """

    KIND: ClassVar[str] = "spatial_kernel"
    basis: Basis2D
    images: Floats
    coefficients: Floats

    def __post_init__(self) -> None:
        images = frozen_array(self.images, ndim=3)
        coefficients = frozen_array(self.coefficients, ndim=2)
        m, n, _ = images.shape
        if images.shape != (m, n, n) or n % 2 == 0 or not m:
            raise ValueError(f"a kernel is made of odd squares, not of shape {images.shape}")
        if coefficients.shape != (m, self.basis.n_terms):
            raise ValueError(
                f"{m} images need ({m}, {self.basis.n_terms}) coefficients, not "
                f"{coefficients.shape}"
            )
        if not (np.isfinite(images).all() and np.isfinite(coefficients).all()):
            raise ValueError("a kernel holds finite values only")
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "coefficients", coefficients)

    @classmethod
    def constant(cls, image: ArrayLike, basis: Basis2D) -> Self:
        """Return a kernel that is the same everywhere."""
        return cls(basis, np.asarray(image)[None], np.eye(1, basis.n_terms))

    @property
    def size_pix(self) -> int:
        """Rows and columns of the kernel."""
        return self.images.shape[1]

    @property
    def half_size_pix(self) -> int:
        """The largest offset, pixels."""
        return self.size_pix // 2

    def weights_at(self, x: ArrayLike, y: ArrayLike) -> Floats:
        """Return c_r at N places, shape (N, m)."""
        return self.basis.design(np.ravel(x), np.ravel(y)) @ self.coefficients.T

    def at(self, x: ArrayLike, y: ArrayLike) -> Floats:
        """Return the kernel at N places, shape (N, n, n)."""
        return np.tensordot(self.weights_at(x, y), self.images, axes=1)

    def sum_at(self, x: ArrayLike, y: ArrayLike) -> Floats:
        """Return the sum of the kernel at N places: what it multiplies fluxes by."""
        return self.weights_at(x, y) @ self.images.sum(axis=(1, 2))

    def noise_gain_at(self, x: ArrayLike, y: ArrayLike) -> Floats:
        """Return Σ K² at N places: what the kernel multiplies the variance of white noise by."""
        flat = self.images.reshape(len(self.images), -1)
        weights = self.weights_at(x, y)
        return np.einsum("nr,rs,ns->n", weights, flat @ flat.T, weights)

    def compressed(self, tolerance: float) -> SpatialKernel:
        """Return the same kernel, made of as few images as can be.

        The first image is that of the constant polynomial; the others are the principal
        components of what changes. If the sum of the kernel is the same everywhere, the others
        sum to zero, to rounding.

        Parameters
        ----------
        tolerance
            Largest change of a pixel of the kernel anywhere in the domain, as a fraction of the
            largest pixel of the first image.
        """
        n = self.size_pix
        # Images of each polynomial: the first is that of the constant.
        by_term = self.coefficients.T @ self.images.reshape(len(self.images), -1)
        mean, changing = by_term[0], by_term[1:]
        if not len(changing):
            return SpatialKernel.constant(mean.reshape(n, n), self.basis)
        left, strengths, right = np.linalg.svd(changing, full_matrices=False)
        weights = (left * strengths).T
        largest = max(tolerance, _ROUNDING) * np.abs(mean).max()
        kept = _components_needed(self.basis, weights, right, largest)
        images = np.concatenate([mean[None], right[:kept]])
        coefficients = np.zeros((kept + 1, self.basis.n_terms))
        coefficients[0, 0] = 1.0
        coefficients[1:, 1:] = weights[:kept]
        return SpatialKernel(self.basis, images.reshape(-1, n, n), coefficients)

    def to_record(self) -> Record:
        """Return the stored form."""
        arrays = {"images": self.images, "coefficients": self.coefficients}
        return self._record({"basis": self.basis.to_meta()}, arrays)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the kernel from its stored form."""
        arrays = record.arrays
        basis = Basis2D.from_meta(record.meta["basis"])
        return cls(basis, arrays["images"], arrays["coefficients"])


def _components_needed(basis: Basis2D, weights: Floats, images: Floats, largest: float) -> int:
    """Return how many components, strongest first, leave no more than `largest` of any pixel."""
    (xc, yc), (xh, yh) = basis.domain.center, basis.domain.half_size
    along = np.linspace(-1, 1, _CHECKED)
    x, y = (v.ravel() for v in np.meshgrid(xc + xh * along, yc + yh * along))
    factors = basis.design(x, y)[:, 1:] @ weights.T
    left_out = np.zeros((x.size, images.shape[1]))
    for k in range(len(images) - 1, -1, -1):
        left_out += factors[:, k, None] * images[k]
        if np.abs(left_out).max() > largest:
            return k + 1
    return 0
