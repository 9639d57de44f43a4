"""The pieces in which warps are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.geometry import Box
from drpflow.kernels.coadd import pixel_states

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from drpflow.data.exposure import Exposure

    Float32: TypeAlias = NDArray[np.float32]
    UInt8: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class WarpPixels:
    """Pixels of a part of a warp.

    Parameters
    ----------
    image, variance
        Float32, shape (ny, nx).
    state
        Of :func:`drpflow.kernels.coadd.pixel_states`.
    """

    image: Float32
    variance: Float32
    state: UInt8


def read_pixels(exposure: Exposure, box: Box, doubtful: Sequence[str]) -> WarpPixels:
    """Return the pixels of a part of a warp; the part has to lie within it."""
    part = exposure.cutout(box)
    mask = part.mask
    void, doubt = (int(mask.bit(names)) for names in ("NO_DATA", doubtful))
    state = pixel_states(part.image, part.variance, mask.array, void, doubt)
    return WarpPixels(part.image, part.variance, state)


def cell_box(box: Box, cell: int) -> Box:
    """Return the cells, counted from the tract's first pixel, that a box touches."""
    return Box(box.x0 // cell, -(-box.x1 // cell), box.y0 // cell, -(-box.y1 // cell))


def tiles(box: Box, cell: int, pixels: int) -> Iterator[Box]:
    """Yield parts of a box, cut between cells, of about a number of pixels; at least one cell each.

    Wide and low, as files hold rows.
    """
    cells = cell_box(box, cell)
    across = int(np.clip(pixels // (cell * cell), 1, cells.width))
    down = int(np.clip(pixels // (cell * cell * across), 1, cells.height))
    for j in range(cells.y0, cells.y1, down):
        for i in range(cells.x0, cells.x1, across):
            part = Box(i * cell, (i + across) * cell, j * cell, (j + down) * cell)
            yield part.intersect(box)
