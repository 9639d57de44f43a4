import numpy as np
import pytest

from drpflow.sim.sed import WAVELENGTH_NM
from drpflow.sim.throughput import build_throughputs, filter_curve

from .surveys import tiny


def test_filter_has_its_half_power_points_and_peak() -> None:
    config = tiny().config.instrument.filters[1]
    curve = filter_curve(config)
    above = WAVELENGTH_NM[curve > curve.max() / 2]
    assert above[0] == pytest.approx(config.lower_nm, abs=1.5)
    assert above[-1] == pytest.approx(config.upper_nm, abs=1.5)
    assert curve.max() == pytest.approx(config.peak, rel=0.01)


def test_shift_moves_the_curve() -> None:
    config = tiny().config.instrument.filters[0]
    before, after = filter_curve(config), filter_curve(config, 5.0)
    np.testing.assert_allclose(after[5:], before[:-5], rtol=1e-12)


def test_detectors_differ_by_percents() -> None:
    curves = tiny().throughputs
    first, second = (curves.system("sim_g", d).sum() for d in (0, 1))
    assert 0.002 < abs(first / second - 1) < 0.15
    for detector in (0, 1):
        assert 0 < curves.efficiency[detector].max() < 1


def test_mean_is_the_mean() -> None:
    curves = tiny().throughputs
    mean = (curves.system("sim_r", 0) + curves.system("sim_r", 1)) / 2
    np.testing.assert_allclose(curves.mean_system("sim_r"), mean, rtol=1e-12)


def test_curves_are_drawn_from_the_seed() -> None:
    survey = tiny()
    again = build_throughputs(survey.config, survey.instrument)
    np.testing.assert_array_equal(again.efficiency[1], survey.throughputs.efficiency[1])
