"""Catalogues of bright objects: region files of DS9 with circles and boxes in degrees."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from drpflow.data.bright_objects import BrightObject
from drpflow.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

_SHAPE = re.compile(r"^\s*(?:(?:fk5|icrs)\s*;\s*)?(circle|box)\s*\(([^)]*)\)", re.IGNORECASE)
_ARGUMENTS = {"circle": (3, 3), "box": (4, 5)}
_UNITS = {"d": 1.0, "'": 1 / 60, '"': 1 / 3600}
_REMEDY = "Lines are circle(ra, dec, radius) or box(ra, dec, width, height, angle), degrees"
_SKIPPED = ("#", "global", "fk5", "icrs", "tract", "patch", "filter")


def read_bright_objects(path: Path) -> tuple[BrightObject, ...]:
    """Return the objects of a region file.

    Lines are ``circle(ra, dec, radius)`` and ``box(ra, dec, width, height, angle)`` in degrees,
    ICRS (fk5 is taken for it); sizes may have a unit: d, ' or ". What follows a shape, comments,
    and lines that begin with ``global``, ``fk5`` or ``icrs`` are passed over.

    Raises
    ------
    InputError
        If the file cannot be read, or a line is none of these, with its number.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"it cannot be read ({error})", "Give a region file") from error
    found = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        match = _SHAPE.match(text)
        if match:
            found.append(_object(path, number, match[1].lower(), match[2]))
        elif text and not text.lower().startswith(_SKIPPED):
            raise InputError(path, f"line {number} is {text!r}", _REMEDY)
    return tuple(found)


def _object(path: Path, number: int, shape: str, arguments: str) -> BrightObject:
    """Return the object of one line."""
    words = [word.strip() for word in re.split(r"[,\s]+", arguments.strip()) if word.strip()]
    low, high = _ARGUMENTS[shape]
    if not low <= len(words) <= high:
        raise InputError(path, f"line {number}: a {shape} has {low} to {high} numbers", _REMEDY)
    try:
        values = [_degrees(word) for word in words]
        if shape == "circle":
            return BrightObject.circle(*values)
        ra, dec, width, height, angle = (*values, 0.0)[:5]
        return BrightObject(ra, dec, width, height, angle)
    except ValueError as error:
        raise InputError(path, f"line {number}: {error}", _REMEDY) from None


def _degrees(word: str) -> float:
    unit = _UNITS.get(word[-1])
    return float(word) if unit is None else float(word[:-1]) * unit
