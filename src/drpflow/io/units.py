"""Units as headers spell them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drpflow.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

# Spellings, lower case and without blanks, of the units that drpflow meets.
_SPELLINGS = {
    "adu": {"adu", "adus", "count", "counts", "ct", "dn"},
    "electron": {"electron", "electrons", "e", "e-", "el"},
    "electron s-1": {"electrons-1", "electron/s", "electrons/s", "e/s", "e-/s", "es-1"},
    "electron-1": {"electron-1", "1/electron", "electron**-1", "electron^-1", "1/e"},
    "nJy": {"njy"},
    "nanomaggy": {"nanomaggy", "nanomaggie", "nanomaggies", "nmgy"},
    "": {"", "1", "dimensionless"},
}


def check_unit(stated: str | None, wanted: str, source: str | Path) -> None:
    """Check that a header's BUNIT means the unit wanted; none at all passes.

    Parameters
    ----------
    stated
        Value of the card, None if there is none.
    wanted
        One of ``adu``, ``electron``, ``electron s-1``, ``electron-1``, ``nJy``, ``nanomaggy``, or
        empty.
    source
        The file, for the message.

    Raises
    ------
    InputError
        If it means another one.
    """
    if stated is None or not str(stated).strip():
        return
    if "".join(str(stated).lower().split()) not in _SPELLINGS[wanted]:
        raise InputError(
            source,
            f"the unit is {str(stated).strip()!r} (BUNIT), not {wanted or '1'!r}",
            "Convert the pixels, or correct the card",
        )
