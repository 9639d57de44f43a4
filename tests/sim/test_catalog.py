import numpy as np
import pytest

from drpflow.sim.catalog import build_catalog, star_magnitudes

from .surveys import build, survey_config, tiny

DEMO = build(name="demo")


def test_star_counts_follow_the_configuration() -> None:
    stars, s = DEMO.catalog.stars, DEMO.config.stars
    area_arcmin2 = np.pi * (60 * DEMO.catalog.radius_deg) ** 2
    bright = np.sum(stars["mag"] < s.density_mag)
    expected = s.density_per_arcmin2 * area_arcmin2
    assert bright == pytest.approx(expected, abs=4 * np.sqrt(expected))
    brighter = np.sum(stars["mag"] < s.density_mag - 2)
    assert bright / brighter == pytest.approx(10 ** (2 * s.count_slope), rel=0.15)
    assert stars["mag"].max() < s.faint_mag


def test_stars_fill_the_disc_evenly() -> None:
    o, stars = DEMO.config.observing, DEMO.catalog.stars
    east = (stars["ra"] - o.ra_deg) * np.cos(np.deg2rad(stars["dec"]))
    r = np.hypot(east, stars["dec"] - o.dec_deg) / DEMO.catalog.radius_deg
    assert r.max() < 1.001
    assert np.mean(r < 0.5) == pytest.approx(0.25, abs=0.03)
    assert abs(east.mean()) < 0.03 * DEMO.catalog.radius_deg


def test_the_disc_reaches_beyond_every_detector_of_every_visit() -> None:
    reach = DEMO.instrument.half_diagonal_mm() * 40 / 3 + DEMO.config.observing.dither_arcsec
    assert DEMO.catalog.radius_deg * 3600 > reach + DEMO.config.artifacts.aureole_edge_arcsec


def test_cool_stars_are_close_and_move() -> None:
    stars = DEMO.catalog.stars
    moderate = (stars["mag"] > 17) & (stars["mag"] < 19)
    cool = stars[moderate & (stars["temperature_k"] < 3800)]
    warm = stars[moderate & (stars["temperature_k"] > 5400) & (stars["temperature_k"] < 6500)]
    assert np.median(cool["parallax"]) > 3 * np.median(warm["parallax"])
    total = [np.median(np.hypot(s["pm_ra"], s["pm_dec"])) for s in (cool, warm)]
    assert total[0] > total[1] > 0.5


def test_motions_can_be_switched_off_without_moving_stars() -> None:
    config = survey_config("demo", {"stars": {"proper_motions": False, "parallaxes": False}})
    still = build_catalog(config, DEMO.instrument).stars
    assert not still["pm_ra"].any()
    assert not still["parallax"].any()
    np.testing.assert_array_equal(still["ra"], DEMO.catalog.stars["ra"])


def test_variable_stars_vary_about_their_mean() -> None:
    stars = DEMO.catalog.stars
    variable = stars["amplitude_mag"] > 0
    assert variable.mean() == pytest.approx(DEMO.config.stars.variable_fraction, abs=0.015)
    times = np.linspace(60700, 61700, 400)
    mags = np.array([star_magnitudes(stars, t) for t in times])
    np.testing.assert_array_equal(mags[:, ~variable], np.tile(stars["mag"][~variable], (400, 1)))
    np.testing.assert_allclose(mags.mean(axis=0)[variable], stars["mag"][variable], atol=0.1)
    assert (np.ptp(mags, axis=0)[variable] > 1.8 * stars["amplitude_mag"][variable]).all()


def test_galaxy_counts_rise_with_magnitude() -> None:
    galaxies, g = DEMO.catalog.galaxies, DEMO.config.galaxies
    faint = np.sum(galaxies["mag"] < g.faint_mag)
    brighter = np.sum(galaxies["mag"] < g.faint_mag - 1)
    assert faint / brighter == pytest.approx(10**g.count_slope, rel=0.15)


def test_galaxies_are_sensible() -> None:
    galaxies = DEMO.catalog.galaxies
    assert (galaxies["bulge_fraction"] >= 0).all()
    assert (galaxies["bulge_fraction"] <= 1).all()
    assert (galaxies["axis_ratio"] > 0.2).all()
    assert (galaxies["axis_ratio"] <= 1).all()
    at_20 = galaxies[np.abs(galaxies["mag"] - 20) < 0.7]
    assert np.median(at_20["disc_radius_arcsec"]) == pytest.approx(1.1, abs=0.3)


def test_low_surface_brightness_galaxies_are_large_and_faint() -> None:
    diffuse = DEMO.catalog.galaxies[-DEMO.config.galaxies.low_surface_brightness :]
    area = 2 * np.pi * diffuse["disc_radius_arcsec"] ** 2
    assert (diffuse["mag"] + 2.5 * np.log10(area) > 23.0).all()


def test_ids_are_unique() -> None:
    ids = np.concatenate([tiny().catalog.stars["id"], tiny().catalog.galaxies["id"]])
    assert len(np.unique(ids)) == len(ids)
