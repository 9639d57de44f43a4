import numpy as np
import pytest

from drpflow.sim.astrometry import pixel_to_sky, propagate, sky_to_pixel
from drpflow.sim.earth import ra_dec_deg, unit_vector
from drpflow.sim.sources import star_directions

from .surveys import QUIET, build, quiet, tiny

MAS_PER_DEG = 3.6e6
STILL = {
    "atmosphere": {"refraction": False, "aberration": False},
    "instrument": {
        "optics": {
            "flexure_mas": 0, "static_mas": 0, "radial": [], "detector_shift_um": 0,
            "detector_turn_deg": 0, "scale_error": 0,
        }
    },
}  # fmt: skip


def offset_mas(ra: np.ndarray, dec: np.ndarray, ra0: float, dec0: float) -> np.ndarray:
    east = (ra - ra0) * np.cos(np.deg2rad(dec0)) * MAS_PER_DEG
    return np.stack([east, (dec - dec0) * MAS_PER_DEG])


@pytest.mark.filterwarnings("ignore")
def test_proper_motion_agrees_with_astropy() -> None:
    import astropy.units as u
    from astropy.coordinates import SkyCoord
    from astropy.time import Time

    start = SkyCoord(
        150.1 * u.deg,
        -12.3 * u.deg,
        pm_ra_cosdec=834.0 * u.mas / u.yr,
        pm_dec=-412.0 * u.mas / u.yr,
        obstime=Time(2016.0, format="jyear"),
    )
    later = start.apply_space_motion(new_obstime=Time(2025.5, format="jyear"))
    one = np.ones(1)
    direction = propagate(150.1 * one, -12.3 * one, 834.0 * one, -412.0 * one, 0 * one, 9.5, 6e4)
    ra, dec = ra_dec_deg(direction)
    assert offset_mas(ra, dec, later.ra.deg, later.dec.deg) == pytest.approx(0.0, abs=0.05)


def test_parallax_agrees_with_the_ephemeris_to_a_hundredth() -> None:
    from astropy.coordinates import get_body_barycentric
    from astropy.time import Time

    mjd, parallax = 60812.9, 100.0
    one = np.ones(1)
    ra, dec = ra_dec_deg(
        propagate(150.1 * one, -12.3 * one, 0 * one, 0 * one, parallax * one, 0.0, mjd)
    )
    # Textbook (Seidelmann 3.29): shifts by the barycentric position of the Earth.
    x, y, z = get_body_barycentric("earth", Time(mjd, format="mjd", scale="tai")).xyz.to_value("AU")
    a, d = np.deg2rad(150.1), np.deg2rad(-12.3)
    east = parallax * (x * np.sin(a) - y * np.cos(a))
    north = parallax * (x * np.cos(a) * np.sin(d) + y * np.sin(a) * np.sin(d) - z * np.cos(d))
    found = offset_mas(ra, dec, 150.1, -12.3)[:, 0]
    assert np.hypot(east, north) > 50
    np.testing.assert_allclose(found, [east, north], atol=1.3)


def test_catalogue_is_carried_to_the_epoch_of_the_visit() -> None:
    survey = build({"stars": {"parallaxes": False}})
    stars = survey.catalog.stars
    years = (60710.0 - survey.config.reference.epoch_mjd) / 365.25
    ra, dec = ra_dec_deg(star_directions(survey.config, stars, 60710.0))
    north = (dec - stars["dec"]) * MAS_PER_DEG / years
    np.testing.assert_allclose(north, stars["pm_dec"], atol=2e-3)
    east = (ra - stars["ra"]) * np.cos(np.deg2rad(stars["dec"])) * MAS_PER_DEG / years
    np.testing.assert_allclose(east, stars["pm_ra"], atol=2e-3)


@pytest.mark.parametrize("rotation", [0.0, 90.0, 205.0])
def test_orientation_follows_the_conventions(rotation: float) -> None:
    survey = build(QUIET, STILL, {"observing": {"rotations_deg": [rotation], "dither_arcsec": 0}})
    visit = survey.visits[0]
    step = 30 / 3600
    # Stars 30 arcsec to the east and to the north of the boresight.
    dec = np.array([visit.true_dec_deg, visit.true_dec_deg + step])
    ra = np.array([visit.true_ra_deg + step / np.cos(np.deg2rad(dec[0])), visit.true_ra_deg])
    geometry = survey.model(visit.visit).geometry
    x_mm, y_mm = survey.optics.field_to_focal(*geometry.sky_to_field(unit_vector(ra, dec)))
    scale = survey.instrument.optics.plate_scale_arcsec_per_mm
    t = np.deg2rad(rotation)
    # xi = -fx cos t + fy sin t, eta = fx sin t + fy cos t.
    np.testing.assert_allclose((-x_mm * np.cos(t) + y_mm * np.sin(t)) * scale, [30, 0], atol=1e-2)
    np.testing.assert_allclose((x_mm * np.sin(t) + y_mm * np.cos(t)) * scale, [0, 30], atol=1e-2)


def test_boresight_falls_on_the_centre_of_the_field() -> None:
    survey = build(QUIET, {"instrument": {"optics": {"flexure_mas": 0}}})
    visit = survey.visits[0]
    geometry = survey.model(visit.visit).geometry
    direction = unit_vector(np.array([visit.true_ra_deg]), np.array([visit.true_dec_deg]))
    assert np.abs(geometry.sky_to_field(direction)).max() * MAS_PER_DEG < 1e-3


@pytest.mark.parametrize("visit", [1, 2, 3])
def test_pixels_and_sky_round_trip_to_a_microarcsecond(visit: int) -> None:
    survey = tiny()
    geometry = survey.model(visit).geometry
    x, y = np.meshgrid(np.linspace(0, 255, 7), np.linspace(0, 255, 7))
    sky = pixel_to_sky(survey.optics, 1, geometry, x.ravel(), y.ravel())
    back = sky_to_pixel(survey.optics, 1, geometry, unit_vector(*sky))
    np.testing.assert_allclose(back, [x.ravel(), y.ravel()], atol=5e-6)


def test_dispersion_points_to_the_zenith_and_has_the_right_size() -> None:
    import galsim
    from galsim.dcr import get_refraction

    survey = quiet()
    model = survey.model(2)
    assert model.truth.band == "g"
    assert model.truth.airmass > 1.01
    one = np.array([model.truth.true_ra_deg]), np.array([model.truth.true_dec_deg])
    blue = survey.sky_to_pixel(2, 0, *one, temperature_k=9000.0)
    red = survey.sky_to_pixel(2, 0, *one, temperature_k=3500.0)
    shift = np.array([blue[0][0] - red[0][0], blue[1][0] - red[1][0]]) * 0.2
    angle = model.geometry.zenith_field_angle_deg()
    angle -= survey.optics.detectors[0].place.rotation_deg
    along = shift @ [np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))]
    assert along == pytest.approx(np.hypot(*shift), rel=1e-3)
    # The same by GalSim's refraction and a sum over the two spectra.
    from drpflow.sim.sed import WAVELENGTH_NM

    air, curve = model.geometry.air, model.curve(0)
    assert air is not None
    angles = np.array(
        [
            get_refraction(
                w,
                model.geometry.zenith_deg * galsim.degrees,
                pressure=air.pressure_hpa / 10,
                temperature=air.temperature_c + 273.15,
                H2O_pressure=air.vapour_pressure_pa() / 1e3,
            )
            for w in WAVELENGTH_NM
        ]
    )
    means = []
    for temperature in (9000.0, 3500.0):
        index = survey.sed_library.star_index(np.array([temperature]))[0]
        photons = survey.sed_library.spectrum(index) * curve / WAVELENGTH_NM
        means.append(np.average(angles, weights=photons) * 206264.806)
    assert np.hypot(*shift) == pytest.approx(means[0] - means[1], rel=1e-2)


def test_turbulence_has_the_rms_of_its_exposure_time() -> None:
    survey = build(QUIET, {"turbulence": {"rms_mas": 5.0}, "observing": {"exposure_time_s": 120.0}})
    values = []
    for seed in range(40):
        config = survey.config.model_copy(update={"seed": seed})
        geometry = type(survey).build(config).model(1).geometry
        assert geometry.turbulence is not None
        x, y = np.random.default_rng(seed).uniform(-0.02, 0.02, (2, 50))
        still = np.array(geometry.displacement_deg(x, y)) * MAS_PER_DEG
        flexure = geometry.flexure_mas
        u, v = x / geometry.radius_deg, y / geometry.radius_deg
        still -= flexure @ np.array([u, v, u**2, u * v, v**2])
        values.append(still)
    # 5 mas in 30 s is 2.5 mas in 120 s.
    assert np.std(values) == pytest.approx(2.5, rel=0.15)


def test_aberration_changes_the_scale_by_parts_in_ten_thousand() -> None:
    ra, dec = np.array([150.1, 150.11]), np.array([-12.3, -12.3])
    distance = []
    for aberration in (True, False):
        survey = build(QUIET, STILL, {"atmosphere": {"aberration": aberration}})
        x, y = survey.sky_to_pixel(1, 0, ra, dec)
        distance.append(np.hypot(np.diff(x), np.diff(y))[0])
    assert 1e-6 < abs(distance[0] / distance[1] - 1) < 1.1e-4
