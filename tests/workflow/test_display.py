"""Progress for people who look at a log file, and for those at a terminal."""

from __future__ import annotations

import io

import pytest

from drpflow.workflow import display


def test_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "LINE_INTERVAL_S", 0.0)
    stream = io.StringIO()
    lines = display.make_display(stream)
    lines.planned({"isr": 2, "makeVisitInfo": 1, "all": 1})
    for rule in ("makeVisitInfo", "isr", "all"):
        lines.started(rule)
        lines.finished(rule)
    lines.close()
    text = stream.getvalue().splitlines()
    assert text[0] == "3 jobs: isr 2, makeVisitInfo 1"
    assert text[1].startswith("1/3, ")
    assert text[2].startswith("2/3, ")
    assert text[2].endswith(": isr 1/2, makeVisitInfo 1/1")
    assert "left" in text[2]


def test_time_left_goes_by_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten short jobs are done, two at a time; of two long ones, the first tells the other."""
    now = [0.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    forecast = display.Forecast({"isr": 10, "makeWarp": 2})
    assert forecast.left_s() is None
    for _ in range(5):
        for _ in range(2):
            forecast.started("isr")
        now[0] += 3.0
        for _ in range(2):
            forecast.finished("isr")
    assert forecast.left_s() == pytest.approx(2 * 3.0 / 2)  # as long as isr, two at a time
    forecast.started("makeWarp")
    now[0] += 60.0
    forecast.finished("makeWarp")
    busy_s, elapsed_s = 90.0, 75.0
    assert forecast.left_s() == pytest.approx(60.0 * elapsed_s / busy_s)
    forecast.finished("makeWarp")
    assert forecast.left_s() == 0.0


def test_quiet_between_intervals() -> None:
    stream = io.StringIO()
    lines = display.Lines(stream)
    lines.planned({"isr": 1000})
    for _ in range(999):
        lines.finished("isr")
    assert stream.getvalue().count("\n") == 1


def test_bars_take_the_same_calls(capsys: pytest.CaptureFixture[str]) -> None:
    bars = display.Bars()
    bars.planned({"isr": 2, "all": 1})
    bars.started("isr")
    bars.finished("isr")
    bars.finished("all")
    bars.say("a message with [brackets]")
    bars.close()
    text = capsys.readouterr().err
    assert "a message with [brackets]" in text
    assert "1/2" in text


def test_bars_with_nothing_to_do() -> None:
    bars = display.Bars()
    bars.planned({"all": 1})
    bars.finished("all")
    bars.close()
