"""Use case 1: an exposure with the WCS and calibration of a later, named stage."""

import numpy as np
import pytest

from drpflow import InputError
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.photo_calib import PhotoCalib
from drpflow.errors import MissingDatasetError

BY_SKYPIX = """
views:
  skypix_pvi:
    base: initial_pvi
    replace: {wcs: final_astrometry_wcs, photo_calib: fgcm_photo_calib}
    doc: First image with the WCS of one joint fit.
"""


def test_recalibrated_pvi_has_the_final_components_and_pixels(survey, files_below):
    before = files_below(survey.root)
    truth = survey.truth[12, 3]

    view = survey.fresh().get("recalibrated_pvi", visit=12, detector=3)

    for name in ("wcs", "psf", "photo_calib", "ap_corr", "background", "transmission"):
        assert view.components[name] == truth.final[name]
    assert view.visit_info == truth.first["visit_info"]  # not replaced
    assert view.unit == "nJy"
    # One rounding to float32 at the level of the sky, 220 electrons, about 1e-4 nJy.
    tolerance = 4 * np.spacing(np.float32(220)) * truth.final["photo_calib"].mean
    np.testing.assert_allclose(view.image, truth.final_njy, rtol=3e-7, atol=tolerance)
    x, y = np.meshgrid(view.box.x, view.box.y)
    factor = truth.final["photo_calib"].factor(x, y)
    np.testing.assert_allclose(view.variance, truth.variance * factor**2, rtol=1e-6)
    assert view.mask.count()["SAT"] == 16
    assert files_below(survey.root) == before  # nothing was copied


def test_initial_pvi_is_as_it_was(survey):
    store, truth = survey.fresh(), survey.truth[12, 3]
    store.get("recalibrated_pvi", visit=12, detector=3).image  # noqa: B018
    exposure = store.get("initial_pvi", visit=12, detector=3)
    assert exposure.wcs == truth.first["wcs"]
    assert exposure.photo_calib == truth.first["photo_calib"]


def test_view_cutout_equals_the_same_part_of_the_whole(survey):
    box = (10, 40, 20, 60)
    view = survey.fresh().get("recalibrated_pvi", visit=12, detector=0, box=box)
    whole = survey.fresh().get("recalibrated_pvi", visit=12, detector=0)
    np.testing.assert_array_equal(view.image, whole.image[20:60, 10:40])
    np.testing.assert_array_equal(view.variance, whole.variance[20:60, 10:40])


def test_stages_say_where_each_component_came_from(survey):
    view = survey.fresh().get("recalibrated_pvi", visit=12, detector=3)
    assert view.provenance.stages["wcs"] == "final_visit_summary"
    assert view.provenance.stages["background"] == "visit_background"


def test_components_of_a_view_read_no_pixels(survey, no_pixels):
    store = survey.fresh()
    truth = survey.truth[15, 0]
    assert store.get("recalibrated_pvi.wcs", visit=15, detector=0) == truth.final["wcs"]
    assert store.get("recalibrated_pvi", visit=15, detector=0).psf == truth.final["psf"]


@pytest.mark.parametrize("lost", ["final_visit_summary", "visit_background"])
def test_missing_replacement_is_an_error_and_never_filled_up(survey, lost):
    store = survey.fresh()
    store.path(lost, visit=12).unlink()
    with pytest.raises(MissingDatasetError, match=f"there is no {lost} for visit=12"):
        store.get("recalibrated_pvi", visit=12, detector=3)


def test_row_without_the_detector_is_an_error(survey):
    row = ComponentRow(survey.truth[12, 0].final["background"] and {})
    survey.store.put(ComponentTable({0: row}), "visit_background", visit=12)
    view = survey.fresh().get("recalibrated_pvi", visit=12, detector=3)
    with pytest.raises(MissingDatasetError, match="no row detector=3"):
        view.image  # noqa: B018


def test_without_zero_point_the_pixels_stay_in_electrons(survey):
    survey.put_summary("final_visit_summary", 12, "final", without="photo_calib")
    truth = survey.truth[12, 3]
    view = survey.fresh().get("recalibrated_pvi", visit=12, detector=3)
    assert view.photo_calib is None
    assert view.missing["photo_calib"] == "too few stars"
    assert view.unit == "electron"
    expected = truth.detrended - truth.final["background"].image(view.box)
    np.testing.assert_allclose(view.image, expected, rtol=3e-7, atol=1e-4)
    np.testing.assert_allclose(view.variance, truth.variance, rtol=1e-6)


def test_failed_background_gives_no_pixels_rather_than_wrong_ones(survey):
    survey.put_summary("visit_background", 12, "final", without="background")
    view = survey.fresh().get("recalibrated_pvi", visit=12, detector=3)
    assert view.background is None
    with pytest.raises(MissingDatasetError, match="too few stars"):
        view.image  # noqa: B018


def test_calibrations_that_begin_with_different_units_are_refused(survey):
    calib = PhotoCalib.from_zero_point(27.0, input_unit="adu")
    rows = {3: ComponentRow({"photo_calib": calib})}
    survey.store.put(ComponentTable(rows, {"nStars": [1]}), "final_visit_summary", visit=12)
    view = survey.fresh().get("recalibrated_pvi", visit=12, detector=3)
    with pytest.raises(InputError, match="begins with adu, that of its base with electron"):
        view.image  # noqa: B018


def test_a_dimension_that_a_stage_adds_is_part_of_the_data_id(make_survey, extended_table):
    survey = make_survey(extended_table(BY_SKYPIX))
    for skypix, ra in ((7, 150.2), (8, 150.3)):
        wcs = {d: survey.truth[12, d].first["wcs"].with_pointing(ra, 2.2) for d in (0, 3)}
        rows = {d: ComponentRow({"wcs": w}) for d, w in wcs.items()}
        survey.store.put(ComponentTable(rows), "final_astrometry_wcs", visit=12, skypix=skypix)
    survey.put_summary("fgcm_photo_calib", 12, "final")
    store = survey.fresh()

    views = [store.get("skypix_pvi", visit=12, detector=3, skypix=s) for s in (7, 8)]

    assert [v.wcs.projection.ra_deg for v in views] == [150.2, 150.3]
    with pytest.raises(InputError, match="told apart by visit, detector, skypix"):
        store.get("skypix_pvi", visit=12, detector=3)
    assert store.query("skypix_pvi", detector=3) == [
        {"visit": 12, "detector": 3, "skypix": 7},
        {"visit": 12, "detector": 3, "skypix": 8},
    ]
