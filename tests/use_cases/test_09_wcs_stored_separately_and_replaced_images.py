"""Use case 9: a WCS, or one image, of an exposure exchanged for one stored elsewhere."""

import shutil

import numpy as np
import pytest
from astropy.io import fits

from drpflow import InputError
from drpflow.errors import MissingDatasetError

REPLACED = """
datasets:
  better_mask:
    dimensions: [visit, detector]
    format: mask
    path: better_mask/visit={visit}/better_mask_{visit}_{detector}.fits
    task: finalizeImage
    keep: run
    doc: Another mask.
views:
  masked_pvi:
    base: initial_pvi
    replace: {mask: better_mask}
    doc: First image with another mask.
  moved_pvi:
    base: initial_pvi
    replace: {wcs: initial_visit_summary}
    doc: First image with another WCS.
"""
ID = {"visit": 12, "detector": 3}


@pytest.fixture
def store(survey):
    return survey.fresh()


def better_mask(store):
    mask = store.get("initial_pvi.mask", **ID).copy()
    mask.set("STREAK", (slice(5, 7), slice(0, 96)))
    return mask


def test_a_dataset_that_replaces_the_wcs_alone(make_survey, extended_table):
    survey = make_survey(extended_table(REPLACED))
    store = survey.fresh()
    view, base = store.get("moved_pvi", **ID), store.get("initial_pvi", **ID)
    assert view.wcs is store.get("initial_visit_summary.wcs", **ID)
    assert view.psf is base.psf
    np.testing.assert_array_equal(view.image, base.image)
    assert view.unit == base.unit


def test_a_dataset_that_replaces_the_mask_alone(make_survey, extended_table):
    survey = make_survey(extended_table(REPLACED))
    store = survey.fresh()
    store.put(better_mask(store), "better_mask", **ID)
    view, base = store.get("masked_pvi", **ID), store.get("initial_pvi", **ID)
    assert view.mask.count()["STREAK"] == 192
    assert base.mask.count()["STREAK"] == 0
    assert store.get("masked_pvi.mask", box=(0, 8, 0, 8), **ID).count()["STREAK"] == 16
    np.testing.assert_array_equal(view.image, base.image)
    assert view.provenance.stages == {"mask": "better_mask"}


def test_a_new_mask_put_beside_the_exposure(survey, store, files_below):
    path = store.path("initial_pvi", **ID)
    before = files_below(survey.root)
    written = store.put(better_mask(store), "initial_pvi.mask", **ID)
    after = files_below(survey.root)
    assert after.pop(written)[0] < before[path][0] / 3
    assert after == before  # not a byte of the exposure was touched
    exposure = store.get("initial_pvi", **ID)
    assert exposure.mask.count()["STREAK"] == 192
    assert exposure.provenance.stages == {"mask": "initial_pvi.mask"}
    assert exposure.wcs == survey.truth[12, 3].first["wcs"]


def test_a_new_wcs_and_image_put_beside_the_exposure(survey, store):
    wcs = survey.truth[12, 3].final["wcs"]
    image = np.arange(80 * 96, dtype=np.float32).reshape(80, 96)
    store.put(wcs, "initial_pvi.wcs", **ID)
    store.put(image, "initial_pvi.image", **ID)
    exposure = survey.fresh().get("initial_pvi", **ID)
    assert exposure.wcs == wcs
    np.testing.assert_array_equal(exposure.image, image)
    cut = survey.fresh().get("initial_pvi", box=(3, 9, 2, 4), **ID)
    np.testing.assert_array_equal(cut.image, image[2:4, 3:9])


def test_a_component_that_had_failed_can_be_supplied(survey, store):
    curve = survey.truth[12, 3].final["transmission"]
    store.put(curve, "initial_pvi.transmission", **ID)
    exposure = store.get("initial_pvi", **ID)
    assert exposure.transmission == curve
    assert "transmission" not in exposure.missing


def test_storing_the_exposure_again_ends_the_replacement(survey, store):
    store.put(better_mask(store), "initial_pvi.mask", **ID)
    exposure = survey.fresh().get("initial_pvi", **ID)
    store.put(exposure.replace(mask=exposure.mask), "initial_pvi", **ID)
    assert not store.path("initial_pvi", **ID).with_suffix(".parts").exists()


def test_a_part_of_an_exposure_that_was_replaced_since_does_not_count(survey, store):
    path = store.path("initial_pvi", **ID)
    store.put(better_mask(store), "initial_pvi.mask", **ID)
    other = store.path("initial_pvi", visit=15, detector=3)
    shutil.copyfile(other, path)  # as a job does that knows nothing of parts
    assert survey.fresh().get("initial_pvi", **ID).mask.count()["STREAK"] == 0


def test_what_does_not_fit_is_refused(survey, store):
    mask = store.get("initial_pvi.mask", box=(0, 5, 0, 5), **ID)
    with pytest.raises(InputError, match=r"shape is \(5, 5\), that of the exposure \(80, 96\)"):
        store.put(mask, "initial_pvi.mask", **ID)
    with pytest.raises(InputError, match="did you mean 'wcs'"):
        store.put(survey.truth[12, 3].final["wcs"], "initial_pvi.wsc", **ID)
    with pytest.raises(InputError, match="Put the whole final_visit_summary"):
        store.put(survey.truth[12, 3].final["wcs"], "final_visit_summary.wcs", visit=12)
    with pytest.raises(MissingDatasetError):
        store.put(better_mask(store), "pvi.mask", **ID)


def test_other_programs_see_the_file_of_the_part(store):
    path = store.put(better_mask(store), "initial_pvi.mask", **ID)
    with fits.open(path) as hdus:
        bit = hdus["MASK"].header["MP_STREAK"]
        assert (hdus["MASK"].data & (1 << bit) != 0).sum() == 192
    image = store.get("initial_pvi.image", **ID)
    with fits.open(store.put(image * 2, "initial_pvi.image", **ID)) as hdus:
        header = hdus["IMAGE"].header
    with fits.open(store.path("initial_pvi", **ID)) as hdus:
        base = hdus["IMAGE"].header
    for key in ("BUNIT", "PIXX0", "PIXY0", "CTYPE1", "CRVAL1", "CD1_1", "SIPERR"):
        assert header[key] == base[key]
