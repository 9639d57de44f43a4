"""Units of pixels and calibrations as headers spell them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from drpflow.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

_COUNTS: Final = "adu"
_NAMES: Final = {
    "adu": _COUNTS, "adus": _COUNTS, "dn": _COUNTS, "dns": _COUNTS, "ct": _COUNTS, "cts": _COUNTS,
    "count": _COUNTS, "counts": _COUNTS, "electron": "electron", "electrons": "electron",
    "e": "electron", "e-": "electron", "el": "electron", "photoelectron": "electron",
    "photoelectrons": "electron", "njy": "nJy", "nanomaggy": "nanomaggy",
    "nanomaggies": "nanomaggy", "nmgy": "nanomaggy", "mgy*1e-9": "nanomaggy",
}  # fmt: skip
# What only calibrations are in.
_OTHER: Final = {
    "electron-1": {"electron-1", "1/electron", "electron**-1", "electron^-1", "1/e"},
    "": {"1", "dimensionless"},
}
_PER_SECOND: Final = re.compile(r"\s*(?:/\s*(?:s|sec|second)|\s(?:s|sec)\s?(?:\^|\*\*)?-1)$")


def normalize_unit(text: str) -> str | None:
    """Return a unit of pixels in the spelling of camera files, or None if it is unknown.

    ``"ADUs"``, ``"DN"`` and ``"counts"`` are ``"adu"``; ``"e-/sec"`` is ``"electron s-1"``.
    """
    lower = text.strip().lower()
    base = _PER_SECOND.sub("", lower)
    name = _NAMES.get(base.strip())
    if name is None or base == lower:
        return name
    return f"{name} s-1"


def check_unit(stated: str | None, wanted: str, source: str | Path) -> None:
    """Check that what a header states means the unit wanted; nothing at all passes.

    Parameters
    ----------
    stated
        Value of the card, None if there is none.
    wanted
        A unit of pixels in the spelling of camera files, ``electron-1``, or empty.
    source
        The file, for the message.

    Raises
    ------
    InputError
        If it means another one.
    """
    text = str(stated or "").strip()
    if not text or (wanted and normalize_unit(text) == wanted):
        return
    if "".join(text.lower().split()) in _OTHER.get(wanted, ()):
        return
    raise InputError(
        source,
        f"the unit is {text!r} (BUNIT), not {wanted or '1'!r}",
        "Convert the pixels, or correct the card",
    )
