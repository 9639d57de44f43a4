"""Where the workflow's files lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from drpflow import paths
from drpflow.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def test_share_root_holds_the_workflow() -> None:
    root = paths.share_root()
    assert (root / "config" / "datasets.yaml").is_file()
    assert paths.snakefile().parent == root
    assert (paths.profile() / "config.yaml").is_file()


@pytest.mark.parametrize(
    ("task", "file"), [("isr", "isr.py"), ("makeVisitInfo", "make_visit_info.py")]
)
def test_script_names(task: str, file: str) -> None:
    assert paths.script(task).name == file


def test_unknown_profile() -> None:
    with pytest.raises(InputError, match="did you mean 'slurm'"):
        paths.profile("slrum")


def test_unknown_camera_and_missing_file() -> None:
    with pytest.raises(InputError, match="no camera of this name"):
        paths.camera_file("nocam")
    with pytest.raises(InputError, match=r"x\.yaml: the camera file does not exist"):
        paths.camera_file("x.yaml")


def test_user_cache_obeys_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert paths.user_cache() == tmp_path / "drpflow"
