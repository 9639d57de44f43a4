"""Reference stars: motion, parallax, selection."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drpflow.data.earth_orbit import earth_position_au
from drpflow.data.reference_stars import ReferenceStars, bands_of, unit_vectors

MAS_PER_RAD = 180 * 3600e3 / np.pi
EPOCH = 57388.5


def catalogue(ra: Any, dec: Any, **columns: Any) -> ReferenceStars:
    ra, dec = np.atleast_1d(ra).astype(float), np.atleast_1d(dec).astype(float)
    given = {"id": np.arange(len(ra)), "ra": ra, "dec": dec, "epoch": np.full(len(ra), EPOCH)}
    given |= {name: np.broadcast_to(value, ra.shape) for name, value in columns.items()}
    return ReferenceStars.from_columns(given)


def test_covariances_hold_the_correlations() -> None:
    errors = {"ra_err": 2.0, "dec_err": 3.0, "pm_ra_err": 0.5, "pm_dec_err": 0.4}
    stars = catalogue(
        [1.0, 2.0], [5.0, 6.0], **errors, ra_dec_corr=[0.5, np.nan], dec_pm_dec_corr=-0.3
    )
    found = stars.covariance()
    np.testing.assert_allclose(np.diag(found[0])[:4], [4, 9, 0.25, 0.16])
    np.testing.assert_allclose(found[0, 1, [0, 2, 3]], [3.0, 0, -0.36])
    np.testing.assert_allclose(found, np.swapaxes(found, 1, 2))
    assert found[1, 0, 1] == 0
    # The catalogue has no parallaxes.
    assert np.isnan(found[:, 4]).all()
    assert stars.select([1]).covariance().shape == (1, 5, 5)
    # At another epoch they are others.
    assert not stars.at_epoch(EPOCH + 1000).correlation


def separation_mas(a: ReferenceStars, b: ReferenceStars) -> Any:
    chord = np.linalg.norm(unit_vectors(a.ra, a.dec) - unit_vectors(b.ra, b.dec), axis=1)
    return 2 * np.arcsin(chord / 2) * MAS_PER_RAD


def test_space_motion_and_parallax_agree_with_astropy() -> None:
    """astropy: rigorous space motion, then the place of the star less that of the Earth."""
    import astropy.units as u
    from astropy.coordinates import SkyCoord, get_body_barycentric
    from astropy.time import Time

    rng = np.random.default_rng(3)
    n = 50
    ra, dec = rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    pm = rng.normal(0, 300, (2, n))
    parallax = rng.uniform(1, 100, n)
    mjd = 60900.3
    found = catalogue(ra, dec, pm_ra=pm[0], pm_dec=pm[1], parallax=parallax).at_epoch(mjd)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start, end = (Time(t, format="mjd", scale="tai") for t in (EPOCH, mjd))
        star = SkyCoord(
            ra * u.deg,
            dec * u.deg,
            distance=(1000 / parallax) * u.pc,
            pm_ra_cosdec=pm[0] * u.mas / u.yr,
            pm_dec=pm[1] * u.mas / u.yr,
            radial_velocity=np.zeros(n) * u.km / u.s,
            obstime=start,
        ).apply_space_motion(new_obstime=end)
        earth = get_body_barycentric("earth", end, ephemeris="builtin").xyz.to_value("pc")
        place = star.cartesian.xyz.to_value("pc").T - earth
    place /= np.linalg.norm(place, axis=1, keepdims=True)
    chord = np.linalg.norm(unit_vectors(found.ra, found.dec) - place, axis=1)
    assert chord.max() * MAS_PER_RAD < 0.1


def test_a_star_crosses_the_pole_and_the_meridian() -> None:
    # 1000 mas/yr northward for 10 years from 5 arcsec below the pole: 5 arcsec beyond it.
    stars = catalogue([30.0], [90 - 5 / 3600], pm_ra=0.0, pm_dec=1000.0)
    moved = stars.at_epoch(EPOCH + 3652.5)
    assert moved.ra[0] == pytest.approx(210.0, abs=1e-6)
    assert moved.dec[0] == pytest.approx(90 - 5 / 3600, abs=1e-9)
    # It goes south now.
    assert moved.pm_dec[0] == pytest.approx(-1000.0, rel=1e-6)
    east = catalogue([359.9999], [0.0], pm_ra=100.0, pm_dec=0.0).at_epoch(EPOCH + 36525.0)
    assert east.ra[0] == pytest.approx(359.9999 + 10 / 3600 - 360, abs=1e-9)


def test_unknown_motion_and_parallax_leave_the_place_and_grow_the_error() -> None:
    stars = catalogue([10.0, 20.0], [-30.0, -30.0], ra_err=1.0, dec_err=1.0)
    moved = stars.at_epoch(EPOCH + 3652.5, unknown_motion_mas_yr=5.0)
    np.testing.assert_allclose(separation_mas(stars, moved), 0, atol=1e-5)
    np.testing.assert_allclose(moved.ra_err, np.hypot(1, 50))
    assert np.isnan(moved.pm_ra).all()


def test_errors_grow_with_motion_and_parallax_errors() -> None:
    stars = catalogue(
        [10.0], [0.0], ra_err=0.3, dec_err=0.4, pm_ra=5.0, pm_dec=5.0, pm_ra_err=0.1,
        pm_dec_err=0.2, parallax=1.0, parallax_err=0.5,
    )  # fmt: skip
    mjd = EPOCH + 10 * 365.25
    moved = stars.at_epoch(mjd)
    east = np.array([-np.sin(np.radians(10)), np.cos(np.radians(10)), 0])
    factor = earth_position_au(mjd) @ east
    assert moved.ra_err[0] == pytest.approx(
        np.sqrt(0.3**2 + 1.0**2 + (0.5 * factor) ** 2), rel=1e-4
    )
    assert moved.dec_err[0] > np.hypot(0.4, 2.0)


@settings(max_examples=40, deadline=None)
@given(
    ra=st.floats(0, 359.999),
    dec=st.floats(-90, 90),
    pm=st.tuples(st.floats(-200, 200), st.floats(-200, 200)),
    parallax=st.floats(0, 50),
    stop=st.floats(50000, 62000),
)
def test_a_stop_on_the_way_changes_nothing(
    ra: float, dec: float, pm: tuple[float, float], parallax: float, stop: float
) -> None:
    stars = catalogue([ra], [dec], pm_ra=pm[0], pm_dec=pm[1], parallax=parallax)
    direct, by_stop = stars.at_epoch(61000.0), stars.at_epoch(stop).at_epoch(61000.0)
    assert separation_mas(direct, by_stop)[0] < 0.02
    assert by_stop.observer == "earth"


def test_within_works_at_the_pole_and_across_the_meridian() -> None:
    stars = catalogue([0.1, 359.9, 180.0, 90.0, 270.0], [0.0, 0.0, 0.0, 89.9, 89.9])
    assert list(stars.within(359.95, 0.0, 0.2)) == [0, 1]
    assert list(stars.within(0.0, 90.0, 0.11)) == [3, 4]
    assert list(stars.within(12.0, 34.0, 180.0)) == [0, 1, 2, 3, 4]


def test_magnitudes_and_colours() -> None:
    stars = catalogue([1.0, 2.0], [0.0, 0.0], flux_g=[1000.0, -1.0], flux_g_err=1.0, flux_i=3e3)
    assert stars.bands == ("g", "i")
    assert stars.magnitude("g")[0] == pytest.approx(23.9)
    assert np.isnan(stars.magnitude("g")[1])
    assert stars.color("g", "i")[0] == pytest.approx(2.5 * np.log10(3))
    assert np.isnan(stars.flux_err_njy["i"]).all()
    with pytest.raises(
        KeyError, match=r"no reference fluxes in band 'I'.*did you mean 'i'|there are: g, i"
    ):
        stars.magnitude("I")


def test_columns_there_and_back_and_selection() -> None:
    stars = catalogue([1.0, 2.0, 3.0], [0.0, 1.0, 2.0], pm_ra=1.0, flux_r=5.0, flux_r_err=0.1)
    again = ReferenceStars.from_columns(stars.to_columns())
    for name, values in stars.to_columns().items():
        np.testing.assert_array_equal(values, again.to_columns()[name])
    chosen = stars.select(np.array([False, True, True]))
    assert len(chosen) == 2
    assert list(chosen.select(np.array([1])).id) == [2]
    assert bands_of({"flux_r": 0, "flux_r_err": 0, "flux_bp_err": 0, "ra": 0}) == ["r", "bp_err"]


def test_faulty_columns_are_told() -> None:
    with pytest.raises(ValueError, match="dec has the shape"):
        ReferenceStars.from_columns(
            {"id": [1, 2], "ra": [0.0, 1.0], "dec": [0.0], "epoch": [EPOCH, EPOCH]}
        )
