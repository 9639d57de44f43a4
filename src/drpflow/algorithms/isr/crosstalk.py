"""Ghosts of one amplifier's signal in the others that are read at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.data.calibrations import Crosstalk

    Signals = list[NDArray[np.float32]]

# Pixels of each amplifier corrected at a time: 16 amplifiers then fill 2 MB.
_CHUNK = 1 << 15
# Fixed-point steps. Each gains a factor of the coefficients' sum ρ, about 1e-3; what is left is
# ρ³ of the brightest signal, 6e-5 adu.
_STEPS = 2


def remove_crosstalk(signals: Signals, crosstalk: Crosstalk) -> None:
    """Remove the ghosts, in place.

    ``observed_v = S_v + Σ_s (L_vs S_s + Q_vs S_s²)`` is solved for S by fixed-point steps
    ``S := observed - L·S - Q·S²``: ghosts are predicted from signals that are free of ghosts.
    A step is a product of an n_amp × n_amp matrix with chunks of pixels.

    Parameters
    ----------
    signals
        Pixels of each amplifier in the order of readout, above the bias, before linearisation,
        adu, C-contiguous, all of one shape.
    crosstalk
        Coefficients, amplifiers in the order of `signals`.

    Raises
    ------
    ValueError
        If the amplifiers differ in shape.
    """
    if len({s.shape for s in signals}) != 1:
        raise ValueError("crosstalk needs amplifiers of one shape")
    linear = crosstalk.linear.astype(np.float32)
    quadratic = None if crosstalk.quadratic is None else crosstalk.quadratic.astype(np.float32)
    flat = [s.reshape(-1) for s in signals]
    for start in range(0, flat[0].size, _CHUNK):
        observed = np.stack([f[start : start + _CHUNK] for f in flat])
        source = np.nan_to_num(observed, nan=0.0)
        ghosts = np.zeros_like(source)
        for _ in range(_STEPS):
            ghosts = _ghosts(source - ghosts, linear, quadratic)
        for f, corrected in zip(flat, observed - ghosts, strict=True):
            f[start : start + _CHUNK] = corrected


def _ghosts(
    signal: NDArray[np.float32],
    linear: NDArray[np.float32],
    quadratic: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    ghosts = linear @ signal
    if quadratic is not None:
        ghosts += quadratic @ np.square(signal)
    return ghosts


def ghosts_of_saturation(
    saturated: list[NDArray[np.bool_]],
    crosstalk: Crosstalk,
    saturation_adu: NDArray[np.float64],
    limit_adu: NDArray[np.float64],
) -> list[NDArray[np.bool_]]:
    """Find where ghosts of saturated pixels fall, which are removed only in part.

    The signal of a saturated pixel was larger than what was recorded.

    Parameters
    ----------
    saturated
        Saturated pixels of each amplifier, in the order of readout.
    crosstalk
        Coefficients, amplifiers in the order of `saturated`.
    saturation_adu
        Saturation level of each amplifier, adu.
    limit_adu
        Least ghost that is marked in each amplifier, adu.

    Returns
    -------
    list of ndarray of bool
        For each amplifier, True where a ghost of at least `limit_adu` falls.
    """
    coefficient = np.abs(crosstalk.linear * saturation_adu)
    if crosstalk.quadratic is not None:
        coefficient += np.abs(crosstalk.quadratic) * saturation_adu**2
    marks = [np.zeros_like(s) for s in saturated]
    for source in np.flatnonzero([s.any() for s in saturated]):
        for victim in np.flatnonzero(coefficient[:, source] >= limit_adu):
            if victim != source:
                marks[victim] |= saturated[source]
    return marks
