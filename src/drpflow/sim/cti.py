"""Charge left behind while a row is shifted along the serial register.

A packet that needs n transfers meets, at each clock, a chance s to stay. The number of clocks by
which it arrives late is then negative-binomial: P(k) = C(n+k-1, k) (1-s)ⁿ sᵏ. All charge arrives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LATEST = 3
"""Clocks after which everything has arrived; (n s)⁴ < 1e-8 is neglected."""


def transfer(rows: NDArray[np.float32], loss_per_transfer: float) -> NDArray[np.float32]:
    """Shift rows through the serial register.

    Parameters
    ----------
    rows
        Charge in the order of readout, including prescan and overscan samples: column j needs
        j + 1 transfers.
    loss_per_transfer
        Fraction of a packet that stays behind at each.

    Returns
    -------
    ndarray, same shape
        Charge as it reaches the amplifier.
    """
    if not loss_per_transfer:
        return rows
    number = np.arange(1, rows.shape[1] + 1, dtype=np.float64)
    on_time = np.exp(number * np.log1p(-loss_per_transfer))
    arriving = rows * on_time.astype(np.float32)
    late = on_time
    rest = 1 - on_time
    for k in range(1, LATEST + 1):
        late = late * loss_per_transfer * (number + k - 1) / k
        share = rest if k == LATEST else late
        rest = rest - share
        arriving[:, k:] += rows[:, :-k] * share[:-k].astype(np.float32)
    return arriving
