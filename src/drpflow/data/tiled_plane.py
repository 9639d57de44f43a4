"""Planes of an image in compressed tiles, as FITS stores them.

The form is the FITS Standard's (4.0, section 10): ``RICE_1`` of integers that are quantised with
``SUBTRACTIVE_DITHER_2``; tiles that cannot be quantised keep their floats, in gzip.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]

NULL = -2147483647
"""Integer of a pixel without a value, the card ``ZBLANK``."""
_N_RANDOM = 10000
_GZIP_LEVEL = 6


@dataclass(frozen=True, eq=False)
class TiledPlane:
    """A plane in compressed tiles, those of the first rows first.

    Parameters
    ----------
    shape
        Rows and columns of the plane.
    tile_shape
        Rows and columns of a tile; those at the end may be smaller.
    seed
        Of the dither, 1 … 10000.
    steps, zeros
        ``x = (i - r + 1/2) step + zero`` of each tile, shape (n,); 0 for a tile without loss.
    coded
        Bytes of each tile, RICE; empty for a tile without loss.
    exact
        Bytes of the tiles without loss, gzip of big-endian floats; empty for the others.
    """

    shape: tuple[int, int]
    tile_shape: tuple[int, int]
    seed: int
    steps: Float64
    zeros: Float64
    coded: tuple[bytes, ...]
    exact: tuple[bytes, ...]

    @property
    def n_bytes(self) -> int:
        """Bytes of all tiles."""
        return sum(map(len, self.coded)) + sum(map(len, self.exact))

    @property
    def n_exact(self) -> int:
        """Number of tiles without loss."""
        return sum(map(bool, self.exact))


@dataclass(frozen=True, eq=False)
class TiledMask:
    """The bits of a mask in compressed tiles, ``GZIP_1``.

    Parameters
    ----------
    shape, tile_shape
        As of :class:`TiledPlane`.
    coded
        Bytes of each tile.
    """

    shape: tuple[int, int]
    tile_shape: tuple[int, int]
    coded: tuple[bytes, ...]

    @property
    def n_bytes(self) -> int:
        """Bytes of all tiles."""
        return sum(map(len, self.coded))


def tiles_of(shape: tuple[int, int], tile_shape: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    """Yield rows and columns of each tile, in their order in the file."""
    for y in range(0, shape[0], tile_shape[0]):
        for x in range(0, shape[1], tile_shape[1]):
            yield (
                slice(y, min(y + tile_shape[0], shape[0])),
                slice(x, min(x + tile_shape[1], shape[1])),
            )


def compress_plane(
    plane: Float32, steps: Float64, tile_shape: tuple[int, int], seed: int
) -> TiledPlane:
    """Compress a plane, each tile in steps of its own.

    Parameters
    ----------
    plane
        Shape (ny, nx).
    steps
        One for each tile. A tile whose step is not positive and finite, that holds infinities
        or whose pixels span more than 2³¹ steps, is kept without loss.
    tile_shape
        Rows and columns of a tile.
    seed
        Of the dither, 1 … 10000.

    Raises
    ------
    ValueError
        If there are not as many steps as tiles.
    """
    from drpflow.kernels import tile_compression as kernels

    height, width = tile_shape
    across = -(-plane.shape[1] // width)
    total = across * -(-plane.shape[0] // height)
    if len(steps) != total:
        raise ValueError(f"{len(steps)} steps for {total} tiles")
    steps = np.array(steps, np.float64)
    zeros, sizes = np.zeros(total), np.zeros(total, np.int64)
    out = np.empty(
        kernels.MAX_BYTES_PER_PIXEL * min(height, plane.shape[0]) * plane.shape[1] + 16 * across,
        np.uint8,
    )
    coded: list[bytes] = []
    for row in range(total // across):
        here = slice(row * across, (row + 1) * across)
        rows = plane[row * height : (row + 1) * height]
        kernels.encode_tiles(
            rows, height, width, here.start, steps[here], dither_table(), seed, out,
            sizes[here], zeros[here],
        )  # fmt: skip
        ends = np.cumsum(sizes[here])
        coded += [out[end - n : end].tobytes() for n, end in zip(sizes[here], ends, strict=True)]
    lost = sizes == 0
    steps[lost] = 0.0
    exact = tuple(
        gzip.compress(plane[tile].astype(">f4").tobytes(), _GZIP_LEVEL, mtime=0) if raw else b""
        for raw, tile in zip(lost, tiles_of(plane.shape, tile_shape), strict=True)
    )
    return TiledPlane(plane.shape, tile_shape, seed, steps, zeros, tuple(coded), exact)


def compress_mask(array: NDArray[np.int32], tile_shape: tuple[int, int]) -> TiledMask:
    """Compress the bits of a mask; nothing is lost.

    Planes of a mask are mostly the same in neighbouring pixels, which costs a seventh of the
    bits that RICE needs: there, a high bit that comes or goes is a large difference.
    """
    coded = tuple(
        gzip.compress(array[tile].astype(">i4").tobytes(), _GZIP_LEVEL, mtime=0)
        for tile in tiles_of(array.shape, tile_shape)
    )
    return TiledMask((array.shape[0], array.shape[1]), tile_shape, coded)


@cache
def dither_table() -> Float32:
    """Return the standard's 10000 random numbers (appendix I; Park & Miller 1988, CACM 31)."""
    numbers, state = np.empty(_N_RANDOM, np.float32), 1
    for i in range(_N_RANDOM):
        state = 16807 * state % 2147483647
        numbers[i] = state / 2147483647
    assert state == 1043618065  # the standard gives it as a check
    return numbers
