"""Raw frames: FITS plain, .gz, .bz2 or tile-compressed, as float32 arrays.

Pixels come as they were recorded, in the file's unit: scaled by BSCALE and BZERO (which is how
FITS stores unsigned integers), blanks as NaN, and nothing else.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from drpflow.errors import InputError
from drpflow.io.headers import FileHeaders, Hdu, card, read_headers

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from numpy.typing import NDArray

    from drpflow.data.camera import Detector

HeaderCards = Mapping[str, "str | int | float | bool"]

# Cards that describe how the file stores the array, not the exposure.
_STRUCTURAL = re.compile(
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|[PG]COUNT|T(FIELDS|TYPE\d+|FORM\d+|HEAP)|EXTEND|INHERIT"
    r"|BSCALE|BZERO|BLANK|Z?(CHECKSUM|DATASUM|SIMPLE|EXTEND|TENSION|PCOUNT|GCOUNT|BITPIX|BLANK)"
    r"|Z(IMAGE|CMPTYPE|NAXIS\d*|TILE\d+|NAME\d+|VAL\d+|QUANTIZ|DITHER0)|COMMENT|HISTORY|"
)
# Rows that are scaled at once: float64 temporaries stay below a few MB.
_ROWS: Final = 128
_AGAIN = "Copy or download the file again"


@dataclass(frozen=True)
class RawFrame:
    """The pixels of one detector as the file holds them.

    Parameters
    ----------
    data
        float32, shape (ny, nx), in the file's unit; or one such array for each amplifier, by
        name, where every amplifier has an HDU of its own.
    header
        Cards of the primary header overlaid by those of the image's own; structural cards,
        comments and history are left out.
    """

    data: NDArray[np.float32] | dict[str, NDArray[np.float32]]
    header: HeaderCards


def read_raw(
    path: str | Path,
    hdu: int | str = 0,
    *,
    amplifier_hdus: Mapping[str, int | str] | None = None,
) -> RawFrame:
    """Read a raw frame.

    Parameters
    ----------
    path
        FITS file: plain, gzip, bzip2 or tile-compressed.
    hdu
        Index or ``EXTNAME`` of the image. A tile-compressed image that stands behind an empty
        primary HDU is also found as HDU 0.
    amplifier_hdus
        HDU of each amplifier, by name, where each has its own; `hdu` is then not used.

    Raises
    ------
    InputError
        If the file is absent, unreadable or truncated, or if the HDU is absent, empty, no
        two-dimensional image, or without a single finite pixel.

    Notes
    -----
    Peak memory is the file's own array plus the float32 result: 96 MB for 4096² 16-bit pixels.
    """
    path = Path(path)
    # A first HDU that is the frame needs no look at what follows: matters in .gz and .bz2.
    headers = read_headers(path, all_hdus=hdu != 0 or amplifier_hdus is not None)
    if amplifier_hdus is None:
        wanted = {"": _image_hdu(headers, hdu)}
    else:
        wanted = {name: _image_hdu(headers, item) for name, item in amplifier_hdus.items()}
    arrays = _read_arrays(path, wanted)
    first = next(iter(wanted.values()))
    cards = MappingProxyType(_cards(headers.primary) | _cards(first.header))
    return RawFrame(arrays[""] if amplifier_hdus is None else arrays, cards)


def read_detector(path: str | Path, hdu: int | str, detector: Detector) -> RawFrame:
    """Read the raw frame of a detector, whichever way its amplifiers are laid out.

    Parameters
    ----------
    path, hdu
        As in the exposure sheet.
    detector
        The camera's description of it. If its amplifiers state `raw_hdu`, the frame's data are
        one array per amplifier.

    Raises
    ------
    InputError
        As :func:`read_raw`.
    """
    own = {amp.name: amp.raw_hdu for amp in detector.amplifiers if amp.raw_hdu is not None}
    return read_raw(path, hdu, amplifier_hdus=own or None)


def _image_hdu(headers: FileHeaders, hdu: int | str) -> Hdu:
    found = headers.find(hdu)
    if found.kind == "empty" and found.index == 0 and hdu == 0 and len(headers.hdus) > 1:
        found = headers.hdus[1] if headers.hdus[1].kind == "compressed image" else found
    if not found.is_frame:
        images = ", ".join(item.describe() for item in headers.frames()) or "none"
        raise InputError(
            headers.path,
            f"{found.describe()} is no two-dimensional image",
            f"Name an HDU that is; here: {images}",
        )
    return found


def _read_arrays(path: Path, wanted: Mapping[str, Hdu]) -> dict[str, NDArray[np.float32]]:
    from astropy.io import fits

    try:
        with fits.open(
            path, memmap=False, do_not_scale_image_data=True, output_verify="ignore"
        ) as file:
            arrays = {
                name: _scale(file[hdu.index].data, hdu.header) for name, hdu in wanted.items()
            }
    except (OSError, EOFError, zlib.error, ValueError, TypeError) as fault:
        problem = f"the image data cannot be read ({fault})"
        raise InputError(path, problem, _AGAIN) from None
    for name, array in arrays.items():
        if not np.isfinite(array).any():
            raise InputError(
                path,
                f"{wanted[name].describe()} has no finite pixel",
                "Take the frame out of the exposure sheet, or replace the file",
            )
    return arrays


def _scale(raw: NDArray[Any], header: Header) -> NDArray[np.float32]:
    """Return ``raw · BSCALE + BZERO`` as float32, with blank integers as NaN.

    Computed in float64 by blocks of rows, since 32-bit integers exceed float32's 24 bits.
    """
    scale = float(card(header, "BSCALE") or 1.0)
    zero = float(card(header, "BZERO") or 0.0)
    integer = raw.dtype.kind in "iu"
    blank = card(header, "ZBLANK" if "ZIMAGE" in header else "BLANK") if integer else None
    if not integer and (scale, zero) == (1.0, 0.0):
        return raw.astype(np.float32)
    out = np.empty(raw.shape, np.float32)
    for y0 in range(0, raw.shape[0], _ROWS):
        rows = raw[y0 : y0 + _ROWS]
        out[y0 : y0 + _ROWS] = rows * np.float64(scale) + zero
        if blank is not None:
            out[y0 : y0 + _ROWS][rows == blank] = np.nan
    return out


def _cards(header: Header) -> dict[str, str | int | float | bool]:
    cards: dict[str, str | int | float | bool] = {}
    for key in header:
        if _STRUCTURAL.fullmatch(key):
            continue
        try:
            value = card(header, key)
        except ValueError:
            continue  # a broken card that nobody asks for harms nobody
        if isinstance(value, str | int | float | bool):
            cards[key] = value.strip() if isinstance(value, str) else value
    return cards
