"""Non-linearity of the amplifiers, by piecewise cubics through the nodes of a calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from drpflow.kernels import readout as kernels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PiecewiseCubic:
    """``value(x) = Σ_k coefficients[i, k] · (x - nodes[i])^k`` between nodes i and i + 1.

    Parameters
    ----------
    nodes
        Increasing, shape (n,).
    coefficients
        Shape (n - 1, 4).
    """

    nodes: Float64
    coefficients: Float64

    def __call__(self, x: ArrayLike) -> Float64:
        """Evaluate; beyond the nodes the outermost cubics go on."""
        x = np.asarray(x, float)
        i = np.clip(np.searchsorted(self.nodes, x, side="right") - 1, 0, len(self.nodes) - 2)
        d = x - self.nodes[i]
        c = self.coefficients[i]
        return c[..., 0] + d * (c[..., 1] + d * (c[..., 2] + d * c[..., 3]))


def hermite(nodes: Float64, values: Float64, slopes: Float64) -> PiecewiseCubic:
    """Return the piecewise cubic with these values and slopes at the nodes."""
    width = np.diff(nodes)
    chord = np.diff(values) / width
    left, right = slopes[:-1], slopes[1:]
    second = (3 * chord - 2 * left - right) / width
    third = (left + right - 2 * chord) / width**2
    return PiecewiseCubic(nodes, np.stack([values[:-1], left, second, third], axis=1))


def akima(nodes: Float64, values: Float64) -> PiecewiseCubic:
    """Return Akima's (1970) spline, which a node that is off disturbs only nearby.

    Each slope is the mean of the chords on either side, weighted by how little the chords
    beyond change on the other side; where all weights vanish, their plain mean.
    """
    if len(nodes) < 3:
        return hermite(nodes, values, np.full(len(nodes), np.diff(values)[0] / np.diff(nodes)[0]))
    chord = np.diff(values) / np.diff(nodes)
    before = [3 * chord[0] - 2 * chord[1], 2 * chord[0] - chord[1]]
    after = [2 * chord[-1] - chord[-2], 3 * chord[-1] - 2 * chord[-2]]
    m = np.concatenate([before, chord, after])
    change = np.abs(np.diff(m))
    w_left, w_right = change[2:], change[:-2]
    total = w_left + w_right
    even = total <= 1e-9 * total.max(initial=0.0)
    w_left, w_right = np.where(even, 1.0, w_left), np.where(even, 1.0, w_right)
    slopes = (w_left * m[1:-2] + w_right * m[2:-1]) / (w_left + w_right)
    return hermite(nodes, values, slopes)


def natural_cubic(nodes: Float64, values: Float64) -> PiecewiseCubic:
    """Return the cubic spline of continuous second derivative that is straight at its ends."""
    n = len(nodes)
    if n < 3:
        return akima(nodes, values)
    width = np.diff(nodes)
    chord = np.diff(values) / width
    # Continuity of the second derivative, in terms of the slopes; 2 s0 + s1 = 3 chord0 at ends.
    matrix = np.zeros((n, n))
    right = np.zeros(n)
    matrix[0, :2], right[0] = (2, 1), 3 * chord[0]
    matrix[-1, -2:], right[-1] = (1, 2), 3 * chord[-1]
    inner = np.arange(1, n - 1)
    matrix[inner, inner - 1] = 1 / width[:-1]
    matrix[inner, inner] = 2 / width[:-1] + 2 / width[1:]
    matrix[inner, inner + 1] = 1 / width[1:]
    right[1:-1] = 3 * (chord[:-1] / width[:-1] + chord[1:] / width[1:])
    return hermite(nodes, values, np.linalg.solve(matrix, right).astype(np.float64))


def nonlinearity(
    node_adu: Float64, correction_adu: Float64, interpolation: Literal["akima", "natural"]
) -> PiecewiseCubic:
    """Return the correction of an amplifier as a function of its measured signal.

    Parameters
    ----------
    node_adu, correction_adu
        Nodes and what is to be taken off there, adu.
    interpolation
        Kind of spline.
    """
    spline = akima if interpolation == "akima" else natural_cubic
    return spline(node_adu, correction_adu)


def linearize(signal: NDArray[np.float32], correction: PiecewiseCubic | None, gain: float) -> None:
    """Linearise an amplifier's pixels and turn them into electrons, in place.

    ``signal := gain · (signal - correction(signal))``. Both in one pass over the pixels.

    Parameters
    ----------
    signal
        Above the bias, adu, C-contiguous; afterwards electron.
    correction
        From :func:`nonlinearity`. Below its nodes it goes on straight, beyond them it stays.
        None for a linear amplifier.
    gain
        electron adu-1.
    """
    if correction is None:
        signal *= np.float32(gain)
    else:
        kernels.linearize(signal, correction.nodes, correction.coefficients, gain)
