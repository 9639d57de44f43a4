"""Use case 3: a table carries the components that it needs, the same objects as the exposure's."""

import gc
import weakref

import numpy as np
import pytest

from drpflow.data.psf import GaussianPsf


@pytest.fixture
def stars(survey):
    columns = {"id": np.arange(3), "x": np.array([1.0, 2.0, 3.0]), "instFlux": np.full(3, 1e3)}
    survey.store.put(columns, "initial_stars_detector", visit=12, detector=3)
    columns = {"id": np.arange(2), "detector": np.array([0, 3])}
    survey.store.put(columns, "source", visit=12)
    return survey


def test_table_of_a_detector_has_its_components_without_pixels(stars, no_pixels):
    store = stars.fresh()
    table = store.get("initial_stars_detector", visit=12, detector=3)
    truth = stars.truth[12, 3].first
    assert table.component("wcs") == truth["wcs"]
    flux_njy = table.component("photo_calib").flux_to_njy(table["instFlux"], table["x"], 0.0)
    np.testing.assert_allclose(flux_njy, 1e3 * truth["photo_calib"].mean)


def test_table_and_exposure_share_one_object(stars):
    store = stars.fresh()
    table = store.get("initial_stars_detector", visit=12, detector=3)
    exposure = store.get("initial_pvi", visit=12, detector=3)
    assert table.component("wcs") is exposure.wcs
    assert exposure.wcs is store.get("initial_pvi.wcs", visit=12, detector=3)
    assert exposure.wcs is store.get("initial_stars_detector.wcs", visit=12, detector=3)


def test_table_of_a_visit_tells_components_apart_by_detector(stars, no_pixels):
    store = stars.fresh()
    table = store.get("source", visit=12)
    for detector in (0, 3):
        wcs = table.component("wcs", detector=detector)
        assert wcs == stars.truth[12, detector].final["wcs"]
        assert wcs is store.get("recalibrated_pvi", visit=12, detector=detector).wcs
    assert table.component("visit_info") is store.get("visit_info", visit=12)


def test_a_replaced_file_gives_a_new_object(stars):
    store = stars.fresh()
    old = store.get("initial_pvi.psf", visit=12, detector=3)
    exposure = stars.fresh().get("initial_pvi", visit=12, detector=3)
    store.put(exposure.replace(psf=GaussianPsf(3.0)), "initial_pvi", visit=12, detector=3)
    assert old.sigma_pix == pytest.approx(2.3)
    assert store.get("initial_pvi.psf", visit=12, detector=3).sigma_pix == 3.0


def test_the_cache_does_not_grow_without_bound(stars):
    store = stars.fresh()
    wcs = weakref.ref(store.get("initial_pvi.wcs", visit=12, detector=3))
    for number in range(600):
        store._reader.cache.get(("filler", number), lambda n=number: GaussianPsf(1.0 + n))
    gc.collect()
    assert wcs() is None
    assert len(store._reader.cache) == 512
