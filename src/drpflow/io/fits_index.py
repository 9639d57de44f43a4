"""Where each HDU of a FITS file lies, found without reading any data.

astropy finds an HDU by walking through those before it, on every open. The index walks once,
reads headers only and seeks over the data, so that a component behind 200 MB of pixels costs
milliseconds. It also knows where the file ends, and so which HDU a truncated file has lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

from drpflow.errors import InputError, suggest
from drpflow.io.cache import Signature

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from drpflow.data.geometry import Box

BLOCK = 2880
"""Everything in a FITS file comes in blocks of this many bytes."""
_REMEDY = "Make it again; if it was copied, copy it again"


@dataclass(frozen=True)
class HduEntry:
    """One HDU: its header, and where it lies (bytes)."""

    name: str
    header: fits.Header
    start: int
    data_start: int
    data_size: int

    @property
    def is_compressed(self) -> bool:
        """Whether it is an image in the tiles of a binary table."""
        return bool(self.header.get("ZIMAGE", False))

    @property
    def end(self) -> int:
        """Where its data, filled up to whole blocks, end."""
        return self.data_start + math.ceil(self.data_size / BLOCK) * BLOCK


class FitsIndex:
    """The HDUs of a file.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    MissingDatasetError
        If it does not exist.
    InputError
        If it is no FITS file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.signature = Signature.of(path)
        entries = _scan(path, self.signature.size)
        self.primary = entries[0]
        self.entries = {entry.name: entry for entry in entries[1:]}

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def entry(self, name: str) -> HduEntry:
        """Return an HDU whose data can be read.

        Raises
        ------
        InputError
            If there is none of that name, the file ends within it, or the file has been
            replaced since.
        """
        if name not in self.entries:
            hint = suggest(name, self.entries)
            raise InputError(self.path, f"it has no HDU {name}{hint}", _REMEDY)
        entry = self.entries[name]
        if entry.data_start + entry.data_size > self.signature.size:
            raise InputError(self.path, f"it ends within the HDU {name}", _REMEDY)
        if Signature.of(self.path) != self.signature:
            raise InputError(self.path, "it was replaced while it was in use", "Open it again")
        return entry

    def table(self, name: str) -> fits.BinTableHDU:
        """Return a binary table, read in whole.

        Raises
        ------
        InputError
            If there is none of that name, or it is no table.
        """
        entry = self.entry(name)
        if entry.header.get("XTENSION") != "BINTABLE":
            raise InputError(self.path, f"its HDU {name} is no table", _REMEDY)
        with self.path.open("rb") as file:
            file.seek(entry.start)
            raw = file.read(entry.end - entry.start)
        return fits.BinTableHDU.fromstring(raw)

    def pixels(self, name: str, box: Box) -> NDArray[np.generic]:
        """Return a part of an image, in native byte order, reading no more than it must.

        Parameters
        ----------
        name
            Name of the HDU.
        box
            Half-open box in array indices, first pixel (0, 0).
        """
        entry = self.entry(name)
        window = box.slices()
        if entry.is_compressed:
            with fits.open(self.path, memmap=False) as hdus:
                values = np.asarray(hdus[name].section[window])
        else:
            values = self._plain(entry)[window]
        return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))

    def _plain(self, entry: HduEntry) -> NDArray[np.generic]:
        """Return an uncompressed image as a memory map."""
        header = entry.header
        dtype = np.dtype(fits.BITPIX2DTYPE[header["BITPIX"]]).newbyteorder(">")
        shape = (header["NAXIS2"], header["NAXIS1"])
        return np.memmap(self.path, dtype, mode="r", offset=entry.data_start, shape=shape)


def _scan(path: Path, size: int) -> list[HduEntry]:
    entries: list[HduEntry] = []
    with path.open("rb") as file:
        position = 0
        while position < size:
            file.seek(position)
            try:
                header = fits.Header.fromfile(file, endcard=True, padding=True)
            except Exception as error:
                if entries:  # the file ends within a header; what stands before it is good
                    break
                raise InputError(path, f"it is no FITS file ({error})", _REMEDY) from error
            start, position = position, file.tell()
            count = _data_size(header)
            name = str(header.get("EXTNAME", "PRIMARY" if not entries else len(entries)))
            entries.append(HduEntry(name, header, start, position, count))
            position = entries[-1].end
    if not entries:
        raise InputError(path, "it is empty", _REMEDY)
    return entries


def _data_size(header: fits.Header) -> int:
    """Return the bytes of an HDU's data (FITS Standard 4.0, equation 2)."""
    axes = [int(header[f"NAXIS{i}"]) for i in range(1, int(header["NAXIS"]) + 1)]
    if not axes:
        return 0
    elements = int(header.get("PCOUNT", 0)) + math.prod(axes)
    return abs(int(header["BITPIX"])) // 8 * int(header.get("GCOUNT", 1)) * elements
