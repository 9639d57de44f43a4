"""Weights with which pixels are interpolated where stars matter.

With 2a taps at the pixels k about a place, at the distances t_k = k - φ from it, the weights are
those of least squares for stars anywhere,

    w = argmin ∫ |Σ_k w_k e^{2πi ν t_k} - 1|² S(ν) dν     where     Σ w_k = 1,  Σ w_k t_k = 0,

S being the power of stars of several sizes (:data:`STARS`) and a little of everything. With its
autocorrelation R, R(t) = Σ_s A_s exp(-t²/4σ_s²) + :data:`WHITE` sinc(t), that is the linear system

    Σ_l R(k - l) w_l + λ + μ t_k = R(t_k)                                               (kriging).

The two conditions keep the flux: a constant comes out as it is, and so does a slope. Under a slowly
moving phase φ, as between two grids of nearly one scale and direction, the first moment of the
weights acts like a change of scale; that of Lanczos weights is up to 0.02 pixels.
``docs/decisions/resampling-kernel.md`` has what both kernels do to stars.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.kernels.warp import Kernel

    Floats = NDArray[np.float64]

STARS = ((2.5, 1.0), (5.0, 100.0))
"""FWHM, pixels, and amplitude of R: from the smallest that can come out right to any larger."""
WHITE = 1e-3
"""Power at all frequencies: whatever is sharper than stars is to be kept as far as it can."""
N_PHASES = 1024
"""Phases in the table; linear interpolation between them is right to 2e-6."""


def star_weights(order: int, phase: Floats) -> Floats:
    """Return the weights at places between two pixels.

    Parameters
    ----------
    order
        Taps on each side, a.
    phase
        Distance from the pixel before, 0 to 1, shape (N,).

    Returns
    -------
    ndarray, shape (N, 2 order)
        Of the pixels 1 - a … a after the pixel before, each row of sum 1.
    """
    k = np.arange(1.0 - order, order + 1)
    t = k - np.asarray(phase, np.float64)[:, None]
    moments = np.stack([np.ones_like(t), t], axis=2)
    matrix = np.zeros((len(t), k.size + 2, k.size + 2))
    matrix[:, : k.size, : k.size] = _autocorrelation(k[:, None] - k)
    matrix[:, : k.size, k.size :] = moments
    matrix[:, k.size :, : k.size] = moments.transpose(0, 2, 1)
    right = np.zeros((len(t), k.size + 2, 1))
    right[:, : k.size, 0] = _autocorrelation(t)
    right[:, k.size, 0] = 1
    return np.asarray(np.linalg.solve(matrix, right)[:, : k.size, 0])


def _autocorrelation(t: Floats) -> Floats:
    found = WHITE * np.sinc(t)
    for fwhm_pix, amplitude in STARS:
        sigma = fwhm_pix / np.sqrt(8 * np.log(2))
        found += amplitude * np.exp(-(t**2) / (4 * sigma**2))
    return np.asarray(found)


@lru_cache
def resampling_kernel(order: int) -> Kernel:
    """Return the weights of an order, tabulated."""
    from drpflow.kernels.warp import Kernel

    table = star_weights(order, np.arange(N_PHASES + 1) / N_PHASES)
    # On a pixel its value comes out, without rounding.
    table[0], table[-1] = np.eye(2 * order)[[order - 1, order]]
    return Kernel(table, (0,) * (2 * order))
