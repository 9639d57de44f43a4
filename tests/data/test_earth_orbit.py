"""The Earth's place against the ephemeris of ERFA (epv00, good to 5 km)."""

from __future__ import annotations

import warnings

import numpy as np

from drpflow.data.earth_orbit import earth_position_au


def test_agrees_with_erfa_over_fifty_years() -> None:
    from astropy.coordinates import get_body_barycentric
    from astropy.time import Time

    mjd = np.linspace(46000.0, 64000.0, 60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        times = Time(mjd, format="mjd", scale="tai")
        expected = get_body_barycentric("earth", times, ephemeris="builtin").xyz.to_value("AU").T
    found = np.array([earth_position_au(t) for t in mjd])
    assert np.linalg.norm(found - expected, axis=1).max() < 2e-4


def test_the_sun_stands_off_the_barycentre() -> None:
    # Without the giants, a year later the Earth would stand where it was.
    mjd = 60000.0
    moved = earth_position_au(mjd + 6 * 365.25636) - earth_position_au(mjd)
    assert 0.002 < np.linalg.norm(moved) < 0.02
