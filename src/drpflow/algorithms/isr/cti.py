"""Charge that serial transfers leave behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drpflow.kernels import readout as kernels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def restore_serial_charge(
    signal: NDArray[np.float32], serial_cti: float, cells_before: int = 0
) -> None:
    """Put deferred charge back into the pixels that it came from, in place.

    The inverse of a transfer that leaves the same fraction behind at each step, to third
    order in deferred pixels; read noise grows by the same 0.1 to 1 % as the signal.

    Parameters
    ----------
    signal
        Pixels in the order of readout, electron, C-contiguous.
    serial_cti
        Fraction left behind at each transfer.
    cells_before
        Cells of the register between the first pixel and the amplifier (the prescan).
    """
    if serial_cti > 0.0:
        kernels.restore_serial_charge(signal, serial_cti, cells_before)
