import numpy as np
import pytest

from drpflow.sim.transients import (
    ASTEROID_DTYPE,
    SUPERNOVA_DTYPE,
    asteroid_position,
    supernova_magnitude,
)

from .surveys import QUIET, build

DEMO = build(name="demo")


def test_supernova_rises_and_declines() -> None:
    star = np.zeros(1, SUPERNOVA_DTYPE)
    star["peak_mag"], star["peak_mjd"] = 20.0, 60000.0
    at = {age: float(supernova_magnitude(star, 60000.0 + age)[0]) for age in (-20, -8.5, 0, 50)}
    assert at[-20] == np.inf
    assert at[-8.5] == pytest.approx(20.0 + 5 * np.log10(2))
    assert at[0] == 20.0
    assert at[50] == pytest.approx(23.0)


def test_supernovae_lie_on_galaxies_and_some_are_seen() -> None:
    supernovae, galaxies = DEMO.transients.supernovae, DEMO.catalog.galaxies
    assert len(supernovae) == DEMO.config.transients.supernovae
    host = galaxies[np.searchsorted(galaxies["id"], supernovae["host"])]
    east = (supernovae["ra"] - host["ra"]) * np.cos(np.deg2rad(host["dec"]))
    away = np.hypot(east, supernovae["dec"] - host["dec"]) * 3600
    assert (away < 5 * host["disc_radius_arcsec"]).all()
    seen = [(supernova_magnitude(supernovae, v.mjd_tai) < 23.5).sum() for v in DEMO.visits]
    assert max(seen) >= 3


def test_asteroids_move_at_their_rate() -> None:
    rock = np.zeros(1, ASTEROID_DTYPE)
    rock["ra"], rock["dec"], rock["mjd"] = 150.0, -12.0, 60000.0
    rock["rate_ra_arcsec_per_hour"], rock["rate_dec_arcsec_per_hour"] = -30.0, 12.0
    ra, dec = asteroid_position(rock, 60000.0 + 2 / 24)
    assert (dec[0] + 12.0) * 3600 == pytest.approx(24.0, abs=1e-5)
    assert (ra[0] - 150.0) * 3600 * np.cos(np.deg2rad(dec[0])) == pytest.approx(-60.0, abs=1e-4)


def test_every_night_has_its_own_asteroids_within_the_range_of_rates() -> None:
    rocks = DEMO.transients.asteroids
    t = DEMO.config.transients
    nights, counts = np.unique(rocks["night_index"], return_counts=True)
    assert list(nights) == [0, 1, 2, 3, 4]
    assert (counts == t.asteroids_per_night).all()
    rate = np.hypot(rocks["rate_ra_arcsec_per_hour"], rocks["rate_dec_arcsec_per_hour"])
    low, high = t.asteroid_rate_arcsec_per_hour
    assert (rate >= low).all()
    assert (rate <= high).all()


def test_all_can_be_switched_off() -> None:
    transients = build(QUIET).transients
    assert len(transients.supernovae) == len(transients.flares) == len(transients.asteroids) == 0
