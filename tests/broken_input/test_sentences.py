"""Broken input: one sentence with the file, the value and the remedy; the rest goes on."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits

from drpflow.cli import main
from tests.broken_input.conftest import Survey


def has(sentence: str, *parts: str) -> None:
    """Check that a sentence holds these parts, in this order."""
    pattern = ".*".join(re.escape(part) for part in parts)
    assert re.search(pattern, sentence, re.DOTALL), f"{parts} not in: {sentence}"


def test_unbroken(survey: Survey) -> None:
    """What follows fails for its own reason alone."""
    assert survey.ingest() == 0
    assert (survey.folder / "sheets/rejected.tsv").read_text().count("\n") == 1
    assert survey.isr()["outcome"] == "done"


def test_truncated_frame(survey: Survey) -> None:
    data = survey.frame.read_bytes()
    survey.frame.write_bytes(data[: len(data) // 2])
    has(survey.rejection(), "truncated", str(len(data) // 2), "again")
    has(survey.failure(), survey.frame.name, "truncated", "again")


def test_not_a_fits_file(survey: Survey) -> None:
    survey.frame.write_text("<html>404 not found</html>")
    has(survey.rejection(), "FITS")
    has(survey.failure(), survey.frame.name, "FITS")


def test_wrong_shape(survey: Survey) -> None:
    with fits.open(survey.frame, mode="update") as hdus:
        hdus[0].data = hdus[0].data[:-10]
    has(survey.rejection(), "pixels", "camera")
    has(survey.failure(), survey.frame.name, "camera")


def test_missing_header_key(survey: Survey) -> None:
    with fits.open(survey.frame, mode="update") as hdus:
        del hdus[0].header["EXPTIME"]
    has(survey.rejection(), "EXPTIME", "exposure_time_s")


def test_unknown_filter(survey: Survey) -> None:
    fits.setval(survey.frame, "FILTER", value="sim_q")
    has(survey.rejection(), "sim_q", "filter")


def test_all_nan_frame(survey: Survey) -> None:
    with fits.open(survey.frame, mode="update") as hdus:
        hdus[0].data = np.full(hdus[0].data.shape, np.nan, np.float32)
    has(survey.failure(), survey.frame.name, "no finite pixel", "replace the file")


def test_wrong_unit(survey: Survey) -> None:
    fits.setval(survey.frame, "BUNIT", value="electron")
    has(survey.rejection(), "electron", "adu")
    has(survey.failure(), survey.frame.name, "electron", "adu")


def test_duplicate_frame(survey: Survey) -> None:
    copy = survey.frame.with_name("again.fits")
    copy.write_bytes(survey.frame.read_bytes())
    assert survey.ingest() == 0
    rejected = (survey.folder / "sheets/rejected.tsv").read_text().splitlines()[1:]
    assert len(rejected) == 1
    has(rejected[0], "visit 1", "detector 0")


def test_duplicate_rows_of_a_sheet(survey: Survey, capsys: pytest.CaptureFixture[str]) -> None:
    assert survey.ingest() == 0
    sheet = survey.folder / "sheets/exposures.tsv"
    lines = sheet.read_text().splitlines()
    sheet.write_text("\n".join([*lines, lines[1]]) + "\n")
    assert main(["run", "--cores", "1"]) == 2
    has(capsys.readouterr().err, "exposures.tsv", "visit 1", "detector 0", "row")
    assert not (survey.folder / "results").exists()


def test_sheet_without_a_column(survey: Survey, capsys: pytest.CaptureFixture[str]) -> None:
    assert survey.ingest() == 0
    sheet = survey.folder / "sheets/visits.tsv"
    sheet.write_text(sheet.read_text().replace("exposure_time_s", "exptime", 1))
    assert main(["run", "--cores", "1"]) == 2
    has(capsys.readouterr().err, "visits.tsv", "exptime", "exposure_time_s")


def test_frame_that_is_gone(survey: Survey, capsys: pytest.CaptureFixture[str]) -> None:
    assert survey.ingest() == 0
    survey.frame.unlink()
    main(["run", "--cores", "1", "--", "--dry-run"])
    has(capsys.readouterr().err, "simcam_000001_00.fits")


def test_missing_calibration(survey: Survey) -> None:
    has(survey.failure(flat=None), "flat", "detector 0", "sim_r")  # type: ignore[arg-type]
    assert survey.isr({"required": ["bias"]}, flat=None)["outcome"] == "done"  # type: ignore[arg-type]


def test_calibration_of_another_detector(survey: Survey) -> None:
    other = survey.folder / "calib/simcam_bias_01.fits"
    has(survey.failure(bias=other), "simcam_bias_01.fits", "detector")


def test_calibration_of_another_kind(survey: Survey) -> None:
    has(survey.failure(bias=survey.calibration("dark")), "simcam_dark_00.fits", "bias")


def test_calibration_without_a_value(survey: Survey) -> None:
    with fits.open(survey.calibration("bias"), mode="update") as hdus:
        hdus["BIAS"].data[:] = np.nan
    has(survey.failure(), "simcam_bias_00.fits", "no finite pixel", "again")


@pytest.mark.parametrize(
    ("config", "parts"),
    [
        ({"isr": {"requird": ["bias"]}}, ("isr.requird", "did you mean 'required'?")),
        ({"colour": "blue"}, ("unknown key 'colour'", "Known keys here")),
        ({"isr": {"seed": "one"}}, ("isr.seed", "'one'", "integer")),
        ({"isr": {"required": ["baias"]}}, ("isr.required", "'baias'", "'bias'")),
        ({"isr": {"saturation": {"grow_pix": -1}}}, ("isr.saturation.grow_pix", "-1")),
        ({"camera": "simcamm"}, ("simcamm", "did you mean 'simcam'?")),
    ],
    ids=["misspelt", "unknown", "type", "choice", "range", "camera"],
)
def test_config(
    survey: Survey, capsys: pytest.CaptureFixture[str], config: dict, parts: tuple[str, ...]
) -> None:
    assert survey.ingest() == 0
    capsys.readouterr()
    path = Path("config/config.yaml")
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **config}))
    assert main(["run", "--cores", "1"]) == 2
    message = capsys.readouterr().err
    has(message, *(() if "camera" in config else ("config/config.yaml",)), *parts)
    assert message.strip().count("\n") == 0
    assert not (survey.folder / "results").exists()
