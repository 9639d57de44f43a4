"""Showing and checking the configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drpflow import cli
from tests.workflow.small_survey import SmallSurvey, camera_values


@pytest.fixture
def survey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallSurvey:
    survey = SmallSurvey(tmp_path, tmp_path)
    (tmp_path / "config").mkdir()
    survey.write_camera(camera_values())
    for detector in (0, 1):
        survey.write_calibrations(detector)
        survey.write_raw(11, detector)
    survey.write_sheets((11,))
    survey.write_config(isr={"seed": 5})
    monkeypatch.chdir(tmp_path)
    return survey


def test_check(survey: SmallSurvey, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "check"]) == 0
    assert capsys.readouterr().out == "config/config.yaml: good; 1 visits, 2 frames\n"


def test_check_names_faults_and_warns(
    survey: SmallSurvey, capsys: pytest.CaptureFixture[str]
) -> None:
    survey.raw_path(11, 1).unlink()
    assert cli.main(["config", "check"]) == 0
    text = capsys.readouterr().out
    assert "warning: sheets/exposures.tsv: raw/11_1.fits does not exist." in text
    assert "Cannot process 1 of the frames" in text
    survey.write_config(isr={"sead": 5})
    assert cli.main(["config", "check"]) == 2
    assert "unknown key 'isr.sead'; did you mean 'seed'?" in capsys.readouterr().err


def test_show_marks_what_is_set(survey: SmallSurvey, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "show", "isr"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "seed: 5  # set" in lines
    assert any(line.startswith("max_read_noise_electron: ") for line in lines)
    assert "overscan:" in lines
    assert cli.main(["config", "show"]) == 0
    assert "isr:\n" in capsys.readouterr().out
    assert cli.main(["config", "show", "irs"]) == 2
    assert "did you mean 'isr'" in capsys.readouterr().err


def test_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "schema"]) == 0
    assert "camera" in json.loads(capsys.readouterr().out)["properties"]


def test_directory(survey: SmallSurvey, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(Path("/"))
    assert cli.main(["config", "check", "--directory", str(survey.folder)]) == 0
    assert "1 visits, 2 frames" in capsys.readouterr().out
    assert cli.main(["config", "check", "--directory", "nowhere"]) == 2
    assert "there is no such folder" in capsys.readouterr().err
