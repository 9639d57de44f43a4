"""The mask planes that parameters may name."""

from __future__ import annotations

from typing import Literal, TypeAlias

MaskPlane: TypeAlias = Literal[
    "BAD",
    "SAT",
    "INTRP",
    "CR",
    "EDGE",
    "SUSPECT",
    "NO_DATA",
    "SPIKE",
    "STREAK",
    "BRIGHT_OBJECT",
    "CROSSTALK",
    "VIGNETTED",
]
