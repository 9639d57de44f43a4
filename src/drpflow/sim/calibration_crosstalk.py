"""Crosstalk ratios from frames with bright spots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from drpflow.sim.calibration_reduction import Reduction

BRIGHT_ADU = 2000.0
DARK_ADU = 200.0
CLIP_SIGMA = 4.0
# Rms of the converter's rounding, which is there even if nothing else makes noise.
ROUNDING_ADU = 12**-0.5


def measure_crosstalk(
    frames: Iterable[NDArray[np.uint16]], reduction: Reduction
) -> NDArray[np.float64]:
    """Measure the crosstalk matrix.

    The signal of each amplifier is regressed on those of the others, in the pixels that are dark
    in itself and bright in one other, and in as many that are dark in all, which fix the level.

    Parameters
    ----------
    frames
        Raw frames in which amplifiers are bright in turns.
    reduction
        Must know the bias, and no more than that: ratios are those of signals before
        linearisation.

    Returns
    -------
    ndarray of float64, shape (amplifiers, amplifiers)
        Ratio [victim, source]; zero on the diagonal.
    """
    signal = np.concatenate(
        [reduction.blocks(raw).reshape(len(reduction.layout), -1) for raw in frames], axis=1
    ).astype(np.float64)
    amplifiers = signal.shape[0]
    ratio = np.zeros((amplifiers, amplifiers))
    for victim in range(amplifiers):
        sources = [a for a in range(amplifiers) if a != victim]
        others = signal[sources]
        use = (others > BRIGHT_ADU).any(axis=0) | (others < DARK_ADU).all(axis=0)
        use &= signal[victim] < DARK_ADU
        ratio[victim, sources] = _regress(others[:, use], signal[victim, use])
    return ratio


def _regress(sources: NDArray[np.float64], victim: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit victim = constant + Σ ratio · source, without hot pixels and cosmic rays."""
    matrix = np.vstack([np.ones_like(victim), sources]).T
    keep = np.ones(victim.size, bool)
    solution = np.zeros(matrix.shape[1])
    for _ in range(4):
        # The normal equations are 4 x 4 and well conditioned once signals are scaled.
        scale = np.maximum(np.abs(matrix[keep]).max(axis=0), 1)
        scaled = matrix[keep] / scale
        solution = np.linalg.solve(scaled.T @ scaled, scaled.T @ victim[keep]) / scale
        residual = victim - matrix @ solution
        width = max(1.4826 * np.median(np.abs(residual[keep])), ROUNDING_ADU)
        keep = np.abs(residual) < CLIP_SIGMA * width
    return solution[1:]
