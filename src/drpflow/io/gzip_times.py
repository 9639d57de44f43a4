"""Taking the time of day out of compressed images.

A gzip stream begins with the time at which it was made (RFC 1952), and tiled images hold one a
tile: always with ``GZIP_1`` and ``GZIP_2``, and with ``RICE_1`` for tiles that cannot be
quantised. Without it equal pixels are equal bytes.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from drpflow.io.fits_index import FitsIndex

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from drpflow.io.fits_index import HduEntry

_MAGIC = b"\x1f\x8b\x08"
_TIME = slice(4, 8)
_COLUMNS = ("COMPRESSED_DATA", "GZIP_COMPRESSED_DATA")
# Columns of tiled images: descriptors of 32 and 64 bits, and one number a tile (ZSCALE …).
_DESCRIPTORS = {"P": ">ii", "Q": ">qq"}
_BYTES = {"P": 8, "Q": 16, "D": 8, "E": 4, "J": 4}


def clear_gzip_times(path: Path) -> None:
    """Set the time of every gzip stream in the compressed images of a FITS file to zero."""
    compressed = [e for e in FitsIndex(path).entries.values() if e.is_compressed]
    with path.open("r+b") as file:
        for entry in compressed:
            heap = entry.data_start + int(
                entry.header.get("THEAP", entry.header["NAXIS1"] * entry.header["NAXIS2"])
            )
            for count, offset in _descriptors(file, entry):
                if count:
                    _clear(file, heap + int(offset))


def _clear(file: BinaryIO, start: int) -> None:
    file.seek(start)
    head = file.read(_TIME.stop)
    if head.startswith(_MAGIC) and any(head[_TIME]):
        file.seek(start + _TIME.start)
        file.write(bytes(4))


def _descriptors(file: BinaryIO, entry: HduEntry) -> list[tuple[int, int]]:
    """Return length, and offset in the heap, of every tile."""
    header = entry.header
    width, height = int(header["NAXIS1"]), int(header["NAXIS2"])
    file.seek(entry.data_start)
    rows = file.read(width * height)
    found, position = [], 0
    for column in range(1, int(header["TFIELDS"]) + 1):
        code = str(header[f"TFORM{column}"]).lstrip("01")[0]
        if header[f"TTYPE{column}"] in _COLUMNS:
            pair = struct.Struct(_DESCRIPTORS[code])
            found += [pair.unpack_from(rows, row * width + position) for row in range(height)]
        position += _BYTES[code]
    return found
