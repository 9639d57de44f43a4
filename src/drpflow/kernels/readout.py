"""Loops along the readout direction of an amplifier: linearity and charge transfer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]


@njit(cache=True, nogil=True)
def linearize(signal: Float32, nodes: Float64, coefficients: Float64, gain: float) -> None:
    """Take a piecewise cubic off each pixel and multiply by the gain, in place.

    ``signal := gain · (signal - c(signal))``. Below the first node c goes on as a straight
    line, beyond the last one it stays constant.

    Parameters
    ----------
    signal : ndarray, shape (ny, nx), float32
        Above the bias, adu; afterwards electron.
    nodes : ndarray, shape (n,), float64
        Increasing.
    coefficients : ndarray, shape (n - 1, 4), float64
        ``c(x) = Σ_k coefficients[i, k] · (x - nodes[i])^k`` for x from node i to node i + 1.
    gain : float
        electron adu-1.
    """
    ny, nx = signal.shape
    last = nodes.size - 2
    first_slope = coefficients[0, 1]
    d = nodes[last + 1] - nodes[last]
    c = coefficients[last]
    beyond = c[0] + d * (c[1] + d * (c[2] + d * c[3]))
    i = 0
    for y in range(ny):
        for x in range(nx):
            s = np.float64(signal[y, x])
            if s <= nodes[0]:
                value = coefficients[0, 0] + first_slope * (s - nodes[0])
            elif s >= nodes[last + 1]:
                value = beyond
            else:
                # Neighbouring pixels are alike: the interval is nearly always the last one.
                while s < nodes[i]:
                    i -= 1
                while i < last and s >= nodes[i + 1]:
                    i += 1
                d = s - nodes[i]
                value = coefficients[i, 0] + d * (
                    coefficients[i, 1] + d * (coefficients[i, 2] + d * coefficients[i, 3])
                )
            signal[y, x] = np.float32(gain * (s - value))


@njit(cache=True, nogil=True)
def restore_serial_charge(signal: Float32, cti: float, before: int) -> None:
    """Undo the serial transfer loss of an amplifier, in place.

    Cell k of the register undergoes k + 1 transfers. At each a fraction ε stays behind, so that
    of its charge ``C(k + m, m) ε^m (1 - ε)^(k + 1)`` arrives m pixels late. Terms beyond m = 3
    are left out: they are below (kε)⁴/24, 1e-7 of the charge after 4000 transfers at ε = 1e-5.
    The matrix is lower triangular in the order of readout: forward substitution inverts it.

    Parameters
    ----------
    signal : ndarray, shape (ny, nx), float32
        electron, in the order of readout. NaN passes through and sends nothing on.
    cti : float
        ε.
    before : int
        Cells of the register before the first pixel; they are taken as empty.
    """
    ny, nx = signal.shape
    kept = np.empty(nx, np.float64)
    for x in range(nx):
        kept[x] = (1.0 - cti) ** (x + before + 1)
    second = 0.5 * cti * cti
    third = cti * cti * cti / 6.0
    for y in range(ny):
        a = 0.0  # a, b, c: charge of pixels x-1, x-2, x-3 that arrived in time
        b = 0.0
        c = 0.0
        for x in range(nx):
            k = np.float64(x + before)
            late = cti * k * a + second * k * (k - 1.0) * b
            late += third * k * (k - 1.0) * (k - 2.0) * c
            charge = (signal[y, x] - late) / kept[x]
            signal[y, x] = np.float32(charge)
            c = b
            b = a
            a = 0.0 if np.isnan(charge) else charge * kept[x]
