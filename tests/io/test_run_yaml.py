"""Config files: what is refused before they are validated."""

from __future__ import annotations

from pathlib import Path

import pytest

from drpflow import paths
from drpflow.errors import InputError
from drpflow.io.run_yaml import load_run

LEAST = "camera: c.yaml\nsheets: sheets\n"


def refuse(path: Path, text: str, match: str) -> None:
    path.write_text(text)
    with pytest.raises(InputError, match=match) as error:
        load_run(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_read(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(LEAST + "visits: [3, 7-9]\n")
    assert load_run(path).visits == (3, "7-9")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the config file does not exist"):
        load_run(tmp_path / "none.yaml")


def test_no_yaml(tmp_path: Path) -> None:
    refuse(tmp_path / "my.yaml", "camera: c\nsheets: [a\nkeep: b\n", "line 3: no YAML")


def test_a_key_that_stands_twice(tmp_path: Path) -> None:
    refuse(tmp_path / "my.yaml", LEAST + "camera: d\n", "line 3: .*'camera' stands twice")


def test_faults_name_the_file(tmp_path: Path) -> None:
    refuse(tmp_path / "my.yaml", LEAST + "kep: []\n", "unknown key 'kep'; did you mean 'keep'")
    refuse(tmp_path / "my.yaml", "", "key 'camera' is missing")


def test_the_config_that_comes_along_is_good() -> None:
    run = load_run(paths.share_root() / "config" / "config.yaml")
    assert run.keep == ("post_isr_image",)
