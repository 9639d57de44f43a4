"""Use case 6: datasets of nested data IDs read as one, under a name of its own."""

import numpy as np
import pytest

from drpflow import InputError
from drpflow.errors import MissingDatasetError


@pytest.fixture
def stars(survey):
    for visit, detector in survey.truth:
        columns = {"id": np.arange(2) + 10 * detector, "flux": np.full(2, float(visit))}
        survey.store.put(columns, "initial_stars_detector", visit=visit, detector=detector)
    for visit in (12, 15):
        columns = {"sourceId": np.arange(visit), "detector": np.zeros(visit, np.int16)}
        survey.store.put(columns, "source", visit=visit)
    return survey


def test_detectors_of_a_visit_as_one_table(stars):
    table = stars.fresh().get("initial_stars_visit", visit=12)
    np.testing.assert_array_equal(table["detector"], [0, 0, 3, 3])
    np.testing.assert_array_equal(table["id"], [0, 1, 30, 31])
    assert (table["visit"] == 12).all()
    assert table.meta["dataset"] == "initial_stars_visit"
    assert table.meta["data_id"] == {"visit": 12}


def test_visits_of_a_run_as_one_table(stars):
    table = stars.fresh().get("source_run")
    assert len(table) == 27
    assert [(table["visit"] == visit).sum() for visit in (12, 15)] == [12, 15]


def test_an_aggregate_has_the_components_of_its_members(stars, no_pixels):
    table = stars.fresh().get("initial_stars_visit", visit=12)
    assert table.component("wcs", detector=3) == stars.truth[12, 3].first["wcs"]
    summaries = stars.fresh().get("final_visit_summary_run")
    assert summaries.component("psf", visit=15, detector=0) == stars.truth[15, 0].final["psf"]
    assert summaries.columns == ["visit", "detector", "nStars"]


def test_images_of_a_visit_as_one(stars):
    group = stars.fresh().get("initial_pvi_visit", visit=15)
    assert list(group) == [0, 3]
    assert group[3].wcs == stars.truth[15, 3].first["wcs"]
    assert group.components("transmission") == {0: None, 3: None}


def test_parts_of_different_kind_are_refused(stars):
    odd = {"id": np.arange(2), "flux": np.full(2, 1.0, np.float32)}
    stars.store.put(odd, "initial_stars_detector", visit=12, detector=3)
    with pytest.raises(InputError, match="'flux' has another type"):
        stars.fresh().get("initial_stars_visit", visit=12)
    stars.store.put({"id": np.arange(2)}, "initial_stars_detector", visit=12, detector=3)
    with pytest.raises(InputError, match="'flux' is in one only"):
        stars.fresh().get("initial_stars_visit", visit=12)


def test_nothing_to_gather(stars):
    with pytest.raises(MissingDatasetError, match="no initial_stars_detector for visit=99"):
        stars.fresh().get("initial_stars_visit", visit=99)


def test_a_partial_data_id_is_no_aggregate(stars):
    with pytest.raises(InputError, match="Add detector"):
        stars.fresh().get("initial_stars_detector", visit=12)


def test_which_aggregates_exist(stars):
    assert stars.fresh().query("initial_stars_visit") == [{"visit": 12}, {"visit": 15}]
    assert stars.fresh().query("source_run") == [{}]
