import numpy as np
import pytest

from drpflow.sim.photometry import band_flux
from drpflow.sim.sed import (
    GALAXY_REDSHIFTS,
    STAR_TEMPERATURES_K,
    WAVELENGTH_NM,
    SedLibrary,
    build_library,
    planck,
)

LIBRARY = build_library()


def top_hat(low_nm: float, high_nm: float) -> np.ndarray:
    middle, half = (low_nm + high_nm) / 2, (high_nm - low_nm) / 2
    return (np.abs(WAVELENGTH_NM - middle) <= half).astype(float)


def color(blue: np.ndarray, red: np.ndarray) -> np.ndarray:
    return -2.5 * np.log10(band_flux(LIBRARY, blue) / band_flux(LIBRARY, red))


def test_every_template_is_normalised_and_positive() -> None:
    assert (LIBRARY.f_nu > 0).all()
    window = (WAVELENGTH_NM >= 560) & (WAVELENGTH_NM <= 690)
    np.testing.assert_allclose(LIBRARY.f_nu[:, window].mean(axis=1), 1.0, rtol=1e-12)


def test_star_colors_follow_the_stellar_locus() -> None:
    g_r = color(top_hat(402, 548), top_hat(553, 688))
    stars = g_r[: len(STAR_TEMPERATURES_K)]
    assert (np.diff(stars) < 0).all()
    at = {t: np.interp(t, STAR_TEMPERATURES_K, stars) for t in (3400, 5800, 9500)}
    assert at[3400] == pytest.approx(1.3, abs=0.25)
    assert at[5800] == pytest.approx(0.47, abs=0.12)
    assert at[9500] == pytest.approx(-0.05, abs=0.15)


def test_red_galaxies_redden_with_redshift() -> None:
    g_r = color(top_hat(402, 548), top_hat(553, 688))
    old = SedLibrary.galaxy_index(np.zeros(4), np.array(GALAXY_REDSHIFTS[:4])).astype(int)
    assert (np.diff(g_r[old]) > 0).all()


def test_interpolation_is_the_straight_line_between_neighbors() -> None:
    middle = LIBRARY.spectrum(10.25)
    expected = 0.75 * LIBRARY.f_nu[10] + 0.25 * LIBRARY.f_nu[11]
    np.testing.assert_allclose(middle, expected, rtol=1e-14)


def test_the_last_template_can_be_asked_for() -> None:
    np.testing.assert_array_equal(LIBRARY.spectrum(LIBRARY.size - 1.0), LIBRARY.f_nu[-1])


def test_wien() -> None:
    w = np.arange(300.0, 1000.0, 0.1)
    assert w[np.argmax(planck(5000.0, w))] == pytest.approx(579.55, abs=0.2)
