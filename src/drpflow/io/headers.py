"""FITS headers without the data.

Ingest looks at every file of a survey, so a file costs as few bytes as can be: headers are
read block by block and data units are skipped by seeking. A compressed stream (.gz, .bz2)
cannot be sought in; its data are decompressed only where a later HDU is wanted. Tile-compressed
images (.fz) are binary tables whose header says what the image is: no tile is touched.
"""

from __future__ import annotations

import bz2
import gzip
import math
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from drpflow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from astropy.io.fits import Header

BLOCK: Final = 2880
CARD: Final = 80
_END = b"END" + b" " * 77
_CHUNK = 1 << 20
# A header of more than this is no header: 20,000 cards.
_MAX_HEADER = 556 * BLOCK
# deflate reaches at most this ratio; a trailer that claims more is not a trailer.
_MAX_GZIP_RATIO = 1032
_AGAIN = "Copy or download the file again"


@dataclass(frozen=True)
class Hdu:
    """One header-data unit, of which only the header was read.

    Parameters
    ----------
    index
        Position in the file, from 0.
    name
        ``EXTNAME``, or ``""``.
    kind
        ``"image"``, ``"compressed image"``, ``"table"`` or ``"empty"``.
    shape
        Shape of the image array, slowest axis first; ``()`` where there is no image.
    header
        Its header.
    data_start, data_bytes
        Where the data unit begins in the (decompressed) file and its length without padding.
    """

    index: int
    name: str
    kind: str
    shape: tuple[int, ...]
    header: Header
    data_start: int
    data_bytes: int

    @property
    def is_frame(self) -> bool:
        """Whether this HDU holds a two-dimensional image."""
        return len(self.shape) == 2

    def describe(self) -> str:
        """Return e.g. ``HDU 3 ('S4', a 2048 x 4096 image)``."""
        size = " x ".join(str(n) for n in reversed(self.shape))
        what = {"table": "a table", "empty": "no data"}.get(self.kind, f"a {size} image")
        name = f"{self.name!r}, " if self.name else ""
        return f"HDU {self.index} ({name}{what})"


@dataclass(frozen=True)
class FileHeaders:
    """The headers of a FITS file.

    Parameters
    ----------
    path
        The file.
    hdus
        Its HDUs, in order; only the first if `read_headers` was told to stop there.
    """

    path: Path
    hdus: tuple[Hdu, ...]

    @property
    def primary(self) -> Header:
        """Header of the first HDU."""
        return self.hdus[0].header

    def frames(self) -> list[Hdu]:
        """Return the HDUs that hold two-dimensional images."""
        return [hdu for hdu in self.hdus if hdu.is_frame]

    def find(self, hdu: int | str) -> Hdu:
        """Return an HDU by its index or its ``EXTNAME``.

        Raises
        ------
        InputError
            If the file has no such HDU.
        """
        for item in self.hdus:
            if (item.index == hdu) if isinstance(hdu, int) else _same_name(item.name, hdu):
                return item
        present = ", ".join(item.describe() for item in self.hdus)
        raise InputError(self.path, f"there is no HDU {hdu!r}", f"The file has {present}")


def read_headers(path: str | Path, *, all_hdus: bool = True, deep: bool = False) -> FileHeaders:
    """Read the headers of a FITS file, which may be compressed with gzip or bzip2.

    Parameters
    ----------
    path
        The file. Compression is recognised by its first bytes, not by its name.
    all_hdus
        Read every HDU. If false and the first HDU is a two-dimensional image, the rest is left
        unread, which in a compressed stream saves decompressing that image.
    deep
        Read the whole of a compressed stream, so that damage anywhere in it is found.

    Raises
    ------
    InputError
        If the file cannot be opened, is empty, is no FITS file, or is shorter than its headers
        promise. What a compressed stream promises is compared with the size in its trailer
        (gzip); where that disagrees, and always if `deep`, the stream is read to its end.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            size = path.stat().st_size
            magic = stream.read(3)
            stream.seek(0)
            if not magic:
                raise InputError(path, "the file is empty", _AGAIN)
            if magic[:2] == b"\x1f\x8b":
                return _read_compressed(path, cast("BinaryIO", gzip.open(stream)), all_hdus, deep)
            if magic == b"BZh":
                return _read_compressed(path, cast("BinaryIO", bz2.open(stream)), all_hdus, deep)
            return FileHeaders(path, tuple(_walk(path, stream, size, all_hdus)))
    except (EOFError, zlib.error) as fault:
        problem = f"the compressed file is damaged or cut short ({fault})"
        raise InputError(path, problem, _AGAIN) from None
    except OSError as fault:
        reason = fault.strerror or str(fault)
        raise InputError(path, f"the file cannot be read ({reason})", "Check the file") from None


def card(header: Header, key: str) -> Any:
    """Return the value of a header card, or None where there is none or it is undefined.

    Raises
    ------
    ValueError
        If the card is there but breaks the FITS rules.
    """
    from astropy.io.fits import VerifyError
    from astropy.io.fits.card import Undefined

    try:
        value = header.get(key)
    except VerifyError:
        raise ValueError(f"the header card {key} breaks the FITS rules") from None
    return None if isinstance(value, Undefined) else value


def _same_name(name: str, wanted: str) -> bool:
    return name.upper() == wanted.upper() or (wanted.upper() == "PRIMARY" and not name)


def _read_compressed(path: Path, stream: BinaryIO, all_hdus: bool, deep: bool) -> FileHeaders:
    hdus = tuple(_walk(path, stream, None, all_hdus))
    end = hdus[-1].data_start + hdus[-1].data_bytes
    if deep or not _gzip_promises(path, end):
        length = stream.tell()
        while chunk := stream.read(_CHUNK):
            length += len(chunk)
        if length < end:
            raise InputError(path, _truncated(hdus[-1].index, end, length), _AGAIN)
    return FileHeaders(path, hdus)


def _gzip_promises(path: Path, needed: int) -> bool:
    """Tell whether the size in a gzip trailer is believable and enough; true for bzip2.

    The last four bytes hold the decompressed size modulo 4 GiB. In a truncated file they are
    any four bytes, which pass for a multiple of 2880 of a possible size once in 10⁴ times.
    """
    with path.open("rb") as stream:
        if stream.read(2) != b"\x1f\x8b":
            return True
        size = stream.seek(-4, 2) + 4
        promised = int.from_bytes(stream.read(4), "little")
    if needed >= 1 << 32:
        return True
    whole_blocks = promised % BLOCK == 0 or promised == needed
    return needed <= promised <= _MAX_GZIP_RATIO * size and whole_blocks


def _walk(path: Path, stream: BinaryIO, size: int | None, all_hdus: bool) -> Iterator[Hdu]:
    """Yield the HDUs of an open file; `size` is None for a stream that cannot be sought in."""
    index, position = 0, 0
    while (raw := _header_bytes(path, stream, index)) is not None:
        hdu = _parse(path, raw, index, position + len(raw))
        end = hdu.data_start + hdu.data_bytes
        if size is not None and size < end:
            raise InputError(path, _truncated(index, end, size), _AGAIN)
        yield hdu
        if index == 0 and hdu.is_frame and not all_hdus:
            return
        position = hdu.data_start + BLOCK * math.ceil(hdu.data_bytes / BLOCK)
        if size is None:
            got = _skip(stream, position - hdu.data_start)
            if got < hdu.data_bytes:
                raise InputError(path, _truncated(index, end, hdu.data_start + got), _AGAIN)
        else:
            stream.seek(position)
        index += 1


def _truncated(index: int, needed: int, size: int) -> str:
    return f"truncated: HDU {index} reaches to byte {needed}, the file has {size}"


def _skip(stream: BinaryIO, count: int) -> int:
    """Read and forget `count` bytes; return how many there were."""
    left = count
    while left > 0 and (chunk := stream.read(min(left, _CHUNK))):
        left -= len(chunk)
    return count - left


def _header_bytes(path: Path, stream: BinaryIO, index: int) -> bytes | None:
    """Read one header up to its END, or None where no further HDU follows."""
    block = stream.read(BLOCK)
    start = b"XTENSION" if index else b"SIMPLE  ="
    if not block.startswith(start):
        if index:  # end of the file, or special records, which the standard lets one ignore
            return None
        raise InputError(
            path, f"not a FITS file: it begins with {block[:9]!r}", "Give FITS files only"
        )
    blocks = bytearray()
    while len(block) == BLOCK and len(blocks) < _MAX_HEADER:
        blocks += block
        if any(block[i : i + CARD] == _END for i in range(0, BLOCK, CARD)):
            return bytes(blocks)
        block = stream.read(BLOCK)
    raise InputError(path, f"truncated: the header of HDU {index} has no END card", _AGAIN)


def _parse(path: Path, raw: bytes, index: int, data_start: int) -> Hdu:
    from astropy.io.fits import Header, VerifyError

    # Non-ASCII bytes break the rules but occur in names of observers: keep the rest readable.
    header = Header.fromstring(re.sub(rb"[^\x20-\x7e]", b"?", raw))
    try:
        data_bytes = _data_bytes(header)
        kind = _kind(header, data_bytes)
        shape = _shape(header, kind)
        name = str(card(header, "EXTNAME") or "").strip()
    except (KeyError, TypeError, ValueError, VerifyError) as fault:
        problem = f"the header of HDU {index} lacks a mandatory card or has a broken one ({fault})"
        raise InputError(path, problem, "Correct the header, or take the file away") from None
    return Hdu(index, name, kind, shape, header, data_start, data_bytes)


def _kind(header: Header, data_bytes: int) -> str:
    if header.get("XTENSION", "IMAGE").strip() != "IMAGE":
        return "compressed image" if header.get("ZIMAGE") else "table"
    return "image" if data_bytes else "empty"


def _shape(header: Header, kind: str) -> tuple[int, ...]:
    if kind not in {"image", "compressed image"}:
        return ()
    z = "Z" if kind == "compressed image" else ""
    axes = range(int(header[f"{z}NAXIS"]), 0, -1)
    return tuple(int(header[f"{z}NAXIS{axis}"]) for axis in axes)


def _data_bytes(header: Header) -> int:
    """Length of the data unit in bytes, FITS standard 4.0 equations 1 and 2."""
    axes = [int(header[f"NAXIS{i}"]) for i in range(1, int(header["NAXIS"]) + 1)]
    if axes and axes[0] == 0:  # random groups, equation 4
        axes = axes[1:] if header.get("GROUPS") else [0]
    pixels = math.prod(axes) if axes else 0
    groups, heap = int(header.get("GCOUNT", 1)), int(header.get("PCOUNT", 0))
    return abs(int(header["BITPIX"])) // 8 * groups * (heap + pixels)
