import numpy as np
import pytest

from drpflow.sim.atmosphere import STANDARD_AIR, STANDARD_AIRMASS, transmission
from drpflow.sim.earth import unit_vector
from drpflow.sim.photometric_config import PhotometricConfig
from drpflow.sim.photometric_light import build_light, electron_mag, flat_photons
from drpflow.sim.photometric_survey import (
    PhotometricSurvey,
    detector_directions,
    simulate_photometry,
)
from drpflow.sim.photometry import band_response, mag_to_njy
from drpflow.sim.sed import WAVELENGTH_NM, SedLibrary

CALM = {
    "camera": {
        "star_flat_mag": 0,
        "detector_offset_mag": 0,
        "detector_flat_mag": 0,
        "edge_mag": 0,
        "epoch_change_mag": 0,
    },
    "gray": {
        "clear_mag": 0,
        "haze_fraction": 0,
        "cloud_fraction": 0,
        "aperture_mag_per_arcsec2": 0,
    },
    "noise": {"flat_mag": 0, "outlier_fraction": 0},
    "nights": {"dust_mag_per_day": 0, "throughput_scatter_mag": 0},
    "field": {"variable_fraction": 0},
}


def survey(seed: int = 3, **sections: dict[str, object]) -> PhotometricSurvey:
    values: dict[str, dict[str, object]] = {
        "field": {"stars_per_detector": 60},
        "nights": {"days": (0, 30), "visits_per_night": 6},
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    return simulate_photometry(PhotometricConfig.model_validate({"seed": seed, **values}))


def calm(**sections: dict[str, object]) -> PhotometricSurvey:
    merged = {name: {**CALM.get(name, {}), **sections.get(name, {})} for name in CALM}
    return survey(**merged)


def test_equal_configurations_give_equal_surveys() -> None:
    a, b, other = survey(3), survey(3), survey(4)
    assert np.array_equal(a.measurements.mag, b.measurements.mag)
    assert not np.array_equal(a.measurements.mag[:100], other.measurements.mag[:100])


def test_corrected_magnitudes_are_the_standard_ones_but_for_noise() -> None:
    s = survey()
    m = s.measurements
    band = np.array([e.band for e in s.exposures])[m.visit]
    off = m.mag + m.correction - s.stars.standard_mag[m.star, band]
    steady = ~m.spoilt & (s.stars.amplitude_mag[m.star] == 0)
    sigma = np.hypot(m.mag_err, s.config.noise.flat_mag)
    pull = off[steady] / sigma[steady]
    assert np.median(pull) == pytest.approx(0, abs=0.05)
    assert np.percentile(np.abs(pull), 68.27) == pytest.approx(1, abs=0.05)


def test_a_switched_off_effect_leaves_the_noise_as_it_was() -> None:
    a, b = survey(), survey(gray={"cloud_fraction": 0.0})
    clear = int(np.flatnonzero(a.photometric)[0])
    in_a, in_b = (s.measurements.mag[s.measurements.visit == clear] for s in (a, b))
    assert np.array_equal(in_a, in_b)


def test_clouds_are_as_many_as_asked_and_uneven() -> None:
    s = survey(gray={"cloud_fraction": 0.25, "cloud_mag": (0.2, 0.4)})
    assert (~s.photometric).sum() == 3
    cloudy = s.gray_mag[~s.photometric]
    assert 0.1 < cloudy.mean() < 0.5
    assert (np.ptp(cloudy, axis=1) > 0.01).all()
    assert (np.ptp(s.gray_mag[s.photometric], axis=1) == 0).all()


def test_an_overhead_star_through_standard_air_needs_the_zero_point_of_the_mean_detector() -> None:
    # One detector is its own mean, so that only the air of the visits makes a difference.
    s = calm(camera={"columns": 1, "rows": 1}, nights={"water_scatter": 0})
    m = s.measurements
    visit = 5
    rows = np.flatnonzero(m.visit == visit)
    exposure = s.exposures[visit]
    library = SedLibrary(build_light().f_nu[:, 0])
    airmass = float(exposure.airmass(detector_directions(s.camera, exposure))[0])
    curve = s.camera.curves[exposure.band, 0]
    response = band_response(library, curve * exposure.light_path(airmass), 5.0)
    standard = curve * transmission(STANDARD_AIR, STANDARD_AIRMASS)
    bare = rows[np.argmin(s.stars.spectra.reddening_mag[m.star[rows]])]
    index = s.stars.spectra.template[[m.star[bare]]]
    rate = response.at(index).electron_per_s_njy[0] * mag_to_njy(s.stars.mag[m.star[bare]])
    photons = SedLibrary.interpolate(library.f_nu @ (standard / WAVELENGTH_NM), index)[0]
    mag = s.stars.mag[m.star[bare]] - 2.5 * np.log10(photons / flat_photons(standard))
    expected = mag + 2.5 * np.log10(rate)
    # Dust (about 5 mmag of E(B-V) in the least reddened star) and places off the centre remain.
    assert m.correction[bare] == pytest.approx(expected, abs=2e-3)


def test_magnitude_zero_gives_the_electrons_of_its_flux() -> None:
    box = np.ones_like(WAVELENGTH_NM)
    flat = SedLibrary(np.ones((1, WAVELENGTH_NM.size)))
    rate = band_response(flat, box, 5.0).electron_per_s_njy[0] * mag_to_njy(0.0)
    assert electron_mag(flat_photons(box), 5.0) == pytest.approx(-2.5 * np.log10(rate))


def test_places_in_the_field_and_on_detectors_agree() -> None:
    s = survey()
    u, v = np.array([-0.9, 0.0, 0.95]), np.array([0.3, 0.0, -0.95])
    for detector in range(9):
        x = s.camera.x_deg[detector] + s.camera.half_side_deg * u
        y = s.camera.y_deg[detector] + s.camera.half_side_deg * v
        found, found_u, found_v = s.camera.locate(x, y)
        assert (found == detector).all()
        assert found_u == pytest.approx(u, abs=1e-9)
        assert found_v == pytest.approx(v, abs=1e-9)


def test_stars_lie_where_their_detectors_point() -> None:
    s = survey(field={"rotations_deg": (90.0, 200.0)})
    m = s.measurements
    for exposure in s.exposures[:3]:
        rows = (m.visit == exposure.number) & (np.hypot(m.u, m.v) < 0.2)
        toward = detector_directions(s.camera, exposure)[m.detector[rows]]
        star = unit_vector(s.stars.ra[m.star[rows]], s.stars.dec[m.star[rows]])
        separation_deg = np.rad2deg(np.linalg.norm(star - toward, axis=1))
        assert separation_deg.max() < 0.21 * s.camera.half_side_deg


def test_a_mosaic_without_its_corners() -> None:
    s = survey(
        camera={"columns": 8, "rows": 8, "without": (0, 63), "detector_deg": 0.1},
        field={"stars_per_detector": 10},
    )
    assert s.gray_mag.shape == (12, 62)
    assert set(np.unique(s.measurements.detector)) == set(range(62))


def test_another_standard_air_moves_magnitudes_and_corrections_alike() -> None:
    config = PhotometricConfig.model_validate({"seed": 3, "nights": {"days": (0,)}})
    a = simulate_photometry(config)
    b = simulate_photometry(config, np.ones_like(WAVELENGTH_NM))
    m = a.measurements
    band = np.array([e.band for e in a.exposures])[m.visit]
    moved = (b.stars.standard_mag - a.stars.standard_mag)[m.star, band]
    assert np.ptp(moved) > 1e-3
    assert b.measurements.correction - m.correction == pytest.approx(moved, abs=1e-5)
    assert np.array_equal(b.measurements.mag, m.mag)


def test_zero_points_are_mean_corrections_of_stars_of_usual_colour() -> None:
    s = survey(field={"stars_per_detector": 600}, nights={"days": (0,)})
    m = s.measurements
    usual = np.abs(s.stars.color - np.median(s.stars.color))[m.star] < 0.1
    number = s.gray_mag.shape[1]
    cell = (m.visit * number + m.detector)[usual]
    mean = np.bincount(cell, m.correction[usual]) / np.bincount(cell)
    off = mean.reshape(s.gray_mag.shape) - s.zero_point
    # Some 40 stars sample star flat and cloud at their places, not evenly.
    assert np.median(off) == pytest.approx(0, abs=2e-3)
    assert np.std(off[s.photometric]) < 2e-3


def test_errors_are_those_of_the_measured_fluxes() -> None:
    s = calm()
    m = s.measurements
    band = np.array([e.band for e in s.exposures])[m.visit]
    electrons = 10 ** (-0.4 * m.mag) * s.config.nights.exposure_time_s
    background = (m.mag_err * np.log(10) / 2.5 * electrons) ** 2 - electrons
    faint = m.mag_err > 0.05
    for number in range(3):
        of_band = background[faint & (band == number)]
        assert np.ptp(of_band) < 1e-3 * np.median(of_band)
