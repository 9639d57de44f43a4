"""Region files of bright objects."""

from __future__ import annotations

from pathlib import Path

import pytest

from drpflow.errors import InputError
from drpflow.io.bright_objects import read_bright_objects

REGIONS = """\
# Region file format: DS9
# producer: someone
tract: 3
global color=green width=1
fk5
circle(150.10, -12.25, 0.01d) # ID: 1, mag: 8.2
circle(150.2,-12.3,36")
icrs; box(150.3 -12.4 0.02 1.2' 45.0) # ID: 3
box(150.3, -12.4, 0.02d, 0.01d)
"""


def test_shapes_and_units(tmp_path: Path) -> None:
    path = tmp_path / "bright.reg"
    path.write_text(REGIONS)
    one, two, three, four = read_bright_objects(path)
    assert (one.ra_deg, one.dec_deg, one.height_deg) == (150.10, -12.25, 0.02)
    assert one.is_circle
    assert two.height_deg == pytest.approx(0.02)
    assert (three.width_deg, three.angle_deg) == (0.02, 45.0)
    assert three.height_deg == pytest.approx(0.02)
    assert four.angle_deg == 0.0


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("ellipse(1, 2, 3, 4)", "line 2"),
        ("circle(1, 2)", "line 2: a circle has 3"),
        ("circle(1, x, 3)", "line 2"),
        ("circle(1, 2, -3)", "line 2"),
    ],
)
def test_broken_lines_are_named(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "bright.reg"
    path.write_text(f"fk5\n{line}\n")
    with pytest.raises(InputError, match=says):
        read_bright_objects(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_bright_objects(tmp_path / "none.reg")
