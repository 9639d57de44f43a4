"""Mask planes: named bits of an int32 image.

Bits are found by name, from the file header where there is one; the numbers below are only
what drpflow writes into new masks.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from drpflow.errors import suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

PLANES: Mapping[str, str] = MappingProxyType(
    {
        "BAD": "defective pixel (defect list, or its variance or gain is unusable)",
        "SAT": "saturated, or full well exceeded",
        "INTRP": "value interpolated from neighbours",
        "CR": "cosmic ray",
        "EDGE": "too near the edge for the smoothing kernel",
        "DETECTED": "part of a detected footprint",
        "DETECTED_NEGATIVE": "part of a negative footprint",
        "SUSPECT": "value in a range where corrections are uncertain",
        "NO_DATA": "no value was recorded here",
        "SPIKE": "diffraction spike",
        "STREAK": "satellite or aircraft trail",
        "CLIPPED": "coadd: outlier visits were clipped",
        "SENSOR_EDGE": "coadd: the edge of a detector runs through",
        "INEXACT_PSF": "coadd: the inputs differ from those of the PSF model",
        "REJECTED": "coadd: pixels rejected from the inputs",
        "HIGH_VARIANCE": "variance far above the rest",
        "NOT_DEBLENDED": "blend that was not deblended",
        "UNMASKEDNAN": "NaN that no other plane explains",
        "BRIGHT_OBJECT": "inside the mask of a known bright object",
        "CROSSTALK": "a crosstalk ghost of a saturated pixel falls here",
        "VIGNETTED": "behind the vignetting limit of the optics",
        "INJECTED": "synthetic source injected here",
        "INJECTED_CORE": "core of an injected synthetic source",
        "ARTIFACT": "other visits lack it: trail, ghost, cosmic ray or the like",
        "TRANSIENT": "point of light that other visits lack, such as an asteroid",
    }
)
"""Every plane that drpflow writes, with its meaning. Bit = position in this table."""

BITS: Mapping[str, int] = MappingProxyType({name: bit for bit, name in enumerate(PLANES)})


class Mask:
    """An int32 image of named bit planes.

    Parameters
    ----------
    array
        Bits, shape (ny, nx). A view is kept, not a copy.
    planes
        Bit number of each plane name. Defaults to drpflow's own table.

    Raises
    ------
    TypeError
        If `array` is not of type int32.
    """

    __slots__ = ("array", "planes")

    def __init__(self, array: NDArray[np.int32], planes: Mapping[str, int] = BITS) -> None:
        if array.dtype != np.int32:
            raise TypeError(f"a mask holds int32, not {array.dtype}")
        self.array = array
        self.planes = dict(planes)

    @classmethod
    def zeros(cls, shape: tuple[int, int]) -> Mask:
        """Return a mask with no bit set."""
        return cls(np.zeros(shape, np.int32))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.array.shape

    def bit(self, names: str | Iterable[str]) -> np.int32:
        """Return the OR of the bits of one or several planes.

        Raises
        ------
        KeyError
            If a plane does not exist, naming the nearest that does.
        """
        total = 0
        for name in [names] if isinstance(names, str) else names:
            if name not in self.planes:
                raise KeyError(f"no mask plane {name!r}{suggest(name, self.planes)}")
            total |= 1 << self.planes[name]
        return np.int32(total)

    def any(self, names: str | Iterable[str]) -> NDArray[np.bool_]:
        """Return where at least one of these planes is set."""
        return (self.array & self.bit(names)) != 0

    def set(self, name: str, where: NDArray[np.bool_] | tuple[slice, slice]) -> None:
        """Set a plane at `where`."""
        self.array[where] |= self.bit(name)

    def clear(self, name: str) -> None:
        """Clear a plane everywhere."""
        self.array &= ~self.bit(name)

    def count(self) -> dict[str, int]:
        """Return how many pixels each plane marks."""
        return {name: int(np.count_nonzero(self.any(name))) for name in self.planes}

    def copy(self) -> Mask:
        """Return a copy of its own."""
        return Mask(self.array.copy(), self.planes)

    def with_planes(self, *names: str) -> Mask:
        """Return this mask, the bits shared, with planes that its file may not have known yet.

        Raises
        ------
        ValueError
            If no bit is left.
        """
        planes = dict(self.planes)
        for name in names:
            if name in planes:
                continue
            free = [bit for bit in (BITS.get(name, 0), *range(31)) if bit not in planes.values()]
            if not free:
                raise ValueError(f"no bit is left for the mask plane {name}")
            planes[name] = free[0]
        return Mask(self.array, planes)

    def __getitem__(self, box: tuple[slice, slice]) -> Mask:
        return Mask(self.array[box], self.planes)

    def __iter__(self) -> Iterator[str]:
        return iter(self.planes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        return self.planes == other.planes and np.array_equal(self.array, other.array)

    __hash__ = None  # type: ignore[assignment]
