"""Units of pixels in the spellings that headers have."""

from __future__ import annotations

import pytest

from drpflow.io.units import normalize_unit


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("adu", "adu"), ("ADU", "adu"), ("ADUs", "adu"), ("DNs", "adu"), ("counts ", "adu"),
        ("e-", "electron"), ("electrons", "electron"), ("nanomaggy", "nanomaggy"), ("nJy", "nJy"),
        ("counts/s", "adu s-1"), ("e-/sec", "electron s-1"), ("electron s-1", "electron s-1"),
        ("ADU s^-1", "adu s-1"), ("adu / s", "adu s-1"),
        ("Jy/beam", None), ("", None), ("furlong", None),
    ],
)  # fmt: skip
def test_spellings(text: str, unit: str | None) -> None:
    assert normalize_unit(text) == unit
