"""What is known, and what follows, of a visit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drpflow.data.camera import Observatory
from drpflow.data.visit_info import VisitInfo
from drpflow.errors import InputError
from tests.data.wcs_cases import camera

DATA = Path(__file__).parents[3] / "shared" / "data" / "hsc_visit_summary"

PACHON = VisitInfo(
    visit=7,
    instrument="widecam",
    physical_filter="r_03",
    band="r",
    exposure_time_s=30.0,
    mjd=60676.25,
    ra_deg=60.0,
    dec_deg=-30.0,
    rotation_deg=12.0,
    longitude_deg=-70.749,
    latitude_deg=-30.245,
    elevation_m=2663.0,
)
ROW = {
    "visit": "12",
    "night": "2026-03-14",
    "physical_filter": "g_01",
    "band": "g",
    "exposure_time_s": "15.5",
    "mjd": "61113.123456789",
    "ra_deg": "359.5",
    "dec_deg": "-0.25",
    "rotation_deg": "",
    "airmass": "1.23",
    "hour_angle_deg": "",
    "temperature_c": "-3.5",
    "pressure_hpa": "",
    "humidity_percent": "40",
    "target": "COSMOS ",
}


def observatory_camera() -> object:
    site = Observatory(name="Pachon", longitude_deg=-70.7, latitude_deg=-30.2, elevation_m=2663.0)
    return camera().model_copy(update={"observatory": site})


def test_exposure_begins_and_ends_about_its_middle() -> None:
    assert PACHON.begin_mjd is not None
    assert PACHON.end_mjd is not None
    assert (PACHON.end_mjd - PACHON.begin_mjd) * 86400 == pytest.approx(30.0, abs=1e-4)
    assert (PACHON.end_mjd + PACHON.begin_mjd) / 2 == pytest.approx(60676.25)


def test_recorded_values_go_before_computed_ones() -> None:
    recorded = replace(PACHON, recorded_airmass=1.5, recorded_hour_angle_deg=200.0)
    assert recorded.airmass == 1.5
    assert recorded.hour_angle_deg == -160.0
    assert PACHON.airmass is not None
    assert 1.0 < PACHON.airmass < 2.0


def test_computed_values_agree_with_each_other() -> None:
    hour_angle, altitude = PACHON.hour_angle_deg, PACHON.altitude_deg
    assert hour_angle is not None
    assert altitude is not None
    assert PACHON.zenith_distance_deg == pytest.approx(90 - altitude)
    assert PACHON.airmass == pytest.approx(1 / np.sin(np.radians(altitude)), rel=3e-3)
    # The sidereal clock gains 15.041 degrees an hour on the star.
    later = replace(PACHON, mjd=60676.25 + 1 / 24)
    assert later.hour_angle_deg - hour_angle == pytest.approx(15.041, abs=1e-3)
    assert later.azimuth_deg is not None
    assert later.azimuth_deg > 180, "past the meridian it stands in the west"
    east = replace(PACHON, mjd=60676.25 - 4 / 24)
    assert east.azimuth_deg is not None
    assert east.azimuth_deg < 180
    assert east.parallactic_angle_deg is not None
    assert east.parallactic_angle_deg < 0


def test_below_the_horizon_there_is_no_airmass() -> None:
    below = replace(PACHON, dec_deg=80.0)
    assert below.zenith_distance_deg is not None
    assert below.zenith_distance_deg > 90
    assert below.airmass is None


@pytest.mark.parametrize("missing", ["mjd", "ra_deg", "dec_deg", "longitude_deg", "latitude_deg"])
def test_what_is_unknown_stays_unknown(missing: str) -> None:
    info = replace(PACHON, **{missing: None})
    assert info.altitude_deg is info.airmass is info.parallactic_angle_deg is None
    if missing != "latitude_deg":
        assert info.hour_angle_deg is None


def test_hour_angle_without_a_time_is_enough() -> None:
    info = VisitInfo(1, ra_deg=0.0, dec_deg=20.0, recorded_hour_angle_deg=0.0, latitude_deg=20.0)
    assert info.altitude_deg == pytest.approx(90)
    assert info.begin_mjd is info.end_mjd is info.sidereal_time_deg is None


@pytest.mark.parametrize("dec", [-80.0, -30.0, 5.0])
def test_parallactic_angle_is_astropys_direction_of_the_zenith(dec: float) -> None:
    """25 years of precession turn north by 0.8 degrees at declination -80."""
    import astropy.units as u
    from astropy.coordinates import AltAz, EarthLocation, SkyCoord
    from astropy.time import Time

    place = EarthLocation.from_geodetic(PACHON.longitude_deg, PACHON.latitude_deg, 2663.0)
    for ra in (30.0, 90.0, 200.0, 300.0):
        info = PACHON.with_pointing(ra, dec)
        frame = AltAz(obstime=Time(info.mjd, format="mjd", scale="tai"), location=place)
        zenith = SkyCoord(0.0, 90.0, unit="deg", frame=frame).icrs
        expected = SkyCoord(ra, dec, unit="deg").position_angle(zenith).wrap_at(180 * u.deg).deg
        assert info.parallactic_angle_deg == pytest.approx(expected, abs=0.08)


def test_another_pointing() -> None:
    moved = PACHON.with_pointing(61.0, -31.0)
    assert (moved.ra_deg, moved.dec_deg, moved.rotation_deg) == (61.0, -31.0, 12.0)
    assert moved.with_pointing(60.0, -30.0) == PACHON
    assert moved.hour_angle_deg != PACHON.hour_angle_deg


def test_sheet_row() -> None:
    info = VisitInfo.from_sheet_row(ROW, observatory_camera())  # type: ignore[arg-type]
    assert info == VisitInfo(
        visit=12,
        instrument="widecam",
        physical_filter="g_01",
        band="g",
        night="2026-03-14",
        exposure_time_s=15.5,
        mjd=61113.123456789,
        ra_deg=359.5,
        dec_deg=-0.25,
        recorded_airmass=1.23,
        temperature_c=-3.5,
        humidity_percent=40.0,
        observatory="Pachon",
        longitude_deg=-70.7,
        latitude_deg=-30.2,
        elevation_m=2663.0,
        target="COSMOS",
    )
    assert info.hour_angle_deg is not None


def test_sheet_row_of_an_unknown_site() -> None:
    info = VisitInfo.from_sheet_row({"visit": "3"}, camera())
    assert info == VisitInfo(3, instrument="widecam")
    assert info.airmass is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"visit": "twelve"}, "visits.tsv: visit 'twelve' is no whole number"),
        ({"visit": ""}, "visits.tsv: visit '' is no whole number"),
        ({"mjd": "yesterday"}, "visits.tsv: visit 12: mjd is 'yesterday'"),
        ({"dec_deg": "100"}, r"visits.tsv: visit 12: dec_deg is 100.0, outside \[-90, 90\]"),
        ({"airmass": "0.5"}, "visits.tsv: visit 12: recorded_airmass is 0.5, outside"),
        ({"ra_deg": "nan"}, "visits.tsv: visit 12: ra_deg is nan; leave out what is unknown"),
        ({"exposure_time_s": "-1"}, "visits.tsv: visit 12: exposure_time_s is -1.0"),
    ],
)
def test_faults_of_a_row_are_named(change: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        VisitInfo.from_sheet_row({**ROW, **change}, camera(), "visits.tsv")


@pytest.mark.real_data
@pytest.mark.skipif(not DATA.is_dir(), reason="the real tables are not here")
def test_altitudes_of_real_visits() -> None:
    """Subaru's header altitude and azimuth hold for the beginning of the exposure."""
    from astropy.io import fits

    files = sorted(DATA.glob("visitSummary_*.fits.gz"))
    assert len(files) == 8
    for path in files:
        with fits.open(path) as hdus:
            row = hdus["VisitInfo"].data[0]
        info = VisitInfo(
            visit=int(row["idnum"]),
            exposure_time_s=float(row["exposuretime"]),
            mjd=40587 + float(row["tai"]) / 86400e9,
            ra_deg=np.degrees(row["boresightradec_ra"]),
            dec_deg=np.degrees(row["boresightradec_dec"]),
            longitude_deg=np.degrees(row["longitude"]),
            latitude_deg=np.degrees(row["latitude"]),
        )
        first = replace(info, mjd=info.begin_mjd)
        altitude = np.degrees(row["boresightazalt_alt"])
        assert first.altitude_deg == pytest.approx(altitude, abs=0.02)
        assert first.azimuth_deg is not None
        off = first.azimuth_deg - np.degrees(row["boresightazalt_az"])
        assert abs(off * np.cos(np.radians(altitude))) < 0.02
        assert first.airmass == pytest.approx(float(row["boresightairmass"]), abs=1e-3)
