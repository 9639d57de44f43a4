"""Tables for other programs: FITS, VOTable, regions for DS9."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Final

import numpy as np

from drpflow.errors import InputError
from drpflow.io.atomic import atomic_path, write_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import astropy.table
    from numpy.typing import NDArray

    from drpflow.data.table import Table

# DS9 counts the centre of the first pixel (1, 1).
_FITS_ORIGIN: Final = 1
_IDENTIFIERS: Final = ("sourceId", "isolated_star_id", "match_id")
_FLAGS: Final = ("pixelFlags_bad", "pixelFlags_saturatedCenter", "psfFlux_flag", "centroid_flag")


def write_fits(path: Path, table: Table) -> None:
    """Write a binary table with units (TUNIT) and descriptions (TCOMM).

    astropy leaves out units that the FITS standard has no word for, such as those of calibrations
    (nJy / electron), and puts descriptions where it alone looks for them, into COMMENT cards. The
    cards that other programs read are added.
    """
    from astropy.io import fits

    converted = _to_astropy(table)
    with atomic_path(path) as temporary:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of units without a word, and long names of cards
            converted.write(temporary, format="fits", overwrite=True)
        with fits.open(temporary, mode="update") as hdus:
            header = hdus[1].header
            for number, name in enumerate(converted.colnames, 1):
                column = converted[name]
                for key, value in (("TCOMM", column.description), ("TUNIT", column.unit)):
                    if value is not None:
                        header.set(f"{key}{number}", str(value), after=f"TFORM{number}")


def write_votable(path: Path, table: Table) -> None:
    """Write a VOTable with units and descriptions."""
    with atomic_path(path) as temporary:
        _to_astropy(table).write(temporary, format="votable", overwrite=True)


def write_regions(path: Path, table: Table, radius_arcsec: float = 2.0) -> None:
    """Write a circle for each row that has a place; such with a flag are red.

    Parameters
    ----------
    path
        File to write.
    table
        A table with ``ra`` and ``dec``, or with ``x`` and ``y``, pixels from 0.
    radius_arcsec
        Radius on the sky; in an image without places on the sky as many pixels.

    Raises
    ------
    InputError
        If the table has neither.
    """
    if "ra" in table and "dec" in table:
        frame, first, second, origin, unit = "icrs", "ra", "dec", 0, '"'
    elif "x" in table and "y" in table:
        frame, first, second, origin, unit = "image", "x", "y", _FITS_ORIGIN, ""
    else:
        raise InputError(path, "the table has no places", "Take one with ra and dec, or x and y")
    a, b = np.asarray(table[first], float), np.asarray(table[second], float)
    texts, flagged = _labels(table), _flagged(table)
    lines = ["# Region file format: DS9", "global color=green width=1", frame]
    for row in np.flatnonzero(np.isfinite(a) & np.isfinite(b)):
        about = [f"text={{{texts[row]}}}"] if texts is not None else []
        about += ["color=red"] if flagged[row] else []
        comment = f" # {' '.join(about)}" if about else ""
        place = f"{a[row] + origin:.7f},{b[row] + origin:.7f}"
        lines.append(f"circle({place},{radius_arcsec:g}{unit}){comment}")
    write_text(path, "\n".join([*lines, ""]))


WRITERS: Final[dict[str, tuple[str, Callable[[Path, Table], None]]]] = {
    "fits": (".fits", write_fits),
    "votable": (".vot", write_votable),
    "ds9": (".reg", write_regions),
}
"""Suffix and writer of each format."""


def _to_astropy(table: Table) -> astropy.table.Table:
    """Return an astropy table without Python objects: texts have a width."""
    converted = table.to_astropy()
    for name in converted.colnames:
        if converted[name].dtype.kind == "O":
            converted[name] = converted[name].astype(str)
    converted.meta = {k: str(v) for k, v in converted.meta.items() if not isinstance(v, dict)}
    return converted


def _labels(table: Table) -> NDArray[np.int64] | None:
    name = next((name for name in _IDENTIFIERS if name in table), None)
    return None if name is None else table[name]


def _flagged(table: Table) -> NDArray[np.bool_]:
    bad = np.zeros(len(table), bool)
    for name in _FLAGS:
        if name in table:
            bad |= np.asarray(table[name], bool)
    return bad
