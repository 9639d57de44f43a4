"""Kernels as sums of Gaussians times polynomials (Alard & Lupton 1998, ApJ 503, 325).

    φ_k(u, v) = exp(-(u² + v²)/2σ_g²) (u/σ_g)^p (v/σ_g)^q,   p + q <= d_g

Each is a product of a function of u and one of v: a convolution with it is one along rows and one
along columns. All but the first are made to sum to zero by taking a multiple of the first off
(Alard 2000, A&AS 144, 363): the sum of the kernel is the coefficient of the first alone, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class KernelBasis:
    """The basis images, the first of sum 1, all others of sum 0.

    Parameters
    ----------
    size_pix
        Rows and columns, odd.
    widths_pix
        σ_g.
    degrees
        d_g.
    """

    size_pix: int
    widths_pix: tuple[float, ...]
    degrees: tuple[int, ...]

    @cached_property
    def _terms(self) -> list[tuple[int, int, int]]:
        """Gaussian, p and q of each image."""
        return [
            (g, total - q, q)
            for g, degree in enumerate(self.degrees)
            for total in range(degree + 1)
            for q in range(total + 1)
        ]

    @cached_property
    def _profiles(self) -> dict[tuple[int, int], Floats]:
        """Functions of one coordinate, of unit length, by Gaussian and power."""
        u = np.arange(self.size_pix) - self.size_pix // 2
        found = {}
        for g, (sigma, degree) in enumerate(zip(self.widths_pix, self.degrees, strict=True)):
            for power in range(degree + 1):
                profile = np.exp(-((u / sigma) ** 2) / 2) * (u / sigma) ** power
                found[g, power] = profile / np.sqrt(np.square(profile).sum())
        return found

    @cached_property
    def _sums(self) -> Floats:
        """Sums of the plain products."""
        total = {key: float(profile.sum()) for key, profile in self._profiles.items()}
        # Odd functions sum to zero; to rounding is not enough for an exact constraint.
        return np.array(
            [0.0 if p % 2 or q % 2 else total[g, p] * total[g, q] for g, p, q in self._terms]
        )

    @cached_property
    def images(self) -> Floats:
        """The images, shape (m, n, n)."""
        profiles = self._profiles
        plain = [np.outer(profiles[g, q], profiles[g, p]) for g, p, q in self._terms]
        return self._with_sums(np.array(plain))

    def _with_sums(self, plain: Floats) -> Floats:
        """Return the basis from plain products, or the same of their convolutions."""
        first = plain[0] / self._sums[0]
        return np.concatenate([first[None], plain[1:] - self._sums[1:, None, None] * first])

    def convolved(self, image: Floats) -> Floats:
        """Return an image convolved with each basis image, in full: (m, s + n - 1, s + n - 1)."""
        matrices = self._matrices(image.shape[0])
        keys = list(self._profiles)
        along_rows = dict(zip(keys, image @ matrices.transpose(0, 2, 1), strict=True))
        right = np.array([along_rows[g, p] for g, p, _ in self._terms])
        left = matrices[[keys.index((g, q)) for g, _, q in self._terms]]
        return self._with_sums(left @ right)

    def _matrices(self, size_pix: int) -> Floats:
        """Return the full convolution with each profile as matrices, (m, s + n - 1, s)."""
        if size_pix not in self._known:
            n = self.size_pix
            profiles = np.array(list(self._profiles.values()))
            out = np.zeros((len(profiles), size_pix + n - 1, size_pix))
            for column in range(size_pix):
                out[:, column : column + n, column] = profiles
            self._known[size_pix] = out
        return self._known[size_pix]

    @cached_property
    def _known(self) -> dict[int, Floats]:
        return {}


def scaled_widths(
    sigma_pix: float, target_sigma_pix: float, factors: tuple[float, ...], min_width: float
) -> tuple[float, ...]:
    """Return the widths of the Gaussians for a PSF and a target of known sigmas, pixels.

    The kernel between two Gaussians is one of σ² = σ²(target) - σ²(PSF). Where that is small, what
    remains to be done is to change the profiles, which are as wide as the target.
    """
    between = np.sqrt(max(target_sigma_pix**2 - sigma_pix**2, 0.0))
    scale = max(between, min_width * target_sigma_pix)
    return tuple(float(factor * scale) for factor in factors)
