"""Config files as they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from drpflow.errors import InputError
from drpflow.io.config_file import read_sections


def test_sections_are_read_without_being_validated(tmp_path: Path) -> None:
    assert read_sections(None) == {}
    path = tmp_path / "my.yaml"
    path.write_text("fgcm: {cycles: 3}\n")
    assert read_sections(path) == {"fgcm": {"cycles": 3}}
    path.write_text("")
    assert read_sections(path) == {}
    path.write_text("- fgcm\n")
    with pytest.raises(InputError, match="it holds no sections"):
        read_sections(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the config file does not exist"):
        read_sections(tmp_path / "none.yaml")


def test_no_yaml(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_bytes(b"fgcm: \xff\n")
    with pytest.raises(InputError, match=r"my\.yaml: it cannot be read"):
        read_sections(path)
    path.write_text("fgcm:\n  cycles: [3\n")
    with pytest.raises(InputError, match=r"line \d: no YAML"):
        read_sections(path)
