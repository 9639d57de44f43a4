"""Drawing a source from its transfer function: exact centre, exact flux, pixel integrated.

A stamp is the inverse Fourier transform of ``OTF(k) · pixel(k) · shape(k)``, taken on a finer
grid where the transfer function reaches beyond the pixels' Nyquist frequency and then sampled
at the pixels' centres. The stamp is periodic: what lies beyond one edge comes in at the other,
so that the flux is kept to rounding. A box is therefore chosen so large that the profile at its
edge is lost in the noise.

Cost on a 3 GHz core: 0.25 ms for 64², 1 ms for 128², 17 ms for 512² pixels (no finer grid), four
times that with the finer grid of good seeing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

BOXES_PIX = (64, 128, 256, 512, 1024)
"""Sizes of stamps."""

SMALLEST_ALIASING, LARGEST_ALIASING = 2e-5, 5e-4
"""Transfer function tolerated at the Nyquist frequency, of bright and faint sources."""


@dataclass(frozen=True)
class Canvas:
    """Wave numbers of a stamp of `box` pixels, sampled `fine` times a pixel.

    Parameters
    ----------
    box, fine
        Size of the stamp and samples a pixel, along each axis.
    kx, ky
        Wave numbers [rad pix⁻¹], shapes (box·fine/2+1,) and (box·fine,).
    k2, k53
        |k|² and |k|^(5/3), shape (box·fine, box·fine/2+1).
    pixel
        Transfer function of the pixel, same shape.
    """

    box: int
    fine: int
    kx: np.ndarray
    ky: np.ndarray
    k2: np.ndarray
    k53: np.ndarray
    pixel: np.ndarray

    def draw(
        self,
        center: tuple[float, float],
        turbulence: float,
        covariance: np.ndarray,
        coma: np.ndarray,
        shape: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the image of a source of unit flux, shape (box, box).

        Parameters
        ----------
        center
            Its centroid (x, y) in the stamp.
        turbulence, covariance, coma
            Cumulants, see :mod:`drpflow.sim.psf_model`.
        shape
            Real transfer function of the source itself; None for a point.
        """
        kx, ky = self.kx[None, :], self.ky[:, None]
        xx, xy, yy = covariance
        exponent = -turbulence * self.k53
        exponent -= 0.5 * xx * kx**2
        exponent -= 0.5 * yy * ky**2
        exponent -= (xy * ky) * kx
        modulus = np.exp(exponent, out=exponent)
        modulus *= self.pixel
        if shape is not None:
            modulus *= shape
        x, y = center
        shift = np.exp(-1j * y * self.ky)[:, None] * np.exp(-1j * x * self.kx)[None, :]
        shift *= modulus
        if coma.any():
            phase = 0.5 * self.k2
            phase *= coma[0] * kx + coma[1] * ky
            shift *= np.exp(1j * phase)
        return self._sample(shift)

    def _sample(self, waves: np.ndarray) -> np.ndarray:
        from scipy.fft import irfft2

        n = self.box * self.fine
        image = irfft2(waves, s=(n, n), overwrite_x=True)
        if self.fine == 1:
            return image
        return np.ascontiguousarray(image[:: self.fine, :: self.fine]) * self.fine**2


@lru_cache(maxsize=12)
def canvas(box: int, fine: int) -> Canvas:
    """Return the (cached) canvas of a size."""
    n = box * fine
    kx = 2 * np.pi * np.fft.rfftfreq(n) * fine
    ky = 2 * np.pi * np.fft.fftfreq(n) * fine
    k2 = ky[:, None] ** 2 + kx[None, :] ** 2
    pixel = np.sinc(ky / (2 * np.pi))[:, None] * np.sinc(kx / (2 * np.pi))[None, :]
    return Canvas(box, fine, kx, ky, k2, k2 ** (5 / 6), pixel)


def sampling(turbulence: float, covariance: np.ndarray, aliasing: float = SMALLEST_ALIASING) -> int:
    """Return how many samples a pixel keep aliasing low.

    Parameters
    ----------
    turbulence, covariance
        Cumulants of the blur.
    aliasing
        Transfer function to be tolerated at the Nyquist frequency; it is brought into the
        range from :data:`SMALLEST_ALIASING` to :data:`LARGEST_ALIASING`.
    """
    xx, xy, yy = covariance
    narrow = max((xx + yy) / 2 - np.hypot((xx - yy) / 2, xy), 0.0)
    needed = -np.log(min(max(aliasing, SMALLEST_ALIASING), LARGEST_ALIASING))
    for fine in (1, 2, 4):
        edge = np.pi * fine
        if turbulence * edge ** (5 / 3) + 0.5 * narrow * edge**2 > needed:
            return fine
    return 8


def paste(image: np.ndarray, stamp: np.ndarray, x0: int, y0: int) -> None:
    """Add the part of a stamp that lies on the image; (x0, y0) is where its first pixel falls."""
    ny, nx = image.shape
    rows, columns = stamp.shape
    left, right = max(x0, 0), min(x0 + columns, nx)
    low, high = max(y0, 0), min(y0 + rows, ny)
    if left < right and low < high:
        image[low:high, left:right] += stamp[low - y0 : high - y0, left - x0 : right - x0]
