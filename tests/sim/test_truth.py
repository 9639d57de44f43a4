"""How hard the surveys are, computed from truth."""

from functools import lru_cache

import numpy as np
import pytest

from drpflow.sim.canvas import canvas
from drpflow.sim.psf_image import central_fwhm_pix
from drpflow.sim.sources import Kind
from drpflow.sim.survey import Survey
from drpflow.sim.truth import count_stars, frame_stars

from .surveys import build, tiny

DEMOS = ("demo", "demo-b", "demo-c")


@lru_cache(maxsize=3)
def demo(name: str) -> Survey:
    return build(name=name)


@pytest.mark.parametrize("name", DEMOS)
def test_demo_is_as_large_as_promised(name: str) -> None:
    survey = demo(name)
    assert len(survey.visits) >= 15
    assert {v.band for v in survey.visits} == {"g", "r", "i"}
    assert len({v.night for v in survey.visits}) >= 4
    assert [d.size_pix for d in survey.instrument.detectors] == [(1024, 1024)] * 4
    assert survey.instrument.pixel_scale_arcsec == pytest.approx(0.2)
    rotations = {round(v.true_rotation_deg / 45) % 8 for v in survey.visits}
    assert len(rotations) >= 4


@pytest.mark.parametrize("name", DEMOS)
def test_demo_is_as_hard_as_promised(name: str) -> None:
    survey = demo(name)
    counts = count_stars(survey)
    assert len(counts) == 64
    assert 20 <= np.median(counts["psf_stars"]) <= 45
    assert 8 <= np.median(counts["bright_reference_stars"]) <= 15
    fwhm = [central_fwhm_pix(survey.model(v.visit), 0) * 0.2 for v in survey.visits]
    assert min(fwhm) < 0.8
    assert max(fwhm) > 1.0
    assert np.median(fwhm) > 0.75
    assert survey.config.turbulence.rms_mas >= 5.0
    assert sum(v.cloud_mag > 0 for v in survey.visits) >= 3


def test_demo_has_its_troubled_visits() -> None:
    survey = demo("demo")
    assert any(v.exposure_time_s < 10 for v in survey.visits)
    assert any(v.empty_detectors for v in survey.visits)
    assert sum(v.trails for v in survey.visits) >= 5
    off = [
        np.hypot(v.header_ra_deg - v.true_ra_deg, v.header_dec_deg - v.true_dec_deg) * 3600
        for v in survey.visits
    ]
    assert max(off) > 40


def test_detector_preset_has_five_thousand_sources_to_find() -> None:
    survey = build(name="detector")
    stars = frame_stars(survey.model(1), 0, survey.sources(1))
    assert survey.instrument.detectors[0].size_pix == (4096, 4096)
    # S/N is that of a point source: of galaxies, some of these are too wide to be found.
    assert (stars.snr > 5).sum() == pytest.approx(5000, rel=0.12)
    assert (stars.snr > 10).sum() < 5000


def test_tiny_is_tiny() -> None:
    assert len(tiny().visits) == 3
    assert [d.size_pix for d in tiny().instrument.detectors] == [(256, 256)] * 2
    assert (count_stars(tiny())["psf_stars"] >= 5).all()


def test_judgement_agrees_with_the_rendered_frame() -> None:
    stars = frame_stars(tiny().model(1), 0, tiny().sources(1))
    objects = tiny().render(1, 0).objects
    on = np.isin(objects["id"], stars.placed.sources["id"])
    found = objects[on][np.argsort(objects["id"][on])]
    order = np.argsort(stars.placed.sources["id"])
    np.testing.assert_allclose(found["flux_electron"], stars.placed.flux_electron[order])
    np.testing.assert_allclose(found["x"], stars.placed.x[order])
    point = found["kind"] == Kind.STAR
    # One profile for the whole frame is good to some per cent.
    area = found["effective_area_pix"][point]
    assert np.median(area) == pytest.approx(stars.effective_area_pix, rel=0.08)


def test_signal_to_noise_is_that_of_a_fit() -> None:
    stars = frame_stars(tiny().model(1), 0, tiny().sources(1))
    faint = np.argmin(np.abs(stars.snr - 20))
    flux = stars.placed.flux_electron[faint]
    profile = canvas(64, 1).draw((32.0, 32.0), *stars.placed.cumulants.row(int(faint)))
    noise2 = stars.sky_electron + tiny().config.detector.electronics.read_noise_electron ** 2
    fisher = (profile**2 / (noise2 + flux * profile)).sum()
    assert stars.snr[faint] == pytest.approx(flux * np.sqrt(fisher), rel=0.1)


def test_faults_of_stars_are_seen() -> None:
    stars = frame_stars(tiny().model(1), 0, tiny().sources(1))
    used = stars.psf_star
    assert (stars.placed.sources["kind"][used] == Kind.STAR).all()
    assert (stars.snr[used] >= 50).all()
    assert not stars.saturated[used].any()
    assert stars.placed.x[used].min() > 15
    assert stars.saturated[np.argmax(stars.placed.flux_electron)]
    x, y, flux = stars.placed.x, stars.placed.y, stars.placed.flux_electron
    for i in np.flatnonzero(used):
        near = np.hypot(x - x[i], y - y[i]) < 14.9
        near[i] = False
        assert (flux[near] <= 0.03 * flux[i]).all()
