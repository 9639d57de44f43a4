import numpy as np
import pytest

from .surveys import QUIET, build, quiet, tiny


def test_air_takes_light_unless_switched_off() -> None:
    vacuum = build(QUIET, {"atmosphere": {"extinction": False}}).model(2)
    air = quiet().model(2)
    assert (vacuum.air_transmission == 1).all()
    ratio = air.flat_rate(0) / vacuum.flat_rate(0)
    # Some 0.2 mag per airmass in g.
    extinction = -2.5 * np.log10(ratio) / air.truth.airmass
    assert extinction == pytest.approx(0.2, abs=0.08)
    assert vacuum.flat_rate(0) == vacuum.flat_rate(0, through_air=False)


def test_cloud_is_a_patchy_gray_extinction() -> None:
    model = tiny().model(3)
    x, y = np.random.default_rng(1).uniform(-5, 5, (2, 300))
    extinction = model.cloud_extinction_mag(x, y)
    assert (extinction >= 0).all()
    assert extinction.std() > 0.001
    assert extinction.mean() == pytest.approx(0.3, abs=0.2)
    assert not tiny().model(1).cloud_extinction_mag(x, y).any()


def test_even_cloud() -> None:
    even = {
        "atmosphere": {"cloud_structure": 0},
        "observing": {"special": [{"visit": 1, "cloud_mag": 0.5}]},
    }
    model = build(QUIET, even).model(1)
    assert (model.cloud_extinction_mag(np.zeros(3), np.arange(3.0)) == 0.5).all()


def test_effects_that_are_off_leave_no_trace() -> None:
    off = {"atmosphere": {"refraction": False, "aberration": False}}
    geometry = build(QUIET, off).model(1).geometry
    assert geometry.air is None
    assert not geometry.velocity_c.any()
    assert geometry.turbulence is None
    assert tiny().model(1).geometry.turbulence is not None


def test_reference_wavelength_lies_in_the_band() -> None:
    for visit in tiny().visits:
        item = next(f for f in tiny().config.instrument.filters if f.band == visit.band)
        wavelength = tiny().model(visit.visit).geometry.wavelength_nm
        assert item.lower_nm < wavelength < item.upper_nm
