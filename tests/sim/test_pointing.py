import numpy as np
import pytest

from drpflow.errors import InputError
from drpflow.sim.pointing import airmass

from .surveys import QUIET, build, survey_config, tiny


def separation_arcsec(ra1: float, dec1: float, ra2: float, dec2: float) -> float:
    east = (ra1 - ra2) * np.cos(np.deg2rad(dec1))
    return float(np.hypot(east, dec1 - dec2) * 3600)


def test_visits_are_in_order_of_time_and_in_their_nights() -> None:
    visits = build(name="demo").visits
    assert [v.visit for v in visits] == list(range(1, 17))
    assert (np.diff([v.mjd_tai for v in visits]) > 0).all()
    assert len({v.night for v in visits}) == 5
    for v in visits:
        # The evening date is the local one: the night is over by 15 h UTC of the next day.
        evening = np.datetime64(f"{v.night[:4]}-{v.night[4:6]}-{v.night[6:]}")
        hours = (np.datetime64(v.date_obs) - evening) / np.timedelta64(1, "h")
        assert 22 < hours < 36


def test_date_obs_is_the_start() -> None:
    from astropy.time import Time

    visit = tiny().visits[0]
    start = Time(visit.date_obs, scale="utc")
    assert start.mjd == pytest.approx(visit.mjd_utc_start, abs=1e-8)
    middle = start.tai.mjd + visit.exposure_time_s / 2 / 86400
    assert visit.mjd_tai == pytest.approx(middle, abs=2e-8)


@pytest.mark.filterwarnings("ignore")
def test_airmass_and_hour_angle_agree_with_astropy() -> None:
    from astropy.coordinates import AltAz, EarthLocation, SkyCoord
    from astropy.time import Time
    from astropy.utils import iers

    iers.conf.auto_download = False
    iers.conf.iers_degraded_accuracy = "warn"
    survey = tiny()
    o = survey.instrument.observatory
    site = EarthLocation.from_geodetic(o.longitude_deg, o.latitude_deg, o.elevation_m)
    for v in survey.visits:
        frame = AltAz(obstime=Time(v.mjd_tai, format="mjd", scale="tai"), location=site)
        altaz = SkyCoord(v.true_ra_deg, v.true_dec_deg, unit="deg").transform_to(frame)
        assert v.zenith_distance_deg == pytest.approx(90 - altaz.alt.deg, abs=0.02)
        assert v.airmass == pytest.approx(float(altaz.secz), rel=2e-3)
        assert np.sign(v.hour_angle_deg) == np.sign(np.sin(-altaz.az.rad))


def test_airmass_near_the_horizon_stays_finite() -> None:
    assert airmass(0.0) == pytest.approx(1.0, abs=1e-3)
    assert airmass(85.0) == pytest.approx(10.3, abs=0.2)


def test_headers_are_wrong_by_what_was_asked() -> None:
    survey = build(name="demo")
    errors = {
        v.visit: separation_arcsec(v.header_ra_deg, v.header_dec_deg, v.true_ra_deg, v.true_dec_deg)
        for v in survey.visits
    }
    assert errors[6] == pytest.approx(45.0, abs=0.05)
    assert errors[14] == pytest.approx(25.0, abs=0.05)
    ordinary = [e for v, e in errors.items() if v not in (6, 14)]
    assert 1.0 < np.median(ordinary) < 8.0
    turned = survey.visit(6)
    difference = (turned.header_rotation_deg - turned.true_rotation_deg + 180) % 360 - 180
    assert difference == pytest.approx(0.3, abs=1e-3)


def test_without_errors_headers_are_true() -> None:
    for v in build(QUIET).visits:
        wrong = separation_arcsec(v.header_ra_deg, v.header_dec_deg, v.true_ra_deg, v.true_dec_deg)
        assert wrong < 0.005
        assert v.header_rotation_deg == pytest.approx(v.true_rotation_deg, abs=1e-4)


def test_special_visits_are_special() -> None:
    survey = build(name="demo")
    assert survey.visit(12).exposure_time_s == 8.0
    assert survey.visit(9).cloud_mag == 0.6
    assert survey.visit(10).trails == 2
    assert survey.visit(1).cloud_mag == 0.0
    assert survey.visit(15).empty_detectors == (1,)


def test_dithers_stay_within_their_radius() -> None:
    survey = build(name="demo")
    o = survey.config.observing
    away = [
        separation_arcsec(v.true_ra_deg, v.true_dec_deg, o.ra_deg, o.dec_deg) for v in survey.visits
    ]
    assert max(away) <= o.dither_arcsec * 1.001
    assert max(away) > 0.5 * o.dither_arcsec


def test_field_below_the_horizon_is_told() -> None:
    with pytest.raises(InputError, match="degrees from the zenith"):
        build({"observing": {"dec_deg": 75.0}})


def test_first_night_must_be_a_date() -> None:
    with pytest.raises(InputError, match="YYYY-MM-DD"):
        build({"observing": {"first_night": "3 Feb 2025"}})


def test_another_seed_is_another_log() -> None:
    from drpflow.sim.survey import Survey

    other = Survey.build(survey_config("tiny", {"seed": 99}))
    assert other.visits[0].true_ra_deg != tiny().visits[0].true_ra_deg
