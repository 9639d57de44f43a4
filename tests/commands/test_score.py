"""drpflow score, by the command line, and the scoreboard in the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drpflow.cli import main
from drpflow.io.store import Store
from drpflow.qa.page import render
from drpflow.qa.truth_section import truth_section
from tests.qa.photometric_run import columns_of, put
from tests.qa.truth.small_truth import DETECTOR, VISIT, write_truth

FAINT_MMAG = 4.0


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A survey with final sources that are too faint by a few mmag."""
    folder = tmp_path_factory.mktemp("survey")
    true = write_truth(folder / "truth")
    store = Store(folder / "results")
    rng = np.random.default_rng(2)
    number = true["x"].size
    njy = 10 ** (0.4 * (31.4 - true["mag"]))
    flux = njy * 10 ** (-0.4e-3 * FAINT_MMAG) * (1 + rng.normal(size=number) / true["snr"])
    given: dict[str, Any] = {
        "visit": VISIT, "detector": DETECTOR, "sourceId": np.arange(number), "x": true["x"],
        "y": true["y"], "xErr": 0.1, "yErr": 0.1, "ra": true["ra"], "dec": true["dec"],
        "psfFlux": flux, "psfFluxErr": njy / true["snr"], "calibFlux": flux,
        "detect_isPrimary": True, "extendedness": (true["kind"] == 1).astype(float), "band": "r",
    }  # fmt: skip
    put(store, "source", columns_of("source", number, **given), visit=VISIT)
    return folder


@pytest.fixture(scope="module")
def printed(survey: Path) -> str:
    import contextlib
    import io

    from drpflow.commands import output

    text = io.StringIO()
    output.console.cache_clear()
    with contextlib.redirect_stdout(text):
        code = main(["score", str(survey / "truth"), "--results", str(survey / "results")])
    output.console.cache_clear()
    assert code == 0
    return text.getvalue()


def test_table_is_printed(printed: str) -> None:
    assert "PSF flux of bright stars against truth, median" in printed
    assert "figures are as asked" in printed


def test_table_is_written(survey: Path, printed: str) -> None:
    store = Store(survey / "results")
    table = store.get("truth_scores")
    assert table.descriptions["least"]
    row = table["metric"].tolist().index("PSF flux of bright stars against truth, median")
    assert table["value"][row] == pytest.approx(FAINT_MMAG, abs=1.5)
    assert table["low"][row] <= table["value"][row] <= table["high"][row]
    assert (table["stage"][row], table["verdict"][row][:2]) == ("finalizeImage", "no")
    sheet = store.path("truth_scores").with_suffix(".tsv").read_text().splitlines()
    assert sheet[0].split("\t")[:4] == ["stage", "metric", "unit", "value"]
    assert len(sheet) == len(table) + 1


def test_report_shows_it(survey: Path, printed: str) -> None:
    store = Store(survey / "results")
    section = truth_section(store)
    assert section is not None
    assert [b.title for b in section.blocks] == ["finalizeImage"]
    page = render("t", "s", [section], "f")
    assert '<tr class="good">' in page
    assert '<tr class="bad">' in page
    assert "drpflow score" not in section.note
    later = store.table.status_path(store.roots[0], "finalizeImage", visit=VISIT, detector=0)
    later.parent.mkdir(parents=True)
    later.write_text("{}")
    again = truth_section(store)
    assert again is not None
    assert "ended after it was made: 1" in again.note


def test_the_table_is_not_lost_to_its_sheet(
    survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(survey / "truth"), "--results", str(survey / "results")]
    assert main(["score", *given, "--output", str(tmp_path / "scores.tsv")]) == 2
    assert ".parquet" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_without_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(tmp_path), "--results", str(tmp_path)]) == 2
    assert "no truth of a simulated survey" in capsys.readouterr().err
    assert truth_section(Store(tmp_path)) is None
