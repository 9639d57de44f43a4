import numpy as np
import pytest

from drpflow.sim.earth import unit_vector
from drpflow.sim.placement import place_sources
from drpflow.sim.psf_image import central_fwhm_pix
from drpflow.sim.scene import Scene, render_scene
from drpflow.sim.sources import SOURCE_DTYPE, Kind
from drpflow.sim.survey import Survey

from .surveys import QUIET, build, quiet, tiny

FULL = {"artifacts": {"aureole": True, "spikes": True, "aureole_edge_arcsec": 30}}


def one_source(survey: Survey, x: float, y: float, mag: float, **values: float) -> np.ndarray:
    """Return a source of the sky that falls on a pixel of detector 0 in visit 1."""
    ra, dec = survey.pixel_to_sky(1, 0, np.array([x]), np.array([y]))
    source = np.zeros(1, SOURCE_DTYPE)
    source["direction"], source["mag"] = unit_vector(ra, dec), mag
    source["sed"] = survey.sed_library.star_index(np.array([5500.0]))
    for name, value in values.items():
        source[name] = value
    return source


def render(survey: Survey, sources: np.ndarray) -> Scene:
    return render_scene(survey.model(1), 0, sources)


def centroid(image: np.ndarray, near: tuple[float, float], sigma_pix: float) -> tuple[float, float]:
    """Return the centroid under a Gaussian weight, iterated to its fixed point."""
    rows, columns = np.indices(image.shape)
    x, y = near
    for _ in range(60):
        r2 = (columns - x) ** 2 + (rows - y) ** 2
        weight = image * np.exp(-0.5 * r2 / sigma_pix**2)
        dx = (weight * (columns - x)).sum() / weight.sum()
        dy = (weight * (rows - y)).sum() / weight.sum()
        x, y = x + 2 * dx, y + 2 * dy
    return x, y


@pytest.mark.parametrize("mag", [21.5, 19.0, 16.5])
def test_flux_is_conserved(mag: float) -> None:
    survey = quiet()
    scene = render(survey, one_source(survey, 120.37, 131.62, mag))
    added = (scene.electrons - scene.sky_electrons).sum()
    # What is missing lies beyond the edges of the detector.
    assert added == pytest.approx(scene.objects["flux_electron"][0], rel=3e-3)


def test_wings_take_from_the_core_and_not_from_the_flux() -> None:
    plain, winged = quiet(), build(QUIET, FULL)
    source = one_source(plain, 128.0, 128.0, 15.0)
    core, total = render(plain, source), render(winged, source)
    share = 1 - winged.config.artifacts.aureole_fraction - winged.config.artifacts.spike_fraction
    assert total.objects["peak_electron"][0] == pytest.approx(
        share * core.objects["peak_electron"][0]
    )
    both = [(s.electrons - s.sky_electrons).sum() for s in (core, total)]
    assert both[1] == pytest.approx(both[0], rel=5e-3)


def test_star_of_known_magnitude_gives_the_electrons_of_its_zero_point() -> None:
    survey = quiet()
    scene = render(survey, one_source(survey, 127.5, 127.5, 18.0))
    model = survey.model(1)
    rate = model.response(0).at(survey.sed_library.star_index(np.array([5500.0])))
    place = survey.optics.detectors[0].place
    light = float(survey.optics.illumination(*map(np.array, place.center_mm)))
    expected = rate.electron_per_s_njy[0] * 3631e9 * 10 ** (-0.4 * 18.0) * 30.0 * light
    assert scene.objects["flux_electron"][0] == pytest.approx(expected, rel=1e-4)


def test_stars_are_where_truth_says_to_a_mas() -> None:
    survey = quiet()
    sigma = central_fwhm_pix(survey.model(1), 0) / 2.355
    for x, y in ((100.0, 90.5), (50.31, 200.77), (201.49, 37.02)):
        scene = render(survey, one_source(survey, x, y, 17.0))
        row = scene.objects[0]
        assert (row["x"], row["y"]) == (pytest.approx(x, abs=1e-5), pytest.approx(y, abs=1e-5))
        found = centroid(scene.electrons - scene.sky_electrons, (x, y), sigma)
        # 1 mas is 5e-3 of a pixel.
        assert found == (pytest.approx(x, abs=5e-3), pytest.approx(y, abs=5e-3))


@pytest.mark.parametrize("mag", [22.0, 20.0, 18.0])
def test_boxes_are_large_enough(monkeypatch: pytest.MonkeyPatch, mag: float) -> None:
    import drpflow.sim.scene as module

    survey = quiet()
    galaxy = one_source(
        survey, 128.0, 128.0, mag, kind=Kind.GALAXY, bulge_fraction=0.4, disc_radius_arcsec=0.8,
        bulge_radius_arcsec=0.4, axis_ratio=0.7, position_angle_deg=30.0,
    )  # fmt: skip
    sources = np.concatenate([one_source(survey, 60.0, 190.0, mag), galaxy])
    chosen = render(survey, sources)
    monkeypatch.setattr(module, "_boxes", lambda placed, *_: np.full(len(placed.x), 512))
    largest = render(survey, sources)
    noise = np.sqrt(chosen.sky_electrons.mean())
    # Some hundredths of the noise at the edge of a box, where periodic neighbours add up.
    assert np.abs(chosen.electrons - largest.electrons).max() < 0.05 * noise


def test_galaxy_lies_along_its_position_angle() -> None:
    survey = quiet()
    source = one_source(
        survey, 128.0, 128.0, 17.0, kind=Kind.GALAXY, disc_radius_arcsec=2.0, axis_ratio=0.3,
        position_angle_deg=40.0,
    )  # fmt: skip
    scene = render(survey, source)
    image = scene.electrons - scene.sky_electrons
    y, x = np.indices(image.shape) - 128.0
    weight = image * np.exp(-0.5 * (x**2 + y**2) / 15.0**2)
    xx, yy, xy = ((weight * q).sum() for q in (x * x, y * y, x * y))
    angle = 0.5 * np.arctan2(2 * xy, xx - yy)
    # Two points along that position angle on the sky, 5 arcsec apart.
    ra, dec = survey.pixel_to_sky(1, 0, np.array([128.0]), np.array([128.0]))
    north = dec + 5 / 3600 * np.cos(np.deg2rad(40.0))
    east = ra + 5 / 3600 * np.sin(np.deg2rad(40.0)) / np.cos(np.deg2rad(dec))
    px, py = survey.sky_to_pixel(1, 0, east, north)
    expected = np.arctan2(py[0] - 128.0, px[0] - 128.0)
    assert np.sin(angle - expected) == pytest.approx(0.0, abs=0.02)


def test_cloud_dims_and_varies_over_the_field() -> None:
    cloud = {"observing": {"special": [{"visit": 1, "cloud_mag": 0.4}]}}
    clear, cloudy = build(QUIET), build(QUIET, cloud)
    sources = clear.sources(1)
    before = place_sources(clear.model(1), 0, sources).flux_electron
    after = place_sources(cloudy.model(1), 0, sources).flux_electron
    extinction = -2.5 * np.log10(after / before)
    assert extinction.mean() == pytest.approx(0.4, abs=0.25)
    assert 0.002 < extinction.std() < 0.2


def test_detector_may_be_empty() -> None:
    survey = build(QUIET, {"observing": {"special": [{"visit": 1, "empty_detectors": [1]}]}})
    empty, other = survey.render(1, 1), survey.render(1, 0)
    assert len(empty.objects) == 0
    np.testing.assert_array_equal(empty.electrons, empty.sky_electrons)
    assert len(other.objects) > 50


def test_masks_show_what_trails_and_ghosts_added() -> None:
    trail = {"observing": {"special": [{"visit": 1, "trails": 3}]}}
    sources = one_source(quiet(), 128.0, 128.0, 11.0)
    plain = render(quiet(), sources)
    noise = np.sqrt(plain.sky_electrons.mean())
    assert not plain.trail_mask.any()
    assert not plain.ghost_mask.any()
    trailed = render(build(QUIET, trail), sources)
    added = trailed.electrons - plain.electrons
    assert trailed.trail_mask.any()
    assert (added[~trailed.trail_mask] < 3 * 0.2 * noise).all()
    assert (added[trailed.trail_mask] > 0.19 * noise).all()
    ghosted = render(build(QUIET, {"artifacts": {"ghosts": True}}), sources)
    added = ghosted.electrons - plain.electrons
    assert added.sum() > 0
    assert (added[~ghosted.ghost_mask] <= 0.2 * noise * 1.001).all()


def test_moving_object_is_longer_than_a_star() -> None:
    survey = quiet()
    still = render(survey, one_source(survey, 128.0, 128.0, 18.0))
    source = one_source(survey, 128.0, 128.0, 18.0, kind=Kind.ASTEROID)
    source["trail_arcsec"] = [[3.0, 0.0]]
    moving = render(survey, source)
    assert moving.objects["flux_electron"][0] == still.objects["flux_electron"][0]
    area = moving.objects["effective_area_pix"][0] / still.objects["effective_area_pix"][0]
    assert area > 2.0


def test_truth_lists_sources_on_and_beside_the_detector_only() -> None:
    objects = tiny().render(2, 1).objects
    for axis in ("x", "y"):
        assert objects[axis].min() > -20
        assert objects[axis].max() < 276
    assert (objects["flux_electron"] > 0).all()
    assert (objects["peak_electron"] < objects["flux_electron"]).all()
