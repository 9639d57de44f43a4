"""Against GalSim's formula (Filippenko 1982), which is another than ours."""

import numpy as np
import pytest

from drpflow.sim.refraction import Air

AIR = Air(743.0, 10.0, 35.0)
ZENITH_DEG = 48.0


def galsim_refraction_arcsec(wavelength_nm: float, zenith_deg: float) -> float:
    import galsim
    from galsim.dcr import get_refraction

    angle = get_refraction(
        wavelength_nm,
        zenith_deg * galsim.degrees,
        pressure=AIR.pressure_hpa / 10,
        temperature=AIR.temperature_c + 273.15,
        H2O_pressure=AIR.vapour_pressure_pa() / 1e3,
    )
    return float(angle) * 206264.806


@pytest.mark.parametrize("zenith_deg", [15.0, 48.0, 65.0])
def test_refraction_within_a_hundredth(zenith_deg: float) -> None:
    ours = AIR.refraction_arcsec(620.0, zenith_deg)
    assert ours == pytest.approx(galsim_refraction_arcsec(620.0, zenith_deg), rel=1e-2)


@pytest.mark.parametrize("band_nm", [(402.0, 548.0), (553.0, 688.0), (692.0, 818.0)])
def test_dispersion_within_a_hundredth(band_nm: tuple[float, float]) -> None:
    blue, red = AIR.refraction_arcsec(np.array(band_nm), ZENITH_DEG)
    expected = np.subtract(*[galsim_refraction_arcsec(w, ZENITH_DEG) for w in band_nm])
    assert blue > red
    assert blue - red == pytest.approx(expected, rel=1e-2)


def test_no_refraction_at_the_zenith() -> None:
    assert AIR.refraction_arcsec(500.0, 0.0) == 0.0


def test_refractivity_scales_with_density() -> None:
    # Ciddor (1996), table 1: dry air, 20 °C, 100 kPa, 633 nm.
    dense = Air(1000.0, 20.0, 0.0)
    assert dense.refractivity(633.0) == pytest.approx(2.68244e-4, rel=5e-4)
    thin = Air(500.0, 20.0, 0.0)
    assert thin.refractivity(633.0) / dense.refractivity(633.0) == pytest.approx(0.5)


def test_saturated_vapour_at_20_degrees() -> None:
    assert Air(1000.0, 20.0, 100.0).vapour_pressure_pa() == pytest.approx(2338.0, rel=3e-3)
