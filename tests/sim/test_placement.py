import numpy as np
import pytest

from drpflow.sim.placement import (
    pixel_angles,
    pixel_arcsec,
    place_sources,
    reference_ratio,
    refraction_ratio,
    trail_pixels,
)

from .surveys import QUIET, build, quiet, tiny


def test_refraction_ratio_is_that_of_the_colors() -> None:
    survey = quiet()
    model = survey.model(2)
    index = survey.sed_library.star_index(np.array([3000.0, 5500.0, 12000.0]))
    red, middle, blue = refraction_ratio(model, model.response(0).at(index))
    assert red < middle < blue
    assert middle == pytest.approx(1.0, abs=2e-3)
    assert reference_ratio(model, 0) == middle


def test_without_refraction_colors_do_not_matter() -> None:
    survey = build(QUIET, {"atmosphere": {"refraction": False}})
    model = survey.model(2)
    assert reference_ratio(model, 0) == 1.0
    here = np.array([150.1]), np.array([-12.3])
    red, blue = (survey.sky_to_pixel(2, 0, *here, temperature_k=t) for t in (3000.0, 12000.0))
    assert red == blue


def test_flux_follows_time_and_vignetting() -> None:
    survey = quiet()
    model = survey.model(1)
    placed = place_sources(model, 0, survey.sources(1))
    alike = np.abs(placed.sources["sed"] - 20) < 5
    per_light = placed.flux_electron / survey.optics.illumination(placed.x_mm, placed.y_mm)
    rate = model.response(0).at(placed.sources["sed"]).electron_per_s_njy
    expected = rate * 3631e9 * 10 ** (-0.4 * placed.sources["mag"]) * 30.0
    assert alike.sum() > 20
    np.testing.assert_allclose(per_light, expected, rtol=1e-12)


def test_places_in_pixels_and_in_the_focal_plane_agree() -> None:
    survey = tiny()
    placed = place_sources(survey.model(3), 1, survey.sources(3))
    on = (np.abs(placed.x - 127.5) < 128) & (np.abs(placed.y - 127.5) < 128)
    x, y = survey.optics.detectors[1].from_focal(placed.x_mm[on], placed.y_mm[on])
    np.testing.assert_array_equal(x, placed.x[on])
    np.testing.assert_array_equal(y, placed.y[on])


def test_selection_keeps_rows_together() -> None:
    survey = tiny()
    placed = place_sources(survey.model(1), 0, survey.sources(1))
    rows = np.array([5, 2, 9])
    some = placed.select(rows)
    np.testing.assert_array_equal(some.sources["id"], placed.sources["id"][rows])
    np.testing.assert_array_equal(some.x, placed.x[rows])
    np.testing.assert_array_equal(some.cumulants.coma, placed.cumulants.coma[rows])


@pytest.mark.parametrize("angle_deg", [0.0, 37.0, 90.0])
def test_angles_and_trails_on_the_sky_are_those_between_pixels(angle_deg: float) -> None:
    survey = quiet()
    model, true = survey.model(1), survey.optics.detectors[0]
    ra, dec = survey.pixel_to_sky(1, 0, np.array([100.0]), np.array([100.0]))
    east, north = 4.0 * np.sin(np.deg2rad(angle_deg)), 4.0 * np.cos(np.deg2rad(angle_deg))
    x, y = survey.sky_to_pixel(1, 0, ra + east / 3600 / np.cos(np.deg2rad(dec)), dec + north / 3600)
    moved = np.array([x[0] - 100.0, y[0] - 100.0])
    scale = pixel_arcsec(model, 0)
    assert scale == pytest.approx(0.2, rel=1e-3)
    found = trail_pixels(model, true, np.array([[east, north]]), scale)[0]
    np.testing.assert_allclose(found, moved, atol=0.03)
    angle = pixel_angles(model, true, np.array([angle_deg]))[0]
    assert np.sin(angle - np.arctan2(moved[1], moved[0])) == pytest.approx(0.0, abs=2e-3)
