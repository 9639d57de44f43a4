import pickle
import time

import numpy as np
import pytest

from drpflow.sim.survey import Survey

from .surveys import build, survey_config, tiny


def test_two_builds_give_identical_frames() -> None:
    first, second = tiny().render(3, 1), build().render(3, 1)
    np.testing.assert_array_equal(first.electrons, second.electrons)
    np.testing.assert_array_equal(first.objects, second.objects)
    np.testing.assert_array_equal(first.trail_mask, second.trail_mask)


def test_frames_do_not_depend_on_the_order_of_rendering() -> None:
    survey = build()
    survey.render(1, 0)
    survey.render(2, 1)
    np.testing.assert_array_equal(survey.render(3, 1).electrons, tiny().render(3, 1).electrons)


def test_a_survey_survives_pickling() -> None:
    copy: Survey = pickle.loads(pickle.dumps(tiny()))
    np.testing.assert_array_equal(copy.render(1, 0).electrons, tiny().render(1, 0).electrons)


def test_another_seed_is_another_survey() -> None:
    other = Survey.build(survey_config("tiny", {"seed": 4321}))
    assert other.catalog.stars["ra"][0] != tiny().catalog.stars["ra"][0]
    assert (other.render(1, 0).electrons != tiny().render(1, 0).electrons).any()


def test_switching_one_effect_off_changes_nothing_else() -> None:
    survey = build({"transients": {"supernovae": 0, "flares": 0}, "artifacts": {"ghosts": False}})
    np.testing.assert_array_equal(survey.catalog.stars, tiny().catalog.stars)
    np.testing.assert_array_equal(survey.catalog.galaxies, tiny().catalog.galaxies)
    assert survey.visits == tiny().visits


def test_visits_show_the_same_sky() -> None:
    # The same star, found through each visit's own pointing, is a source of each frame.
    stars = tiny().catalog.stars
    brightest = stars["id"][np.argsort(stars["mag"])[:40]]
    seen = [set(tiny().render(v, d).objects["id"]) for v in (1, 3) for d in (0, 1)]
    common = set(brightest) & (seen[0] | seen[1]) & (seen[2] | seen[3])
    assert len(common) > 5


def test_images_are_finite_and_never_darker_than_the_sky() -> None:
    scene = tiny().render(1, 1)
    assert scene.electrons.shape == scene.sky_electrons.shape == (256, 256)
    assert scene.electrons.dtype == np.float64
    assert np.isfinite(scene.electrons).all()
    noise = np.sqrt(scene.sky_electrons)
    assert (scene.electrons > scene.sky_electrons - 0.01 * noise).all()


def test_unknown_ids_are_key_errors() -> None:
    with pytest.raises(KeyError, match="no visit 99"):
        tiny().render(99, 0)
    with pytest.raises(KeyError, match="no detector 7"):
        tiny().render(1, 7)
    with pytest.raises(KeyError, match="no filter 'sim_z'"):
        tiny().dome_illumination(0, "sim_z")


def test_dome_is_about_one() -> None:
    dome = tiny().dome_illumination(1, "sim_g")
    assert dome.shape == (256, 256)
    assert dome.mean() == pytest.approx(1.0, abs=0.1)


def test_tiny_is_rendered_in_seconds() -> None:
    survey = build()
    survey.render(1, 0)
    start = time.process_time()
    for visit in survey.visits:
        for detector in survey.instrument.detectors:
            survey.render(visit.visit, detector.id)
    # 0.5 s on a 3 GHz core that does nothing else.
    assert time.process_time() - start < 4.0


def test_psf_image_is_what_stars_look_like() -> None:
    survey = build({"artifacts": {"aureole": False, "spikes": False}})
    scene = survey.render(1, 0)
    star = scene.objects[
        (scene.objects["kind"] == 0)
        & (np.abs(scene.objects["x"] - 128) < 90)
        & (np.abs(scene.objects["y"] - 128) < 90)
    ]
    star = star[np.argmax(star["flux_electron"])]
    temperature = float(
        survey.catalog.stars["temperature_k"][survey.catalog.stars["id"] == star["id"]][0]
    )
    psf = survey.psf_image(1, 0, star["x"], star["y"], temperature, size=9)
    x0, y0 = round(star["x"]) - 4, round(star["y"]) - 4
    cut = (scene.electrons - scene.sky_electrons)[y0 : y0 + 9, x0 : x0 + 9]
    assert np.abs(cut / star["flux_electron"] - psf).max() < 0.02 * psf.max()
