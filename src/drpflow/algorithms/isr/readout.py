"""Where an amplifier's pixels are, and in which order they were read.

The steps before assembly work on each amplifier's pixels *in the order of readout*: row 0 is
the first row that was shifted into the serial register, column 0 the first pixel of a row that
reached the amplifier. Pixels of equal index were then read at the same moment in all
amplifiers, which is what crosstalk needs, and charge is deferred to the right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.data.camera import Amplifier, Detector, Section

    Raw = NDArray[np.float32] | Mapping[str, NDArray[np.float32]]


def raw_pixels(raw: Raw, amp: Amplifier) -> NDArray[np.float32]:
    """Return the raw array that holds an amplifier.

    Parameters
    ----------
    raw
        One array of all amplifiers, or an array for each amplifier's name.
    amp
        The amplifier.
    """
    return raw if isinstance(raw, np.ndarray) else raw[amp.name]


def is_mirrored(amp: Amplifier) -> tuple[bool, bool]:
    """Return whether raw columns, and raw rows, run against the order of readout.

    Overscan is read after the pixels: where it lies before them in the raw array, the array
    is mirrored.
    """
    x0, _, y0, _ = amp.raw_data_section
    serial, parallel = amp.raw_serial_overscan, amp.raw_parallel_overscan
    return serial is not None and serial[0] < x0, parallel is not None and parallel[2] < y0


def cells_before(amp: Amplifier, detector: Detector) -> int:
    """Return how many cells of the serial register are read before an amplifier's first pixel.

    That is the serial prescan: the raw columns between the pixels and whatever else there is on
    the side of the register's end, or the end of the array.
    """
    x0, x1, y0, y1 = amp.raw_data_section
    sections = [
        section
        for other in detector.amplifiers
        for section in (other.raw_data_section, other.raw_serial_overscan)
        if section and other.raw_hdu == amp.raw_hdu and section[2] < y1 and section[3] > y0
    ]
    if not is_mirrored(amp)[0]:
        return x0 - max((s[1] for s in sections if s[1] <= x0), default=0)
    width = detector.raw_size_pix[0] if detector.raw_size_pix else x1
    return min((s[0] for s in sections if s[0] >= x1), default=width) - x1


def raw_section(raw: Raw, amp: Amplifier, section: Section) -> NDArray[np.float32]:
    """Return a view of a raw section in the order of readout."""
    x0, x1, y0, y1 = section
    return _mirror(raw_pixels(raw, amp)[y0:y1, x0:x1], *is_mirrored(amp))


def detector_section(image: NDArray, amp: Amplifier) -> NDArray:
    """Return a view of an amplifier's part of an assembled image in the order of readout."""
    x0, x1, y0, y1 = amp.data_section
    mirror_x, mirror_y = is_mirrored(amp)
    return _mirror(image[y0:y1, x0:x1], mirror_x != amp.flip_x, mirror_y != amp.flip_y)


def serial_overscan(raw: Raw, amp: Amplifier, rows: tuple[int, int]) -> NDArray[np.float32] | None:
    """Return the serial overscan of some rows, in the order of readout.

    Parameters
    ----------
    raw, amp
        The frame and the amplifier.
    rows
        First raw row and the one after the last.

    Returns
    -------
    ndarray, shape (rows, columns), float32 or None
        NaN in rows that the overscan section does not cover; None without such a section.
    """
    if amp.raw_serial_overscan is None:
        return None
    x0, x1, y0, y1 = amp.raw_serial_overscan
    pixels = np.full((rows[1] - rows[0], x1 - x0), np.nan, np.float32)
    low, high = max(y0, rows[0]), min(y1, rows[1])
    if low < high:
        pixels[low - rows[0] : high - rows[0]] = raw_pixels(raw, amp)[low:high, x0:x1]
    return _mirror(pixels, *is_mirrored(amp))


def _mirror(view: NDArray, x: bool, y: bool) -> NDArray:
    return view[:: -1 if y else 1, :: -1 if x else 1]
