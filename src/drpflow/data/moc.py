"""Coverage of the sky as cells of HEALPix: a multi-order coverage map (MOC).

IVOA Recommendation *MOC: Multi-Order Coverage map* 2.0 (Fernique et al. 2022). In memory a map is
the list of its cells of the finest order; four that make up a coarser one are stored as that one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeAlias

import numpy as np

from drpflow.data.healpix import MAX_ORDER, pixels_of_deg

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Integers: TypeAlias = NDArray[np.int64]

_SPHERE_DEG2 = 4 * np.pi * np.degrees(1) ** 2


@dataclass(frozen=True, eq=False)
class Moc:
    """A part of the sky.

    Parameters
    ----------
    order
        Finest order of HEALPix.
    cells
        Its cells of that order, nested scheme; repeated ones count once.

    Raises
    ------
    ValueError
        If the order has no such cell.
    """

    order: int
    cells: Integers

    def __post_init__(self) -> None:
        cells = np.unique(np.asarray(self.cells, np.int64))
        if not 0 <= self.order <= MAX_ORDER:
            raise ValueError(f"HEALPix has orders 0 to {MAX_ORDER}, not {self.order}")
        if cells.size and not (cells[0] >= 0 and cells[-1] < 12 << 2 * self.order):
            raise ValueError(f"order {self.order} has cells 0 to {(12 << 2 * self.order) - 1}")
        cells.flags.writeable = False
        object.__setattr__(self, "cells", cells)

    @classmethod
    def from_uniq(cls, order: int, uniq: ArrayLike) -> Self:
        """Return the map of which :meth:`to_uniq` gives the numbers."""
        numbers = np.asarray(uniq, np.int64)
        orders = np.frexp((numbers >> 2).astype(np.float64))[1] - 1 >> 1
        parts = [np.zeros(0, np.int64)]
        for level in np.unique(orders).tolist():
            coarse = numbers[orders == level] - (4 << 2 * level)
            finer = 2 * (order - level)
            parts.append(((coarse << finer)[:, None] + np.arange(1 << finer)).ravel())
        return cls(order, np.concatenate(parts))

    def to_uniq(self) -> Integers:
        """Return the cells as numbers that tell their order, ascending; the coarsest that do.

        ``uniq = 4 · 4^order + cell``, section 4.2.1 of the Recommendation ("NUNIQ").
        """
        cells, parts = self.cells, []
        for level in range(self.order, 0, -1):
            first = np.searchsorted(cells, (cells >> 2) << 2)
            whole = np.searchsorted(cells, (cells >> 2 << 2) + 3, side="right") - first == 4
            parts.append(cells[~whole] + (4 << 2 * level))
            cells = cells[whole][::4] >> 2
        parts.append(cells + 4)
        return np.sort(np.concatenate(parts))

    @property
    def area_deg2(self) -> float:
        """Area, square degrees."""
        return float(self.cells.size * _SPHERE_DEG2 / (12 << 2 * self.order))

    def contains(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> NDArray[np.bool_]:
        """Return which places lie in the map."""
        return np.isin(pixels_of_deg(self.order, ra_deg, dec_deg), self.cells)
