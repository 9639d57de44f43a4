"""Progress of loops."""

from __future__ import annotations

import io

import pytest

from drpflow import progress


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
        (-1, "0 s"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert progress.duration(seconds) == text


def test_track_yields_all_and_tells_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.track(range(5), description="drawing")) == [0, 1, 2, 3, 4]
    assert capsys.readouterr().err == "drawing: 5 done in 0 s\n"


def test_track_takes_generators(capsys: pytest.CaptureFixture[str]) -> None:
    assert sum(progress.track((n for n in range(4)), total=4)) == 6
    assert "4 done" in capsys.readouterr().err


def test_lines_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_INTERVAL_S", 0.0)
    stream = io.StringIO()
    list(progress._lines(range(2), 2, "drawing", stream))
    first, second, _ = stream.getvalue().splitlines()
    assert first.startswith("drawing: 1/2, ")
    assert first.endswith(" left")
    assert second.startswith("drawing: 2/2, ")
    assert "left" not in second


def test_bar_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert list(progress.track([1, 2, 3], description="drawing")) == [1, 2, 3]
    assert "drawing" in capsys.readouterr().err


def test_pace_in_slow_and_fast_units(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 100.0, 100.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    pace = progress.Pace(10)
    assert pace.describe(5) == "5/10, 3 per min, 1 min 40 s left"
