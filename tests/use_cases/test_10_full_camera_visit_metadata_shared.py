"""Use case 10: what holds for a visit stands once, and is one object for all its detectors."""

import json

import pytest

from drpflow import InputError
from drpflow.io.exposure_fits import open_exposure


def test_stored_once(survey):
    path = survey.store.path("initial_pvi", visit=12, detector=3)
    assert b"recorded_airmass" not in path.read_bytes()
    (info,) = survey.root.glob("visit_info/visit=12/*")
    assert json.loads(info.read_text())["meta"]["visit"] == 12


def test_one_object_for_all_detectors(survey):
    store = survey.fresh()
    exposures = [store.get("initial_pvi", visit=12, detector=d) for d in (0, 3)]
    assert exposures[0].visit_info == survey.truth[12, 0].first["visit_info"]
    assert exposures[0].visit_info is exposures[1].visit_info
    assert exposures[0].visit_info is store.get("visit_info", visit=12)


def test_a_visit_as_a_whole(survey, no_pixels):
    visit = survey.fresh().get("initial_pvi_visit", visit=12)
    assert visit.visit_info.mjd == pytest.approx(60000.262)
    assert visit.visit_info is visit[0].visit_info
    corners = {d: visit[d].wcs.sky_corners() for d in visit}
    assert set(corners) == {0, 3}


def test_correcting_it_once_corrects_it_everywhere(survey):
    info = survey.store.get("visit_info", visit=12)
    survey.store.put(info.with_pointing(10.0, 20.0), "visit_info", visit=12)
    store = survey.fresh()
    for detector in (0, 3):
        assert store.get("initial_pvi.visit_info", visit=12, detector=detector).ra_deg == 10.0


def test_an_exposure_that_says_otherwise_is_refused(survey):
    exposure = survey.fresh().get("initial_pvi", visit=12, detector=3)
    other = exposure.replace(visit_info=exposure.visit_info.with_pointing(10.0, 20.0))
    with pytest.raises(InputError, match="it differs from the component of the exposure"):
        survey.store.put(other, "initial_pvi", visit=12, detector=3)


def test_an_exposure_opened_by_its_path_finds_it(survey):
    exposure = open_exposure(survey.store.path("initial_pvi", visit=15, detector=0))
    assert exposure.visit_info == survey.truth[15, 0].first["visit_info"]


def test_visits_are_selected_by_it(survey):
    store = survey.fresh()
    assert store.query("initial_pvi", band="r") == [
        {"visit": 12, "detector": 0},
        {"visit": 12, "detector": 3},
    ]
    assert store.query("recalibrated_pvi", physical_filter="g_01", detector=0) == [
        {"visit": 15, "detector": 0}
    ]
    with pytest.raises(InputError, match="did you mean 'band'"):
        store.query("initial_pvi", bnad="r")
