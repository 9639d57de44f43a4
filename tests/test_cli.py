"""The command line: names, help, errors, and that it loads no more than it needs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import drpflow
from drpflow import cli
from drpflow.errors import InputError


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "drpflow.cli", *words], capture_output=True, text=True, check=False
    )


def test_overview_names_every_command_with_its_summary(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    for name in cli.commands():
        assert re.search(rf"^  {name} +\S.*\.$", text, re.MULTILINE), name


def test_every_module_is_a_command() -> None:
    folder = Path(drpflow.__file__).parent / "commands"
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "output"}
    assert modules == {name.replace("-", "_") for name in cli.commands()}


@pytest.mark.parametrize("name", cli.commands())
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([name, "--help"])
    assert end.value.code == 0
    assert f"usage: drpflow {name}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"drpflow {drpflow.__version__}\n"


def test_misspelt_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["stauts"]) == 2
    error = capsys.readouterr().err
    assert error == "drpflow: there is no command 'stauts'; did you mean 'status'?\n"


def test_user_faults_are_one_sentence(tmp_path: Path) -> None:
    result = run("run", "--directory", str(tmp_path))
    assert result.returncode == 2
    assert "config/config.yaml: the config file does not exist. Name one" in result.stderr
    assert "Traceback" not in result.stderr


def test_extra_words_are_refused_where_nothing_takes_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["datasets", "--", "--dry-run"])
    assert "nothing may follow --" in capsys.readouterr().err


def test_interruption(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(args: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("drpflow.commands.datasets.run", interrupted)
    assert cli.main(["datasets"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_defects_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(args: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("drpflow.commands.datasets.run", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(["datasets"])


def test_input_error_has_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def faulty(args: object) -> int:
        raise InputError("a.fits", "it is empty", "copy it again")

    monkeypatch.setattr("drpflow.commands.datasets.run", faulty)
    assert cli.main(["datasets"]) == 2
    assert capsys.readouterr().err == "drpflow datasets: a.fits: it is empty. copy it again.\n"


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; from drpflow.cli import main; main(['--help']); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"numpy", "pydantic", "yaml", "rich", "astropy", "snakemake"} & set(loaded)


def test_whoever_reads_only_the_beginning_is_told() -> None:
    """As by other programs: under `set -o pipefail`, a run that was cut off is no success."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "drpflow.cli", "--help"]
    result = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (result.returncode, result.stderr) == (141, "")


def test_closed_pipe_is_no_error() -> None:
    for words in ("datasets", "--help"):
        command = f"{sys.executable} -m drpflow.cli {words} | true"
        result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
        assert result.stderr == ""
