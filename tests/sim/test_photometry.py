import numpy as np
import pytest

from drpflow.sim.photometry import (
    band_flux,
    band_response,
    mag_to_njy,
    reference_curve,
    standard_curve,
)
from drpflow.sim.refraction import Air
from drpflow.sim.sed import WAVELENGTH_NM, SedLibrary

from .surveys import survey_config, tiny

FLAT = SedLibrary(np.ones((2, len(WAVELENGTH_NM))))


def test_zero_point_from_first_principles() -> None:
    # A source of 20 mag AB through a box of 600 to 660 nm: photons by energy, not by ln λ.
    box = ((WAVELENGTH_NM >= 600) & (WAVELENGTH_NM < 660)).astype(float)
    rate = band_response(FLAT, box, area_m2=5.0).electron_per_s_njy[0] * mag_to_njy(20.0)
    w = np.arange(599.5, 659.5, 0.01) * 1e-9
    f_nu = 10 ** (-0.4 * (20.0 + 48.60)) * 1e-3  # W m-2 Hz-1
    f_lambda = f_nu * 299792458.0 / w**2
    photons = np.sum(f_lambda * w / (6.62607015e-34 * 299792458.0)) * 0.01e-9
    assert rate == pytest.approx(5.0 * photons, rel=1e-3)


def test_flux_of_a_magnitude() -> None:
    assert mag_to_njy(22.5) == pytest.approx(3631.0)
    assert -2.5 * np.log10(mag_to_njy(17.3) / 3631e9) == pytest.approx(17.3)


def test_flat_spectrum_has_the_same_magnitude_in_all_bands() -> None:
    curve = standard_curve(tiny().throughputs, "sim_g")
    assert band_flux(FLAT, curve) == pytest.approx([1.0, 1.0])


def test_responses_of_mixtures_are_exact() -> None:
    library = tiny().sed_library
    curve = standard_curve(tiny().throughputs, "sim_g")
    air = Air(743.0, 10.0, 30.0)
    mixture = SedLibrary(0.3 * library.f_nu[20:21] + 0.7 * library.f_nu[21:22])
    expected = band_response(mixture, curve, 5.0, air, 45.0)
    found = band_response(library, curve, 5.0, air, 45.0).at(np.array([20.7]))
    for name in ("electron_per_s_njy", "wavelength_nm", "refraction_arcsec"):
        assert getattr(found, name)[0] == pytest.approx(getattr(expected, name)[0], rel=1e-12)
    assert found.refraction_variance_arcsec2[0] == pytest.approx(
        expected.refraction_variance_arcsec2[0], rel=1e-6
    )


def test_blue_stars_are_lifted_more() -> None:
    curve = standard_curve(tiny().throughputs, "sim_g")
    response = band_response(tiny().sed_library, curve, 5.0, Air(743.0, 10.0, 30.0), 45.0)
    hot, cool = response.at(SedLibrary.star_index(np.array([9000.0, 3500.0]))).refraction_arcsec
    assert 0.03 < hot - cool < 0.25


def test_reference_passband_is_shifted() -> None:
    config = survey_config("tiny", {"reference": {"passband_shift_nm": {"g": 2.0}}})
    shifted = reference_curve(config, tiny().throughputs, "g")
    own = standard_curve(tiny().throughputs, "sim_g")
    move = np.average(WAVELENGTH_NM, weights=shifted) - np.average(WAVELENGTH_NM, weights=own)
    assert move == pytest.approx(2.0, abs=0.5)
    same = reference_curve(config, tiny().throughputs, "r")
    np.testing.assert_allclose(same, standard_curve(tiny().throughputs, "sim_r"))
