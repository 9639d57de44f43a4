"""What drpflow status prints: a line a task, losses by visit, a line a visit on demand."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drpflow import cli
from drpflow.commands.status import bar_widths
from drpflow.io.atomic import write_json
from drpflow.io.datasets import DatasetTable
from drpflow.io.sheets import RejectedRow, write_sheet
from tests.workflow.small_survey import SmallSurvey, camera_values

VISITS = (11, 12, 13)


@pytest.fixture
def survey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallSurvey:
    survey = SmallSurvey(tmp_path, tmp_path)
    (tmp_path / "config").mkdir()
    survey.write_camera(camera_values())
    for detector in (0, 1):
        survey.write_calibrations(detector)
        for visit in VISITS:
            survey.write_raw(visit, detector)
    survey.write_sheets(VISITS)
    survey.write_config()
    monkeypatch.chdir(tmp_path)
    return survey


def end(task: str, outcome: str = "done", reason: str = "", **data_id: int) -> None:
    path = DatasetTable.load().status_path("results", task, **data_id)
    record = {"task": task, "data_id": data_id, "outcome": outcome, "reason": reason}
    write_json(path, record | {"numbers": {}, "hint": ""})


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    capsys.readouterr()
    code = cli.main(["status", *words])
    lines = (line.rstrip() for line in capsys.readouterr().out.splitlines())
    return code, "\n".join(lines)


def test_nothing_done(survey: SmallSurvey, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = shown(capsys)
    assert code == 1
    lines = text.splitlines()
    assert lines[0] == "0 of 3 visits are complete"
    (isr,) = [line for line in lines if line.startswith("isr ")]
    assert isr.split() == ["isr", "░" * 18, "0/6"]
    assert lines[-1] == "Not done yet: visits 11-13"


def test_every_task_has_a_line_of_80_columns(
    survey: SmallSurvey, capsys: pytest.CaptureFixture[str]
) -> None:
    end("finalizeCharacterization", "failed", "no star", visit=11)
    end("finalizeCharacterization", "partial", "one star", visit=12)
    lines = shown(capsys)[1].splitlines()
    table = lines[2 : lines.index("", 2)]
    assert {line.split()[0] for line in table} >= {"isr", "fgcm", "updateVisitSummary"}
    assert max(map(len, table)) <= 80
    (final,) = [line for line in table if line.startswith("finalizeCharacterization")]
    assert final.endswith("0/3  1 partial, 1 failed")
    assert {*final.split()[1]} == set("▓▒░")


def test_losses_by_visit_and_by_reason(
    survey: SmallSurvey, capsys: pytest.CaptureFixture[str]
) -> None:
    end("isr", visit=11, detector=0)
    end("isr", "failed", "the file is broken", visit=11, detector=1)
    end("calibrateImage", "partial", "3 stars", visit=12, detector=0)
    text = shown(capsys)[1]
    assert "Visits with losses (2):\n  11  isr 1 failed" in text
    assert "\n  12  calibrateImage 1 partial" in text
    assert "Lost (1):\n  isr visit=11, detector=1: the file is broken\n" in text


def test_a_line_a_visit(survey: SmallSurvey, capsys: pytest.CaptureFixture[str]) -> None:
    end("makeVisitInfo", visit=11)
    end("isr", visit=11, detector=0)
    end("isr", "failed", "broken", visit=12, detector=1)
    lines = shown(capsys, "--visits")[1].splitlines()
    rows = {line.split()[0]: line for line in lines if line.split()[:1] and line[:2].isdigit()}
    assert set(rows) == {"11", "12", "13"}
    assert rows["11"].endswith("at isr 1/2")
    assert rows["12"].endswith("isr 1 failed; at makeVisitInfo 0/1")
    assert rows["13"].endswith("at makeVisitInfo 0/1")
    assert not any(
        line.startswith("13 ") for line in shown(capsys, "--visits", "11-12")[1].splitlines()
    )


@pytest.mark.parametrize("words", ["eleven", "99"])
def test_visits_that_are_none(words: str, survey: SmallSurvey, capsys) -> None:
    assert cli.main(["status", "--visits", words]) == 2
    assert "--visits" in capsys.readouterr().err


@given(st.tuples(*[st.integers(0, 5000)] * 4), st.integers(4, 30))
def test_bars_are_full_and_forget_nothing(counts: tuple[int, ...], width: int) -> None:
    widths = bar_widths(counts, width)
    assert sum(widths) == (width if sum(counts) else 0)
    for count, given_width in zip(counts, widths, strict=True):
        assert (given_width > 0) == (count > 0)
        assert abs(given_width - width * count / max(sum(counts), 1)) <= 3


def test_files_that_ingest_did_not_take(
    survey: SmallSurvey, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Not taken" not in shown(capsys)[1]
    cut = [RejectedRow(f"raw/{k}.fits", 0, f"{k}00 of 500 bytes") for k in range(1, 4)]
    rows = [RejectedRow("raw/x.fits", 0, "its filter 'q' is unknown"), *cut]
    write_sheet(survey.folder / "sheets/rejected.tsv", RejectedRow, rows)
    text = shown(capsys)[1]
    listed = text[text.index("Not taken by ingest (4):") :].splitlines()
    assert listed[1:] == [
        "  raw/1.fits, raw/2.fits, raw/3.fits: 100 of 500 bytes",
        "  raw/x.fits: its filter 'q' is unknown",
    ]


def test_visits_that_coadds_may_miss(
    survey: SmallSurvey, capsys: pytest.CaptureFixture[str]
) -> None:
    for visit, offset in ((11, 1.0), (12, 30.2), (13, 55.0)):
        path = DatasetTable.load().status_path("results", "consolidateVisit", visit=visit)
        record = {"task": "consolidateVisit", "data_id": {"visit": visit}, "outcome": "done"}
        numbers = {"pointing_offset_arcsec": offset}
        write_json(path, record | {"reason": "", "numbers": numbers, "hint": ""})
    _, text = shown(capsys)
    assert "Far from the visit sheet (2):\n  visits 12-13: up to 55 arcsec; coadds are laid" in text
    assert "out for 7, and patches beyond lack these visits" in " ".join(text.split())
    assert "raise skyMap.margin_deg" in text
