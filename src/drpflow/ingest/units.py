"""Units of pixels as headers write them."""

from __future__ import annotations

import re
from typing import Final

_COUNTS: Final = "adu"
_NAMES: Final = {
    "adu": _COUNTS, "adus": _COUNTS, "dn": _COUNTS, "dns": _COUNTS, "ct": _COUNTS, "cts": _COUNTS,
    "count": _COUNTS, "counts": _COUNTS, "electron": "electron", "electrons": "electron",
    "e": "electron", "e-": "electron", "el": "electron", "photoelectron": "electron",
    "photoelectrons": "electron", "njy": "nJy", "nanomaggy": "nanomaggy",
    "nanomaggies": "nanomaggy", "nmgy": "nanomaggy", "mgy*1e-9": "nanomaggy",
}  # fmt: skip
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
