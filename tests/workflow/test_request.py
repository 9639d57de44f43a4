"""The snakemake command that drpflow run stands for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from drpflow import paths
from drpflow.errors import InputError
from drpflow.workflow.runner import Request, full_disk, last_lines


def test_in_a_checkout_it_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(paths.share_root())
    assert Request(cores=8).command() == ["snakemake", "--cores", "8"]


def test_elsewhere_it_names_the_snakefile(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    words = Request(config=Path("my.yaml"), targets=("prompt",), extra=("-n",)).command()
    snakefile = str(paths.snakefile())
    assert words == (
        f"snakemake prompt --cores 1 --snakefile {snakefile} --configfile my.yaml -n".split()
    )


def test_a_cluster_profile_says_how_many_jobs() -> None:
    words = Request(cores=None, profile="slurm").command()
    assert "--cores" not in words
    assert words[-2:] == ["--workflow-profile", str(paths.share_root() / "profiles/slurm")]
    with pytest.raises(InputError, match="there is no profile 'slrum'"):
        Request(profile="slrum").command()


def test_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"1\n2\n\xff3\n")
    assert last_lines(log, 2) == ["2", "\ufffd3"]
    assert last_lines(tmp_path / "none.log") == []


def test_a_disk_too_full_for_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert full_disk(tmp_path) == []
    assert full_disk(tmp_path / "none") == []
    full = SimpleNamespace(free=4096)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: full)
    (said,) = full_disk(tmp_path)
    assert said == f"{tmp_path}: No space left on device. Free some space, and run again."
