from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import Angle
from astropy.io import fits
from astropy.time import Time

from drpflow.sim.readout import Readout
from drpflow.sim.streams import FrameKind
from drpflow.sim.writer import section, sexagesimal, truth_path
from tests.sim.surveys import tiny


@pytest.fixture(scope="module")
def raw(tiny_folder: Path) -> Path:
    return next((tiny_folder / "raw").rglob("simcam_000002_01.fits"))


def test_raw_frame_is_an_ordinary_file(raw: Path) -> None:
    visit = tiny().visit(2)
    with fits.open(raw) as hdus:
        hdus.verify("exception")
        assert len(hdus) == 1
        header, data = hdus[0].header, hdus[0].data
    assert raw.parent.name == visit.night
    assert data.dtype == np.uint16
    assert data.shape == (2 * (128 + 16), 2 * (8 + 128 + 32))
    expected = {
        "INSTRUME": "simcam",
        "EXPNUM": 2,
        "CCDNUM": 1,
        "OBSTYPE": "OBJECT",
        "OBJECT": "TINYFIELD",
        "FILTER": visit.physical_filter,
        "EXPTIME": 30.0,
        "BUNIT": "adu",
        "NAMPS": 4,
    }
    assert {key: header[key] for key in expected} == expected
    for key in ("TELESCOP", "ROTPA", "AIRMASS", "HA", "TEMP", "PRES", "HUMID"):
        assert key in header
    assert header["DATASEC1"] == "[9:136,1:128]"
    assert header["BIASSEC1"] == "[137:168,1:128]"
    assert header["DETSEC4"] == "[256:129,256:129]"


def test_header_times_and_pointing_agree_with_the_truth(raw: Path) -> None:
    header, visit = fits.getheader(raw), tiny().visit(2)
    start = Time(header["DATE-OBS"], scale="utc")
    assert start.mjd == pytest.approx(header["MJD-OBS"], abs=2e-8)
    middle = start.tai.mjd + header["EXPTIME"] / 2 / 86400
    assert middle == pytest.approx(visit.mjd_tai, abs=2e-8)
    assert Angle(header["RA"], "hourangle").deg == pytest.approx(visit.header_ra_deg, abs=1e-5)
    assert Angle(header["DEC"], "deg").deg == pytest.approx(visit.header_dec_deg, abs=1e-5)


def test_raw_frame_is_what_the_detector_gives(raw: Path) -> None:
    survey, detector = tiny(), tiny().instrument.detector(1)
    visit = survey.visit(2)
    exposure = Readout(survey.config.detector, survey.config.seed).expose(
        survey.render(2, 1).electrons,
        detector,
        visit.exposure_time_s,
        ids=(int(FrameKind.SCIENCE), 2),
        physical_filter=visit.physical_filter,
    )
    np.testing.assert_array_equal(fits.getdata(raw), exposure.adu)


def test_true_images(tiny_folder: Path) -> None:
    with fits.open(truth_path(tiny_folder / "truth", 2, 1)) as hdus:
        names = [h.name for h in hdus[1:]]
        assert names == ["ELECTRONS", "PHOTO_ELECTRONS", "COSMIC_RAYS", "FLAGS"]
        assert hdus["FLAGS"].header["FLAG DEFECT"] == 2
        flags, electrons = hdus["FLAGS"].data, hdus["ELECTRONS"].data
        photo = hdus["PHOTO_ELECTRONS"].data
    sensor = Readout(tiny().config.detector, tiny().config.seed).sensor(
        tiny().instrument.detector(1)
    )
    recorded = np.zeros((256, 256), bool)
    for item in sensor.defects:
        recorded[item.index] = True
    np.testing.assert_array_equal((flags & 2) > 0, recorded)
    assert photo.sum() / electrons.sum() == pytest.approx(1, abs=0.1)


def test_sections_count_from_one() -> None:
    assert section((8, 40, 0, 20)) == "[9:40,1:20]"


@pytest.mark.parametrize(
    ("value", "decimals", "sign", "text"),
    [
        (10.006666666, 3, False, "10:00:24.000"),
        (-12.3, 2, True, "-12:18:00.00"),
        (-0.001, 2, True, "-00:00:03.60"),
        (0.99999999, 2, True, "+01:00:00.00"),
    ],
)
def test_sexagesimal(value: float, decimals: int, sign: bool, text: str) -> None:
    assert sexagesimal(value, decimals, sign=sign) == text
