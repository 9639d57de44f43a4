"""Calibration masters are known by CALTYPE and described by their headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from drpflow.ingest.scan import Scan, scan
from drpflow.io.sheets import CalibrationRow
from tests.ingest.frames import camera, write_frame


def write_master(path: Path, *, image: bool = True, **cards: Any) -> Path:
    header = fits.Header({k.replace("_", "-"): v for k, v in cards.items() if v is not None})
    kind = str(cards.get("CALTYPE", "")).upper()
    data = (
        fits.ImageHDU(np.zeros((12, 20), np.float32), name=kind)
        if image
        else fits.BinTableHDU.from_columns([fits.Column("x0", "J", array=[1])], name=kind)
    )
    fits.HDUList([fits.PrimaryHDU(header=header), data]).writeto(path)
    return path


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ({"CALTYPE": "bias", "CCDNUM": 2}, ("bias", 2, "", None, None, "BIAS")),
        ({"CALTYPE": "FLAT", "CCDNUM": 1, "FILTER": "r_duo"},
         ("flat", 1, "r_duo", None, None, "FLAT")),
        ({"CALTYPE": "flat", "CCDNUM": "east", "FILTER": "i", "MJD_FROM": 60000.0,
          "MJD_END": 60100.0},
         ("flat", 2, "i_duo", 60000.0, 60100.0, "FLAT")),
        ({"CALTYPE": "dark", "CCDNUM": 1, "FILTER": "r_duo"}, ("dark", 1, "", None, None, "DARK")),
        ({"CALTYPE": "brighter_fatter"},
         ("brighter_fatter", None, "", None, None, "BRIGHTER_FATTER")),
    ],
)  # fmt: skip
def test_rows(tmp_path: Path, cards: dict[str, Any], expected: tuple[Any, ...]) -> None:
    path = write_master(tmp_path / "m.fits", **cards)
    assert scan([path], camera()).calibrations == [
        CalibrationRow(*expected[:5], str(path), expected[5])
    ]


def test_tables_are_masters_too(tmp_path: Path) -> None:
    path = write_master(tmp_path / "d.fits", image=False, CALTYPE="defects", CCDNUM=1)
    assert scan([path], camera()).calibrations[0].hdu == "DEFECTS"


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        ({"CALTYPE": "flatt", "CCDNUM": 1}, "did you mean 'flat'?"),
        ({"CALTYPE": "bias"}, "does not say which detector it is for. Add the card CCDNUM"),
        ({"CALTYPE": "bias", "CCDNUM": 5}, "its detector is '5', which camera duo lacks"),
        ({"CALTYPE": "flat", "CCDNUM": 1}, "its filter is '', which camera duo lacks"),
        ({"CALTYPE": "flat", "CCDNUM": 1, "FILTER": "z"}, "its filter is 'z'"),
        ({"CALTYPE": "bias", "CCDNUM": 1, "MJD_FROM": 2.0, "MJD_END": 1.0}, "no span of time"),
        ({"CALTYPE": "bias", "CCDNUM": 1, "MJD_FROM": "June"}, "MJD-FROM: 'June' is no number"),
    ],
)
def test_faults(tmp_path: Path, cards: dict[str, Any], words: str) -> None:
    result: Scan = scan([write_master(tmp_path / "m.fits", **cards)], camera())
    assert not result.calibrations
    assert words in result.rejected[0].reason
    assert result.categories == {"faulty calibration": 1}


def test_frames_among_calibrations_are_refused(tmp_path: Path) -> None:
    path = write_frame(tmp_path / "a.fits")
    result = scan([path], camera(), calibrations_only=True)
    assert "its header has no CALTYPE" in result.rejected[0].reason
