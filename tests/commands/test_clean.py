"""drpflow clean: what it lists, what it removes, and what it never does."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from drpflow import cli
from drpflow.commands import clean
from drpflow.io.atomic import write_json
from drpflow.io.datasets import DatasetTable
from drpflow.workflow.owner import Owner, claim, release
from tests.workflow.small_survey import SmallSurvey, camera_values

VISITS = (11, 12)
TABLE = DatasetTable.load()


@pytest.fixture
def survey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallSurvey:
    """Two visits in the sheets, products of three, and raw frames below the output root."""
    survey = SmallSurvey(tmp_path, tmp_path)
    (tmp_path / "config").mkdir()
    survey.write_camera(camera_values())
    for detector in (0, 1):
        survey.write_calibrations(detector)
    for visit in (*VISITS, 13):
        for detector in (0, 1):
            survey.write_raw(visit, detector)
            product("initial_pvi", visit=visit, detector=detector, root=tmp_path)
            record("isr", visit=visit, detector=detector, root=tmp_path)
        product("fgcm_photo_calib", visit=visit, root=tmp_path)
    record("fgcm", root=tmp_path)
    product("initial_pvi", visit=13, detector=0, root=tmp_path)
    parts = tmp_path / "results/initial_pvi/visit=13/initial_pvi_13_0.parts"
    write(parts / "wcs.fits")
    product("isolated_stars", skypix=65875, root=tmp_path)
    product("isolated_stars", skypix=7, root=tmp_path)
    survey.write_sheets(VISITS)
    survey.write_config()
    monkeypatch.chdir(tmp_path)
    return survey


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")


def product(name: str, root: Path, **data_id: int) -> None:
    write(TABLE.path(root / "results", name, **data_id))


def record(task: str, root: Path, **data_id: int) -> None:
    status = TABLE.status_path(root / "results", task, **data_id)
    write(status)
    for folder, suffix in (("logs", ".log"), ("benchmarks", ".tsv")):
        path = root / "results" / folder / status.relative_to(root / "results/status")
        write(path.with_suffix(suffix))


def files(survey: SmallSurvey) -> set[str]:
    found = (path for path in survey.folder.rglob("*") if path.is_file())
    return {path.relative_to(survey.folder).as_posix() for path in found}


def cleaned(survey: SmallSurvey, *words: str) -> set[str]:
    before = files(survey)
    assert cli.main(["clean", *words, "--yes"]) == 0
    return before - files(survey)


def test_nobody_to_ask(survey: SmallSurvey, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(survey)
    assert cli.main(["clean", "products"]) == 2
    told = capsys.readouterr()
    assert "nobody can be asked. Add --yes" in told.err
    assert "$ snakemake all --delete-all-output" in told.out
    assert "fgcm_photo_calib 3, initial_pvi 7, isolated_stars 2, logs 7, status 7" in told.out
    assert files(survey) == before


def test_dropped_visits_and_pieces(survey: SmallSurvey) -> None:
    gone = cleaned(survey, "dropped")
    assert all("13" in name or "skypix=7/" in name for name in gone)
    left = files(survey)
    assert not [name for name in left if name.startswith("results") and "visit=13" in name]
    assert "results/isolated_stars/skypix=65875/isolated_stars.parquet" in left
    assert "results/status/fgcm/run.json" in left
    assert "results/initial_pvi/visit=12/initial_pvi_12_1.fits" in left
    assert "results/initial_pvi/visit=13/initial_pvi_13_0.parts/wcs.fits" in gone
    assert not (survey.folder / "results/initial_pvi/visit=13").exists()


def test_visits_that_the_config_leaves_out_stay(survey: SmallSurvey) -> None:
    survey.write_config(visits=[11])
    assert not [name for name in cleaned(survey, "dropped") if "visit=12" in name]


def test_strays_and_logs(survey: SmallSurvey) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    stray = f"results/initial_pvi/visit=11/.initial_pvi_11_0.fits.{ended.pid}.tmp"
    write(survey.folder / stray)
    (survey.folder / "results/status/isr/visit=11/detector=1.json").unlink()
    write(survey.folder / "results/logs/isr/visit=12.log")
    lost = {
        f"results/{f}/isr/visit=11/detector=1.{s}"
        for f, s in [("logs", "log"), ("benchmarks", "tsv")]
    }
    assert cleaned(survey, "strays", "logs") == {stray, *lost}


def test_raw_data_stay_wherever_they_are(survey: SmallSurvey) -> None:
    """Even in a folder of products."""
    sheet = survey.folder / "sheets/exposures.tsv"
    (survey.folder / "raw").rename(survey.folder / "results/initial_pvi/raw")
    sheet.write_text(sheet.read_text().replace("raw/", "results/initial_pvi/raw/"))
    cleaned(survey, "products")
    left = {name for name in files(survey) if name.startswith("results")}
    assert left == {f"results/initial_pvi/raw/{v}_{d}.fits" for v in VISITS for d in (0, 1)}


def test_not_while_a_run_is_alive(survey: SmallSurvey, capsys: pytest.CaptureFixture[str]) -> None:
    mine, _ = claim(survey.folder)
    try:
        assert cli.main(["clean", "products", "--yes"]) == 2
    finally:
        release(survey.folder, mine)
    assert "runs this workflow already" in capsys.readouterr().err


def test_not_under_a_run_that_began_while_it_asked(
    survey: SmallSurvey, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, owners = files(survey), []

    def answer(number: int) -> bool:
        owners.append(claim(survey.folder)[0])
        return True

    monkeypatch.setattr(clean, "_confirmed", answer)
    try:
        assert cli.main(["clean", "products"]) == 2
    finally:
        release(survey.folder, owners[0])
    assert "runs this workflow already" in capsys.readouterr().err
    assert before <= files(survey)


def test_a_run_on_another_machine(survey: SmallSurvey, capsys: pytest.CaptureFixture[str]) -> None:
    """Only what drpflow run has is advised."""
    note = survey.folder / ".snakemake/drpflow-owner.json"
    note.parent.mkdir(exist_ok=True)
    write_json(note, asdict(Owner("elsewhere", 7, 1.0, "marker")))
    assert cli.main(["clean", "products", "--yes"]) == 2
    told = capsys.readouterr().err
    assert "process 7 on elsewhere owns this run" in told
    assert "if it is dead, first say drpflow run --take-over -- --dry-run" in told
