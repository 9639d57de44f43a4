"""drpflow export: tables for other programs, read back by astropy."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table as AstropyTable

from drpflow import cli
from drpflow.data.table import Table
from drpflow.io.table_files import write_regions
from drpflow.io.tables import write_table
from tests.workflow.small_survey import SmallSurvey, camera_values

UNITS = {"ra": "deg", "dec": "deg", "psfFlux": "nJy", "localPhotoCalib": "nJy / electron"}
DESCRIPTIONS = {
    "psfFlux": "a flux",
    "localPhotoCalib": "calibration at the source: a flux divided by it is in electrons",
}


@pytest.fixture
def survey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallSurvey:
    survey = SmallSurvey(tmp_path, tmp_path)
    (tmp_path / "config").mkdir()
    survey.write_camera(camera_values())
    survey.write_sheets((11, 12))
    survey.write_config()
    for visit in (11, 12):
        path = tmp_path / f"results/fgcm_photo_calib/visit={visit}/fgcm_photo_calib.parquet"
        write_table(path, table(visit))
    monkeypatch.chdir(tmp_path)
    return survey


def table(visit: int = 11) -> Table:
    columns = {
        "sourceId": np.array([10, 11, 12]) + 100 * visit,
        "band": np.array(["g", "g", "g"]),
        "ra": np.array([10.0, 10.001, np.nan]),
        "dec": np.array([-30.0, -30.001, -30.0]),
        "psfFlux": np.array([1e3, 2e3, 3e3]),
        "psfFlux_flag": np.array([False, True, False]),
        "localPhotoCalib": np.array([500.0, 501.0, 502.0]),
    }
    return Table.from_columns(columns, units=UNITS, descriptions=DESCRIPTIONS)


@pytest.mark.parametrize("form", ["fits", "votable"])
def test_tables_come_back_with_units(survey: SmallSurvey, form: str) -> None:
    words = ["export", "fgcm_photo_calib", "visit=11-12", "--format", form]
    assert cli.main(words) == 0
    suffix = {"fits": "fits", "votable": "vot"}[form]
    for visit in (11, 12):
        path = survey.folder / f"export/fgcm_photo_calib_visit={visit}.{suffix}"
        found = AstropyTable.read(path, format=form)
        wanted = table(visit)
        assert found.colnames == ["visit", *wanted.columns]
        assert set(found["visit"]) == {visit}
        for name in wanted.columns:
            values = np.asarray(found[name]).astype(wanted[name].dtype)  # FITS has texts as bytes
            np.testing.assert_array_equal(values, wanted[name])
        assert str(found["psfFlux"].unit) == "nJy"
        assert found["psfFlux"].description == "a flux"


def test_fits_as_other_programs_read_it(
    survey: SmallSurvey, recwarn: pytest.WarningsRecorder
) -> None:
    """Units and descriptions in the cards of the columns, none left out."""
    assert cli.main(["export", "fgcm_photo_calib", "visit=11"]) == 0
    assert [str(w.message) for w in recwarn if "unit" in str(w.message)] == []
    header = fits.getheader(survey.folder / "export/fgcm_photo_calib_visit=11.fits", 1)
    of = {header[f"TTYPE{n}"]: n for n in range(1, header["TFIELDS"] + 1)}
    assert {name: header[f"TUNIT{of[name]}"] for name in UNITS} == UNITS
    assert {name: header[f"TCOMM{of[name]}"] for name in DESCRIPTIONS} == DESCRIPTIONS


def test_faults(survey: SmallSurvey, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", "fgcm_photo_calib", "visit=11"]
    assert cli.main(words) == 0
    faults = {
        tuple(words): "it exists. Name another --output, or add --force",
        ("export", "source", "visit=11"): "`drpflow why source visit=11` tells what makes it",
        ("export", "fgcm_photo_calib", "visit=x"): "Write it like 1-8,12",
    }
    for given, message in faults.items():
        assert cli.main([*given]) == 2
        assert message in capsys.readouterr().err


def test_regions(tmp_path: Path) -> None:
    """One circle for each row with a place, on the sky in degrees."""
    write_regions(tmp_path / "a.reg", table(), radius_arcsec=1.5)
    lines = (tmp_path / "a.reg").read_text().splitlines()
    assert lines[2:] == [
        "icrs",
        'circle(10.0000000,-30.0000000,1.5") # text={1110}',
        'circle(10.0010000,-30.0010000,1.5") # text={1111} color=red',
    ]


def test_regions_of_pixels_count_from_one(tmp_path: Path) -> None:
    write_regions(
        tmp_path / "a.reg", Table.from_columns({"x": np.array([0.0]), "y": np.array([4.5])})
    )
    text = (tmp_path / "a.reg").read_text()
    assert re.search(r"^image\ncircle\(1.0000000,5.5000000,2\)$", text, re.MULTILINE)
