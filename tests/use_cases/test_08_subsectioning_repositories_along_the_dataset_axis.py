"""Use case 8: a root with the catalogues alone, whose components are still found."""

import numpy as np
import pytest

from drpflow import InputError, Store
from drpflow.errors import MissingDatasetError


@pytest.fixture
def stars(survey):
    for visit, detector in survey.truth:
        columns = {"id": np.arange(4), "x": np.linspace(0, 90, 4)}
        survey.store.put(columns, "initial_stars_detector", visit=visit, detector=detector)
    survey.store.put({"id": np.arange(5), "detector": np.full(5, 3)}, "source", visit=12)
    return survey


@pytest.fixture
def catalogues(stars, tmp_path):
    root = tmp_path / "catalogues"
    written = stars.store.export(root, ["initial_stars_detector", "source"])
    assert all(path.is_file() for path in written)
    return root


def test_tables_are_the_same(stars, catalogues):
    store = Store(catalogues, stars.store.table)
    for visit, detector in stars.truth:
        ours = store.get("initial_stars_detector", visit=visit, detector=detector)
        theirs = stars.store.get("initial_stars_detector", visit=visit, detector=detector)
        assert ours.arrow.equals(theirs.arrow)
    assert store.query("source") == [{"visit": 12}]


def test_components_come_with_them(stars, catalogues):
    store = Store(catalogues)
    table = store.get("initial_stars_detector", visit=15, detector=3)
    truth = stars.truth[15, 3]
    for name in ("wcs", "psf", "photo_calib", "ap_corr", "visit_info"):
        assert table.component(name) == truth.first[name]
    assert store.get("initial_pvi.wcs", visit=15, detector=3) is table.component("wcs")
    source = store.get("source", visit=12)
    assert source.component("wcs", detector=3) == stars.truth[12, 3].final["wcs"]


def test_pixels_do_not(stars, catalogues):
    store = Store(catalogues)
    assert store.query("initial_pvi") == []
    assert not store.exists("initial_pvi", visit=12, detector=3)
    with pytest.raises(MissingDatasetError, match="no initial_pvi for visit=12, detector=3"):
        store.get("initial_pvi", visit=12, detector=3)
    size = sum(path.stat().st_size for path in catalogues.rglob("*") if path.is_file())
    pixels = sum(path.stat().st_size for path in stars.root.glob("initial_pvi/**/*.fits"))
    assert size < pixels / 2


def test_several_roots_are_searched_in_the_order_given(stars, catalogues):
    both = Store([catalogues, stars.root])
    assert both.path("source", visit=12).is_relative_to(catalogues)
    assert both.path("initial_pvi", visit=12, detector=3).is_relative_to(stars.root)
    assert both.get("initial_pvi", visit=12, detector=3).image.shape == (80, 96)
    assert both.query("initial_pvi", visit=12) == [
        {"visit": 12, "detector": 0},
        {"visit": 12, "detector": 3},
    ]


def test_a_component_is_one_object_in_whichever_root_the_exposure_is(stars, catalogues):
    both = Store([catalogues, stars.root])
    wcs = both.get("initial_pvi.wcs", visit=12, detector=3)
    assert wcs is both.get("initial_pvi", visit=12, detector=3).wcs
    table = both.get("initial_stars_detector", visit=12, detector=3)
    assert wcs is table.component("wcs")


def test_components_of_a_view_without_its_pixels(stars, catalogues):
    wcs = Store(catalogues).get("recalibrated_pvi.wcs", visit=12, detector=3)
    assert wcs == stars.truth[12, 3].final["wcs"]


def test_only_what_is_selected(stars, tmp_path):
    stars.store.export(tmp_path / "r", ["initial_stars_detector"], band="r", detector=3)
    assert Store(tmp_path / "r").query("initial_stars_detector") == [{"visit": 12, "detector": 3}]


def test_images_are_refused(stars, tmp_path):
    with pytest.raises(InputError, match="Export tables and components only"):
        stars.store.export(tmp_path / "r", ["initial_pvi"])
    with pytest.raises(InputError, match="it is a root of this store"):
        stars.store.export(stars.root, ["source"])
