"""Coverage maps in files, as the IVOA Recommendation *MOC* 2.0 lays them down (section 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.data.moc import Moc
from drpflow.errors import InputError
from drpflow.io.atomic import atomic_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def write_moc(path: Path, moc: Moc, cards: Mapping[str, tuple[str | int, str]]) -> None:
    """Write a map as FITS, atomically. Aladin, TOPCAT and mocpy read it.

    Parameters
    ----------
    path
        The file.
    moc
        The map.
    cards
        Values and comments of further header cards.
    """
    from astropy.io import fits

    column = fits.Column(name="UNIQ", format="1K", array=moc.to_uniq())
    table = fits.BinTableHDU.from_columns([column], name="MOC")
    header = table.header
    header["PIXTYPE"] = ("HEALPIX", "HEALPix magic code")
    header["ORDERING"] = ("NUNIQ", "NUNIQ coding method")
    header["COORDSYS"] = ("C", "ICRS")
    header["MOCVERS"] = ("2.0", "MOC version")
    header["MOCDIM"] = ("SPACE", "physical dimension")
    header["MOCORD_S"] = (moc.order, "finest order of the map")
    header["MOCORDER"] = (moc.order, "the same, for readers of MOC 1.1")
    header["MOCTOOL"] = ("drpflow", "what made it")
    for name, (value, comment) in cards.items():
        header[name] = (value, comment)
    with atomic_path(path) as temporary:
        fits.HDUList([fits.PrimaryHDU(), table]).writeto(temporary)


def read_moc(path: Path) -> Moc:
    """Read a map of the sky from FITS.

    Raises
    ------
    InputError
        If the file holds none.
    """
    from astropy.io import fits

    try:
        with fits.open(path) as hdus:
            header, numbers = hdus[1].header, np.asarray(hdus[1].data["UNIQ"], np.int64)
        return Moc.from_uniq(int(header["MOCORD_S"]), numbers)
    except (OSError, KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(path, f"it holds no coverage map ({error})", "Make it again") from error
