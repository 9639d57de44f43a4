"""Ingest from folder to sheets: repeatable, additive, atomic, with an exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from drpflow.cli import main
from drpflow.errors import InputError
from drpflow.ingest.run import ingest
from drpflow.io.sheets import read_calibrations, read_exposures, read_rejected, read_visits
from tests.ingest.frames import CAMERA, camera, write_frame, write_visit
from tests.ingest.test_calibration_files import write_master

SHEETS = ("visits.tsv", "exposures.tsv", "calibrations.tsv", "rejected.tsv")


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in SHEETS}


@pytest.fixture
def survey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two visits, one broken frame and two masters; the working folder is theirs."""
    monkeypatch.chdir(tmp_path)
    raw = Path("raw")
    for visit in (5, 6):
        write_visit(raw / "night1", visit)
    write_frame(raw / "night1" / "bias.fits", OBSTYPE="BIAS", EXPNUM=1)
    Path("calib").mkdir()
    for ccd in (1, 2):
        write_master(Path(f"calib/bias_{ccd}.fits"), CALTYPE="bias", CCDNUM=ccd)
    Path("duo.yaml").write_text(yaml.safe_dump(CAMERA))
    return tmp_path


def run(folder: str = "raw", **options: str) -> int:
    extra = [item for name, value in options.items() for item in (f"--{name}", value)]
    return main(["ingest", folder, "--camera", "duo.yaml", *extra])


def test_sheets_from_the_command_line(survey: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(calibrations="calib") == 0
    visits = read_visits("sheets/visits.tsv")
    assert [v.visit for v in visits] == [5, 6]
    exposures = read_exposures("sheets/exposures.tsv", visits)
    assert exposures[0].path == "raw/night1/duo_0005_1.fits"
    assert [c.path for c in read_calibrations("sheets/calibrations.tsv")] == [
        "calib/bias_1.fits", "calib/bias_2.fits",
    ]  # fmt: skip
    assert [Path(r.path).name for r in read_rejected("sheets/rejected.tsv")] == ["bias.fits"]
    shown = capsys.readouterr().out
    assert "science frames" in shown
    assert "not a science frame" in shown


def test_in_a_run_folder_the_config_file_names_the_camera(
    survey: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("config").mkdir()
    Path("config/config.yaml").write_text("sheets: sheets\n")
    assert main(["ingest", "raw"]) == 2
    assert "config/config.yaml: it names no camera" in capsys.readouterr().err
    Path("config/config.yaml").write_text("camera: duo.yaml\n")
    assert main(["ingest", "raw"]) == 0
    assert len(read_visits("sheets/visits.tsv")) == 2


def test_a_second_ingest_changes_nothing(survey: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(calibrations="calib")
    before = contents(Path("sheets"))
    times = {name: Path("sheets", name).stat().st_mtime_ns for name in SHEETS}
    assert run(calibrations="calib") == 0
    assert contents(Path("sheets")) == before
    assert {name: Path("sheets", name).stat().st_mtime_ns for name in SHEETS} == times
    assert "as they were" in capsys.readouterr().out


def test_added_files_leave_earlier_rows(survey: Path) -> None:
    run()
    before = Path("sheets/visits.tsv").read_text().splitlines()
    write_visit(Path("raw/night2"), 4)
    run()
    after = Path("sheets/visits.tsv").read_text().splitlines()
    assert len(after) == len(before) + 1
    assert set(before) < set(after)


def test_another_folder_leaves_earlier_rows(survey: Path) -> None:
    run(calibrations="calib")
    before = contents(Path("sheets"))
    write_visit(Path("more"), 9)
    assert run("more") == 0
    assert [v.visit for v in read_visits("sheets/visits.tsv")] == [5, 6, 9]
    assert (Path("sheets/calibrations.tsv")).read_bytes() == before["calibrations.tsv"]
    write_frame(Path("more/again.fits"), EXPNUM=5, CCDNUM=2)
    run("more")
    reasons = {Path(r.path).name: r.reason for r in read_rejected("sheets/rejected.tsv")}
    assert "given by raw/night1/duo_0005_2.fits already" in reasons["again.fits"]


def test_the_same_folder_by_another_path_gives_no_duplicates(survey: Path) -> None:
    run()
    assert run(str(survey / "raw")) == 0
    exposures = read_exposures("sheets/exposures.tsv")
    assert len(exposures) == 4
    assert exposures[0].path == str(survey / "raw/night1/duo_0005_1.fits")


def test_files_that_are_gone_leave_the_sheets(
    survey: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run()
    Path("raw/night1/duo_0006_2.fits").unlink()
    run()
    assert len(read_exposures("sheets/exposures.tsv")) == 3
    assert "no longer there: visit 6 detector 2" in capsys.readouterr().out


def test_patterns_choose_files(survey: Path) -> None:
    assert run(pattern="*_1.fits") == 0
    assert {e.detector for e in read_exposures("sheets/exposures.tsv")} == {1}


def test_masters_among_the_frames(survey: Path) -> None:
    write_master(Path("raw/bias_1.fits"), CALTYPE="bias", CCDNUM=1)
    run()
    assert [c.path for c in read_calibrations("sheets/calibrations.tsv")] == ["raw/bias_1.fits"]


def test_calibrations_within_the_folder_of_frames_count_once(survey: Path) -> None:
    Path("calib").rename("raw/calib")
    run(calibrations="raw/calib")
    assert len(read_calibrations("sheets/calibrations.tsv")) == 2
    assert len(read_rejected("sheets/rejected.tsv")) == 1


def test_nothing_accepted_is_an_exit_code_and_a_sentence(
    survey: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_frame(Path("dull/flat.fits"), OBSTYPE="FLAT")
    assert run("dull") == 1
    assert "none of the files in dull was accepted" in capsys.readouterr().err
    assert read_visits("sheets/visits.tsv") == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent", "--camera", "duo.yaml"], "absent: there is no such folder"),
        (["raw", "--camera", "trio.yaml"], "trio.yaml: the camera file does not exist"),
        (["raw", "--camera", "duo.yaml", "--calibrations", "none"], "none: there is no such"),
        (["raw"], "--camera: it is not given, and this is no run folder"),
    ],
)
def test_faulty_arguments(
    survey: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["ingest", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not Path("sheets").exists()


def test_a_camera_without_a_header_map_is_refused(survey: Path) -> None:
    with pytest.raises(InputError, match="'header:' does not say how mjd is read"):
        ingest(Path("raw"), camera(header={"mjd": None}), Path("sheets"))


def test_broken_sheets_are_not_overwritten(survey: Path) -> None:
    run()
    Path("sheets/visits.tsv").write_text("visit\tphysical_filter\n")
    assert run() == 2
    assert Path("sheets/visits.tsv").read_text() == "visit\tphysical_filter\n"


def test_order_of_files_on_disk_does_not_matter(survey: Path) -> None:
    run()
    before = contents(Path("sheets"))
    names = sorted(Path("raw/night1").iterdir(), reverse=True)
    for path in names:
        path.rename(path.with_suffix(".moved"))
    for path in names:
        path.with_suffix(".moved").rename(path)
    run()
    assert contents(Path("sheets")) == before
