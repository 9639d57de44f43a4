"""Full well: charge above it flows along the column into pixels that have room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def bleed(
    charge: NDArray[np.float32], full_well: NDArray[np.float32], *, split_at_midline: bool
) -> NDArray[np.bool_]:
    """Let overfull pixels overflow along their columns, in place.

    Half of what a pixel holds above its full well goes up, half goes down, each as far as it
    takes to find room. Charge is conserved; only where a whole column (or half column) is full
    does the rest leave through the register.

    Parameters
    ----------
    charge
        Electrons, shape (ny, nx); changed in place.
    full_well
        Capacity of each pixel, electrons.
    split_at_midline
        Whether the upper and the lower half are separate, as where they are read to opposite
        sides.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
        Pixels that ended full.
    """
    columns = np.flatnonzero((charge > full_well).any(axis=0))
    saturated = np.zeros(charge.shape, bool)
    if columns.size:
        half = charge.shape[0] // 2
        parts = (slice(0, half), slice(half, None)) if split_at_midline else (slice(None),)
        for rows in parts:
            charge[rows, columns], saturated[rows, columns] = _bleed_columns(
                charge[rows, columns].astype(np.float64), full_well[rows, columns]
            )
    return saturated


def _bleed_columns(
    charge: NDArray[np.float64], capacity: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Bleed columns that reach from wall to wall; vectorised over the columns."""
    excess = np.maximum(charge - capacity, 0)
    room = np.maximum(capacity - charge, 0)
    start = room.copy()
    carry = _flow(excess / 2, room, np.zeros(charge.shape[1]))
    carry = _flow(excess[::-1] / 2, room[::-1], carry)
    # What is reflected at an end runs through the whole column once more; then all that had
    # room is full.
    _flow(np.zeros_like(excess), room, carry)
    filled = start - room
    return np.minimum(charge, capacity) + filled, room <= 0


def _flow(
    source: NDArray[np.float64], room: NDArray[np.float64], carry: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Carry charge along axis 0, filling `room` in place; return what is left at the end."""
    for row in range(len(source)):
        carry = carry + source[row]
        taken = np.minimum(carry, room[row])
        room[row] -= taken
        carry -= taken
    return carry
