import numpy as np
import pytest

from drpflow.sim.earth import ra_dec_deg
from drpflow.sim.sources import Kind
from drpflow.sim.transients import asteroid_position

from .surveys import QUIET, build

DEMO = build(name="demo")


def test_all_kinds_are_there_with_unit_directions() -> None:
    sources = DEMO.sources(1)
    np.testing.assert_allclose(np.linalg.norm(sources["direction"], axis=1), 1.0, rtol=1e-12)
    numbers = np.bincount(sources["kind"], minlength=5)
    assert numbers[Kind.STAR] == len(DEMO.catalog.stars)
    assert numbers[Kind.GALAXY] == len(DEMO.catalog.galaxies)
    assert numbers[Kind.ASTEROID] == DEMO.config.transients.asteroids_per_night
    assert len(np.unique(sources["id"])) == len(sources)


def test_flares_are_seen_in_their_visit_only() -> None:
    seen = {
        visit.visit: set(sources["id"][sources["kind"] == Kind.FLARE])
        for visit in DEMO.visits
        for sources in [DEMO.sources(visit.visit)]
    }
    for flare in DEMO.transients.flares:
        assert [v for v, ids in seen.items() if flare["id"] in ids] == [flare["visit"]]


def test_moving_objects_are_where_they_should_be_and_trail() -> None:
    visit = DEMO.visits[3]
    sources = DEMO.sources(visit.visit)
    moving = sources[sources["kind"] == Kind.ASTEROID]
    truth = DEMO.transients.asteroids
    truth = truth[np.isin(truth["id"], moving["id"])]
    ra, dec = ra_dec_deg(moving["direction"])
    np.testing.assert_allclose(ra, asteroid_position(truth, visit.mjd_tai)[0], atol=1e-9)
    np.testing.assert_allclose(dec, asteroid_position(truth, visit.mjd_tai)[1], atol=1e-9)
    length = np.hypot(*moving["trail_arcsec"].T)
    rate = np.hypot(truth["rate_ra_arcsec_per_hour"], truth["rate_dec_arcsec_per_hour"])
    np.testing.assert_allclose(length, rate * visit.exposure_time_s / 3600)


def test_constant_sky_has_the_same_magnitudes_at_all_times() -> None:
    survey = build(QUIET)
    first, last = survey.sources(1), survey.sources(3)
    np.testing.assert_array_equal(first["mag"], last["mag"])
    assert np.abs(first["direction"] - last["direction"]).max() < np.deg2rad(1 / 3600)


def test_variable_sky_differs_from_visit_to_visit() -> None:
    first, last = DEMO.sources(1), DEMO.sources(16)
    stars = len(DEMO.catalog.stars)
    changed = first["mag"][:stars] != last["mag"][:stars]
    assert changed.mean() == pytest.approx(DEMO.config.stars.variable_fraction, abs=0.015)
