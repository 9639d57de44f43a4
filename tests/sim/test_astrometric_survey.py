import numpy as np
import pytest

from drpflow.sim.astrometric_config import AstrometricConfig
from drpflow.sim.astrometric_survey import AstrometricSurvey, simulate_astrometry
from drpflow.sim.astrometric_visits import draw_turbulence
from drpflow.sim.earth import unit_vector

MAS_PER_RAD = 206264806.247


def survey(seed: int = 3, **sections: dict[str, object]) -> AstrometricSurvey:
    values: dict[str, dict[str, object]] = {
        "field": {"stars_per_detector": 60},
        "visits": {"visits_per_night": 2},
        "turbulence": {"coherence_deg": 0.1},
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    return simulate_astrometry(AstrometricConfig.model_validate({"seed": seed, **values}))


@pytest.fixture(scope="module")
def made() -> AstrometricSurvey:
    return survey()


def mas(survey: AstrometricSurvey) -> float:
    return 3.6e6 * survey.camera.scale_deg


def test_equal_configurations_give_equal_surveys(made: AstrometricSurvey) -> None:
    again, other = survey(), survey(4)
    assert np.array_equal(made.centroids.x, again.centroids.x)
    assert not np.array_equal(made.centroids.x[:100], other.centroids.x[:100])


@pytest.mark.parametrize("visit", [0, 7])
def test_the_way_back_leads_to_the_stars(made: AstrometricSurvey, visit: int) -> None:
    c, air = made.centroids, made.turbulence(visit)
    seen = made.stars.directions(made.visits[visit].mjd)
    for detector in (0, 4):
        rows = np.flatnonzero((c.visit == visit) & (c.detector == detector))
        assert rows.size > 20
        color = made.stars.color[c.star[rows]]
        place = made.pixel_to_sky(visit, detector, c.true_x[rows], c.true_y[rows], color, air)
        off = unit_vector(*place) - seen[c.star[rows]]
        assert np.abs(off).max() * MAS_PER_RAD < 1e-4


def test_errors_are_as_told_but_for_what_is_spoilt(made: AstrometricSurvey) -> None:
    c = made.centroids
    dx, dy = (c.x - c.true_x).astype(float), (c.y - c.true_y).astype(float)
    determinant = c.xx.astype(float) * c.yy - c.xy.astype(float) ** 2
    chi2 = (c.yy * dx**2 - 2 * c.xy * dx * dy + c.xx * dy**2) / determinant
    assert np.mean(chi2[~c.spoilt]) == pytest.approx(2.0, rel=0.05)
    assert np.mean(c.spoilt) == pytest.approx(0.05, abs=0.01)
    assert np.std(dx[c.spoilt]) * mas(made) == pytest.approx(101, rel=0.15)


def test_turbulence_has_the_size_asked_for_and_is_left_out_of_the_truth() -> None:
    s = survey(turbulence={"rms_mas": 15.0, "coherence_deg": 0.03})
    c = s.centroids
    for moved in (c.air_x, c.air_y):
        assert np.std(moved) * mas(s) == pytest.approx(15.0, rel=0.15)
    first = (c.visit == 0) & (c.detector == 0)
    x, y = c.true_x[first], c.true_y[first]
    with_air = unit_vector(*s.pixel_to_sky(0, 0, x, y, air=s.turbulence(0)))
    without = unit_vector(*s.pixel_to_sky(0, 0, x, y))
    moved_mas = np.linalg.norm(with_air - without, axis=1) * MAS_PER_RAD
    air_mas = np.hypot(c.air_x, c.air_y)[first] * mas(s)
    assert moved_mas == pytest.approx(air_mas, rel=0.02, abs=0.05)


def test_wind_stretches_the_turbulence_and_leaves_it_without_curl() -> None:
    config = AstrometricConfig.model_validate(
        {"turbulence": {"stretch": 2.5, "curl_fraction": 0.0, "coherence_deg": 0.2}}
    ).turbulence
    x, y = np.meshgrid(*[np.linspace(-0.5, 0.5, 161)] * 2)
    ratios = []
    for number in range(3):
        air = draw_turbulence(config, 1, number, 1.5)
        assert air is not None
        dx, dy = air(x, y)
        (dx_dy, dx_dx), (dy_dy, dy_dx) = np.gradient(dx), np.gradient(dy)
        curl, divergence = dy_dx - dx_dy, dx_dx + dy_dy
        assert np.std(curl) < 0.1 * np.std(divergence)
        axes, vectors = np.linalg.eigh(air.matrix)
        steps = 0.05 * vectors.T
        rough = [np.std(air(x + s[0], y + s[1]) - air(x, y)) for s in steps]
        ratios.append(rough[1] / rough[0])
        assert axes[1] / axes[0] == pytest.approx(2.5)
    # Across the wind (the larger axis of the matrix) it changes faster.
    assert np.mean(ratios) > 1.3


def test_dispersion_lifts_blue_stars_towards_the_zenith(made: AstrometricSurvey) -> None:
    for visit in made.visits[:3]:
        x = y = np.array([1000.0])
        blue = unit_vector(*made.pixel_to_sky(visit.number, 4, x, y, color=0.0))
        red = unit_vector(*made.pixel_to_sky(visit.number, 4, x, y, color=1.0))
        # The same pixel: the blue star's true place is farther from the zenith.
        across = ((red - blue) @ visit.zenith)[0] * MAS_PER_RAD
        out = blue[0] / np.linalg.norm(blue[0])
        tangent = np.tan(np.arccos(out @ visit.zenith))
        strength = made.config.visits.bands[visit.band].dispersion_mas
        size = np.linalg.norm(red - blue) * MAS_PER_RAD
        assert size == pytest.approx(strength * tangent, rel=0.01)
        assert across > 0


def test_first_coordinate_systems_are_as_wrong_as_asked(made: AstrometricSurvey) -> None:
    wrong = survey(visits={"start_error_mas": 0.0})
    moved = (made.start_offset_deg - wrong.start_offset_deg) * 3.6e6
    assert np.std(moved) == pytest.approx(50.0, rel=0.15)


def test_the_catalogue_errs_as_it_says(made: AstrometricSurvey) -> None:
    s = survey(field={"stars_per_detector": 300}, reference={"outlier_fraction": 0.0})
    r = s.stars.reference
    listed = np.isfinite(r.ra)
    assert 0.1 < listed.mean() < 0.4
    east = (r.ra - s.stars.ra)[listed] * np.cos(np.deg2rad(s.stars.dec[listed])) * 3.6e6
    assert np.std(east / r.error[listed, 0]) == pytest.approx(1, rel=0.1)
    pulls = (r.parallax - s.stars.parallax)[listed] / r.error[listed, 4]
    assert np.std(pulls) == pytest.approx(1, rel=0.1)


def test_every_star_is_on_the_detector_and_seen_once_a_visit(made: AstrometricSurvey) -> None:
    c, side = made.centroids, made.camera.config.side_pix
    for w in (c.true_x, c.true_y):
        assert w.min() > -0.5
        assert w.max() < side - 0.5
    key = c.visit.astype(np.int64) * len(made.stars) + c.star
    assert np.unique(key).size == key.size
