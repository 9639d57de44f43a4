"""Reading the table of what the air absorbs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drpflow.errors import InputError
from drpflow.io.absorption import absorption_file, read_absorption


def test_the_table_that_comes_with_drpflow() -> None:
    air = read_absorption()
    assert air.wavelength_nm[0] == 300.0
    assert air.wavelength_nm[-1] == 1100.0
    assert (np.diff(air.wavelength_nm) <= 2.0).all()
    clear = air.transmission(3.0, 263.0, 0.03, 1.0, 1.2, 740.0)
    assert 0.0 < clear.min() < clear.max() < 0.98


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("water_b", "water_d", "cannot be read ('water_b')"),
        ("\n500,", "\n900,", "the wavelengths do not rise"),
        ("\n500,", "\n500,x", "could not convert string to float"),
        ("\n500,", "\n500,-", "ozone must be finite, not negative"),
        ("\n500,", "\n500\n501,", "float() argument must be"),
    ],
)
def test_faults_are_told(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = tmp_path / "absorption.csv"
    path.write_text(changed(absorption_file().read_text(), old, new))
    with pytest.raises(InputError) as fault:
        read_absorption(path)
    assert words in str(fault.value)
    assert str(path) in str(fault.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_absorption(tmp_path / "none.csv")
