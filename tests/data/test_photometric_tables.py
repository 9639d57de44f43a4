"""The tables of a photometric calibration check themselves."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.data.photometric_tables import Detectors, Observations, Stars, Visits, check_tables


def observations(**changes):
    columns = {
        "star": [0, 1],
        "visit": [0, 1],
        "detector": [0, 0],
        "mag": [-10.0, np.nan],
        "mag_err": [0.01, 0.02],
        "u": [0.0, 0.5],
        "v": [-1.0, 1.0],
    }
    return Observations(**(columns | changes))


def visits(**changes):
    columns = {
        "bands": ("g", "r"),
        "id": [7, 8],
        "night": [1, 1],
        "mjd": [60000.0, 60000.25],
        "band": [0, 1],
        "airmass": [1.0, 1.5],
        "exposure_time_s": [30.0, 30.0],
        "ra_deg": [1.0, 1.0],
        "dec_deg": [0.0, 0.0],
    }
    return Visits(**(columns | changes))


DETECTORS = Detectors([3], [0.1], [0.0], [[[0.1, 0.0], [0.0, 0.2]]])
STARS = Stars([5, 6], [0.0, 1.0], [0.0, 0.0], [False, True])


def test_hours_count_from_the_middle_of_the_night():
    np.testing.assert_allclose(visits().hour, [-3.0, 3.0], atol=1e-6)
    assert np.isnan(visits().fwhm_arcsec).all()
    assert visits().physical_filters == ("g", "r")


def test_columns_are_read_only_and_typed():
    table = observations()
    assert table.star.dtype == np.int32
    assert table.mag_err.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        table.mag[0] = 1.0
    assert len(table.take(np.array([False, True]))) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": [7, 7]}, "twice"),
        ({"band": [0, 2]}, "band"),
        ({"airmass": [0.5, 1.0]}, "airmass"),
        ({"night": [0, -1]}, "nights are not negative"),
        ({"mjd": [np.nan, 1.0]}, "finite"),
        ({"night": [1]}, "length"),
        ({"detector_airmass": [[1.0]]}, "rows of airmass"),
    ],
)
def test_faulty_visits_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        visits(**change)


def test_faulty_observations_and_stars_are_refused():
    with pytest.raises(ValueError, match="length"):
        observations(u=[0.0])
    with pytest.raises(ValueError, match="negative"):
        observations(star=[-1, 0])
    with pytest.raises(ValueError, match="one dimension"):
        observations(u=[[0.0, 1.0]])
    with pytest.raises(ValueError, match="errors"):
        Stars([1], [0.0], [0.0], [False], [[1.0]], None)
    with pytest.raises(ValueError, match="twice"):
        Stars([1, 1], [0.0, 0.0], [0.0, 0.0], [False, False])


def test_a_second_flux_comes_with_its_error():
    with pytest.raises(ValueError, match="cloud_mag_err"):
        observations(cloud_mag=[1.0, 2.0])
    with pytest.raises(ValueError, match="length"):
        observations(cloud_mag=[1.0], cloud_mag_err=[0.1])
    whole = observations(cloud_mag=[1.0, 2.0], cloud_mag_err=[0.1, 0.2])
    part = whole.take(np.array([1]))
    assert part.cloud_mag.tolist() == [2.0]
    assert part.cloud_mag_err.dtype == np.float32
    assert observations().take(np.array([1])).cloud_mag is None


def test_colors_of_a_catalog_come_with_wavelengths():
    with pytest.raises(ValueError, match="wavelengths"):
        Stars([1], [0.0], [0.0], [False], color_mag=[[1.0]])
    with pytest.raises(ValueError, match="2 wavelengths"):
        Stars([1], [0.0], [0.0], [False], None, None, [[1.0]], [400.0, 500.0])
    found = Stars([1], [0.0], [0.0], [False], [[2.0]], [[0.1]], [[1.0]], [400.0])
    mag, wavelength_nm = found.catalog(np.array([600.0]))
    assert mag.tolist() == [[2.0, 1.0]]
    assert wavelength_nm.tolist() == [600.0, 400.0]
    assert found.without_reference().catalog(np.array([600.0])) is None


def test_tables_must_belong_together():
    check_tables(observations(), visits(), DETECTORS, STARS)
    with pytest.raises(ValueError, match="star"):
        check_tables(observations(star=[0, 2]), visits(), DETECTORS, STARS)
    one = Stars([5, 6], [0, 1], [0, 0], [False, True], np.ones((2, 1)), np.ones((2, 1)))
    with pytest.raises(ValueError, match="bands"):
        check_tables(observations(), visits(), DETECTORS, one)
    wide = visits(detector_airmass=[[1.0, 1.0], [1.0, 1.0]])
    with pytest.raises(ValueError, match="detectors"):
        check_tables(observations(), wide, DETECTORS, STARS)


def test_places_in_the_field():
    x, y = DETECTORS.field([0, 0], [1.0, -1.0], [0.5, 0.0])
    np.testing.assert_allclose(x, [0.2, 0.0])
    np.testing.assert_allclose(y, [0.1, 0.0])
    assert DETECTORS.radius_deg == pytest.approx(np.hypot(0.2, 0.2))
