"""Use case 2: one component of an exposure, however the exposure is stored."""

import pytest

from drpflow.errors import MissingDatasetError

NAMES = ("wcs", "psf", "photo_calib", "ap_corr", "background", "valid_polygon", "detector")


@pytest.mark.parametrize("name", [*NAMES, "visit_info"])
def test_component_of_an_exposure_file(survey, no_pixels, name):
    component = survey.fresh().get(f"initial_pvi.{name}", visit=12, detector=3)
    assert component == survey.truth[12, 3].first[name]


@pytest.mark.parametrize("name", ["wcs", "psf", "photo_calib", "ap_corr", "transmission"])
def test_component_of_a_row_of_a_table(survey, name):
    component = survey.fresh().get(f"final_visit_summary.{name}", visit=12, detector=3)
    assert component == survey.truth[12, 3].final[name]


def test_component_of_an_opened_exposure(survey, no_pixels):
    exposure = survey.fresh().get("initial_pvi", visit=12, detector=0)
    assert exposure.psf == survey.truth[12, 0].first["psf"]
    assert set(exposure.components) == {*NAMES, "visit_info"}


def test_missing_component_says_why(survey):
    store = survey.fresh()
    exposure = store.get("initial_pvi", visit=12, detector=0)
    assert exposure.transmission is None
    with pytest.raises(MissingDatasetError, match="no throughput was given"):
        store.get("initial_pvi.transmission", visit=12, detector=0)
    with pytest.raises(MissingDatasetError, match="no throughput was given"):
        exposure.require("wcs", "transmission")


def test_misspelt_component_names_the_nearest(survey):
    with pytest.raises(MissingDatasetError, match="did you mean 'photo_calib'"):
        survey.fresh().get("initial_pvi.photocalib", visit=12, detector=0)
    with pytest.raises(MissingDatasetError, match="did you mean 'photo_calib'"):
        survey.fresh().get("recalibrated_pvi.photocalib", visit=12, detector=0)
    with pytest.raises(MissingDatasetError, match="did you mean 'photo_calib'"):
        survey.fresh().get("initial_pvi", visit=12, detector=0).require("photocalib")
