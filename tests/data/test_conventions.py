"""docs/conventions.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from drpflow.data.mask import PLANES

PAGE = (Path(__file__).parents[2] / "docs" / "conventions.md").read_text()


def test_mask_planes_are_those_of_the_code() -> None:
    table = PAGE.split("## Mask planes")[1].split("## ")[0]
    rows = re.findall(r"^\| (\w+) \| (.+) \|$", table, re.MULTILINE)
    assert dict(rows[1:]) == dict(PLANES)
