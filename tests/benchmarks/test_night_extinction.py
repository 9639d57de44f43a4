"""Extinction of nights from zero points and from the air of a fit."""

from pathlib import Path

import numpy as np
import pytest
from night_extinction import Visits, line_extinction, line_terms, read_nights, read_visits

from drpflow.data.look_up_table import LookUpTable
from drpflow.io.store import Store
from drpflow.qa.photometry_data import Photometry
from tests.qa.photometric_run import look_up_table, write_photometry


def test_extinction_is_minus_the_slope_of_zero_points() -> None:
    airmass = np.linspace(1.0, 2.0, 20)
    rng = np.random.default_rng(5)
    points = 25.0 - 0.09 * airmass + rng.normal(0.0, 0.004, 20)
    slope, error = line_extinction(airmass, points)
    assert slope == pytest.approx(0.09, abs=4 * error)
    assert error == pytest.approx(0.004 / np.sqrt(20) / np.std(airmass), rel=0.4)


def test_what_drifts_with_time_is_no_extinction() -> None:
    hours = np.linspace(-4.0, 4.0, 20)
    airmass = 1.0 + 0.07 * (hours + 1.0) ** 2 / 2
    points = 25.0 - 0.09 * airmass - 0.006 * hours
    assert line_extinction(airmass, points)[0] > 0.1
    slope, error = line_extinction(airmass, points, hours)
    assert slope == pytest.approx(0.09, abs=1e-9)
    assert error < 1e-9


def test_few_visits_or_one_airmass_tell_no_extinction() -> None:
    assert np.isnan(line_extinction(np.array([1.0, 1.5, 2.0]), np.full(3, 25.0))).all()
    assert np.isnan(line_extinction(np.full(9, 1.3), np.full(9, 25.0))).all()
    rising = np.linspace(1.0, 2.0, 9)
    assert np.isnan(line_extinction(rising, np.full(9, 25.0), 3 * rising)).all()


def test_nights_of_visits_whose_airmass_is_not_recorded(tmp_path: Path) -> None:
    write_photometry(tmp_path)
    store = Store(tmp_path)
    nights = read_nights(store, read_visits(store))
    assert [n.visits for n in nights] == [2, 2, 2]
    assert [n.photometric for n in nights] == [0, 0, 0]
    assert all(np.isnan(n.airmass).all() for n in nights)
    assert nights[0].tau == pytest.approx((0.05, 0.01))
    assert nights[0].extinction[0] == pytest.approx(1.0857 * 0.05, rel=0.02)


class OneTable:
    """A store of nothing but the look-up table."""

    def get(self, name: str) -> LookUpTable:
        assert name == "fgcm_look_up_table"
        return look_up_table()


def test_the_slope_of_a_line_is_the_sum_of_its_terms() -> None:
    hours = np.linspace(-4.0, 4.0, 21)
    airmass = 1.5 + 0.1 * hours
    gray = -0.02 * (airmass - 1.5)
    lost = 1.0857 * (0.05 + 0.004 * hours) * airmass
    points = {
        "visit": np.arange(21),
        "night": np.full(21, 20250203),
        "gray": gray,
        "zero_point": 25.0 - lost + gray,
    }
    names = ("ln_pwv", "ozone", "aerosol_tau", "aerosol_tau_slope", "aerosol_alpha")
    parameters = {
        "name": np.array(names),
        "value": np.array([np.log(3.0), 260.0, 0.05, 0.004, 1.0]),
        "night": np.full(5, 20250203),
        "physical_filter": np.full(5, ""),
    }
    clear = np.ones(21, bool)
    visits = Visits(Photometry(points, parameters), points, "g", airmass, hours, clear)
    slope, air, drift, of_gray, rest, hourly, together = line_terms(OneTable(), visits, 20250203)
    assert slope == pytest.approx(air + drift + of_gray + rest, abs=1e-9)
    assert air == pytest.approx(1.0857 * 0.05, rel=0.01)
    # d(0.004 hours X)/dX with hours = 10 (X - 1.5).
    assert drift == pytest.approx(1.0857 * 0.004 * 10 * 1.5, rel=0.02)
    assert of_gray == pytest.approx(0.02, rel=1e-6)
    assert rest == pytest.approx(0, abs=2e-3)
    assert (hourly, together) == (0.004, pytest.approx(1.0))
