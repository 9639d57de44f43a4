"""The store: what the use cases leave open."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from drpflow import InputError, Store
from drpflow.data.component_names import CLASSES, COMPONENTS, is_component_class
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.psf import GaussianPsf
from drpflow.data.transmission import TransmissionCurve
from drpflow.errors import MissingDatasetError
from drpflow.io.exposure_fits import FitsExposure
from tests.io.conftest import assert_same_exposure, free_tables, make_exposure

ID = {"visit": 12, "detector": 3}


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "results", free_tables())
    store.put(make_exposure(), "initial_pvi", **ID)
    return store


def test_an_exposure_comes_back(store):
    assert_same_exposure(store.get("initial_pvi", **ID), make_exposure())
    assert store.path("initial_pvi", **ID).is_file()


def test_getting_an_exposure_reads_nothing(store, monkeypatch):
    monkeypatch.setattr(FitsExposure, "index", property(lambda self: pytest.fail("was read")))
    store.get("initial_pvi", **ID)


@pytest.mark.parametrize("name", ["image", "mask", "variance"])
def test_one_plane_and_a_part_of_it(store, name):
    whole = store.get(f"initial_pvi.{name}", **ID)
    part = store.get(f"initial_pvi.{name}", box=(10, 20, 5, 9), **ID)
    whole, part = (getattr(p, "array", p) for p in (whole, part))
    np.testing.assert_array_equal(part, whole[5:9, 10:20])


def test_the_table_decides_on_compression(store):
    store.put(make_exposure((200, 300)), "compressed_pvi", **ID)
    store.put(make_exposure((200, 300)), "pvi", **ID)
    sizes = [store.path(name, **ID).stat().st_size for name in ("compressed_pvi", "pvi")]
    assert sizes[0] < sizes[1] / 1.5
    np.testing.assert_array_equal(
        store.get("compressed_pvi.mask", **ID).array, store.get("pvi.mask", **ID).array
    )


def test_a_component_that_is_a_dataset(store):
    background = make_exposure().background
    store.put(background, "initial_background", **ID)
    assert store.get("initial_background", **ID) == background
    assert store.get("initial_background", **ID) is store.get("initial_background", **ID)
    curve = TransmissionCurve.from_table([500, 600], [0.5, 0.6])
    store.put(curve, "fgcm_transmission_atmosphere", visit=12)
    assert Store(store.roots).get("fgcm_transmission_atmosphere", visit=12) == curve


def test_a_table(store):
    store.put({"sourceId": np.arange(3), "detector": np.full(3, 3)}, "source", visit=12)
    table = store.get("source", visit=12)
    assert table.columns == ["visit", "sourceId", "detector"]
    assert store.get("source", visit=12, columns=["detector"])["detector"].tolist() == [3, 3, 3]


def test_a_table_that_was_read_can_be_put_elsewhere(store):
    store.put({"sourceId": np.arange(3)}, "source", visit=12)
    table = store.get("source", visit=12)
    with pytest.raises(InputError, match="'visit' holds other values than 13"):
        store.put(table, "source", visit=13)
    store.put(table.only(["sourceId"]), "source", visit=13)
    assert store.get("source", visit=13).meta["data_id"] == {"visit": 13}


@pytest.mark.parametrize(
    ("value", "name", "data_id", "message"),
    [
        (GaussianPsf(1.0), "initial_pvi", ID, "holds an exposure, not a GaussianPsf"),
        (np.zeros(3), "visit_info", {"visit": 1}, "holds a component, not a ndarray"),
        ({"detector": [1]}, "visit_background", {"visit": 1}, "holds a ComponentTable, not a dict"),
        ({"a": [1]}, "isr_statistics", ID, "schema isr_statistics has no column 'a'"),
        ("text", "report", {}, "a file for people"),
        ({"a": [1]}, "recalibrated_pvi", ID, "a declared view"),
        (make_exposure(), "initial_pvi", {"visit": 12}, "Add detector"),
        (np.zeros((48, 64)), "initial_pvi.mask", ID, "holds its mask, not a ndarray"),
        (3, "initial_pvi.psf", ID, "holds a component, not a int"),
        (GaussianPsf(1.0), "initial_pvi.wcs", ID, "holds a SkyWcs, not a GaussianPsf"),
        (GaussianPsf(1.0), "visit_info", {"visit": 1}, "holds a VisitInfo, not a GaussianPsf"),
        (make_exposure(wcs=GaussianPsf(1.0)), "pvi", ID, "holds a SkyWcs, not a GaussianPsf"),
        (
            ComponentTable({3: ComponentRow({"psf": PhotoCalib(2.0)})}),
            "final_characterization_summary",
            {"visit": 12},
            "psf of detector=3: it holds a Psf, not a PhotoCalib",
        ),
        (np.zeros((48, 64)), "initial_pvi.image", ID, "float32, not float64"),
        ("text", "source", {"visit": 1}, "holds a table, not a str"),
        # The pixels have these applied; undoing others would give wrong pixels.
        (PhotoCalib(2.0), "initial_pvi.photo_calib", ID, "the pixels have applied"),
        (make_exposure().background, "initial_pvi.background", ID, "the pixels have applied"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(store, value, name, data_id, message):
    before = sorted(store.roots[0].rglob("*"))
    with pytest.raises(InputError, match=message):
        Store(store.roots).put(value, name, **data_id)
    assert sorted(store.roots[0].rglob("*")) == before


def test_every_component_has_its_class():
    assert tuple(CLASSES) == COMPONENTS
    for name, component in make_exposure().components.items():
        assert is_component_class(name, component)


def test_a_calibration_can_be_supplied_to_pixels_in_electrons(store):
    exposure = make_exposure(unit="electron").replace(photo_calib=None)
    store.put(exposure, "pvi", **ID)
    store.put(PhotoCalib(2.0), "pvi.photo_calib", **ID)
    found = store.get("pvi", **ID)
    assert (found.unit, found.photo_calib) == ("electron", PhotoCalib(2.0))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("source", {"box": (0, 5, 0, 5), "visit": 12}, "a table and has no pixels"),
        ("source_run", {"box": (0, 5, 0, 5)}, "a table and has no pixels"),
        ("initial_pvi", {"columns": ["x"], **ID}, "only tables have columns"),
        ("final_visit_summary.wcs", {"columns": ["x"], **ID}, "only tables have columns"),
        ("initial_pvi.psf", {"box": (0, 5, 0, 5), **ID}, "it has no pixels"),
        ("initial_pvi_visit.wcs", {"visit": 12}, "a declared aggregate"),
        ("raw", ID, r"an input .* Take its path from exposures.tsv"),
        ("final_visit_summary.wcs", {"visit": 12, "detector": "a"}, "'a' is not of type int"),
        ("final_visit_summary.wcs", {"visit": 12, "detector": 3.7}, "3.7 is not of type int"),
        ("source.visit_info", {"visit": 12, "detectr": 3}, "did you mean 'detector'"),
    ],
)
def test_requests_that_make_no_sense_are_refused(store, name, options, message):
    store.put({"sourceId": np.arange(3)}, "source", visit=12)
    with pytest.raises(InputError, match=message):
        store.get(name, **options)


def test_what_is_absent_names_the_task_that_makes_it(store):
    with pytest.raises(
        MissingDatasetError, match=r"no pvi for visit=1, detector=2 below .*results"
    ):
        store.get("pvi", visit=1, detector=2)
    with pytest.raises(MissingDatasetError, match="the task finalizeImage makes it"):
        store.get("pvi", visit=1, detector=2)
    with pytest.raises(MissingDatasetError, match="did you mean 'pvi'"):
        store.get("pvis", visit=1, detector=2)
    with pytest.raises(MissingDatasetError, match="no dataset type 'isr'"):
        store.get("isr", **ID)


def test_components_in_rows_need_the_row(store):
    rows = {3: ComponentRow({"psf": GaussianPsf(1.0)})}
    free = Store(store.roots, free_tables())
    free.put(ComponentTable(rows), "final_characterization_summary", visit=12)
    assert store.get("final_characterization_summary.psf", **ID) == GaussianPsf(1.0)
    with pytest.raises(InputError, match="told apart by detector, which was not given"):
        store.get("final_characterization_summary.psf", visit=12)
    with pytest.raises(MissingDatasetError, match="has no component 'wcs'"):
        store.get("final_characterization_summary.wcs", **ID)
    assert store.get("final_characterization_summary", visit=12).columns == ["visit", "detector"]


def test_existence(store):
    assert store.exists("initial_pvi", **ID)
    assert store.exists("initial_pvi.wcs", **ID)
    assert not store.exists("initial_pvi.ap_corr", **ID)
    assert not store.exists("initial_pvi", visit=12, detector=4)
    assert not store.exists("recalibrated_pvi", **ID)
    assert store.exists("initial_pvi_visit", visit=12)
    assert not store.exists("initial_pvi_visit", visit=13)
    with pytest.raises(InputError):
        store.exists("initial_pvi", visit=12)


def test_queries(store):
    store.put(make_exposure(seed=2), "initial_pvi", visit=12, detector=10)
    assert store.query("initial_pvi") == [ID, {"visit": 12, "detector": 10}]  # by number
    assert store.query("initial_pvi", detector=[3, 4]) == [ID]
    assert store.query("initial_pvi", visit=13) == []
    assert store.query("initial_pvi", band="r", detector={10}) == [{"visit": 12, "detector": 10}]
    assert store.query("initial_pvi", band=["g", "i"]) == []
    assert store.query("pvi") == []
    with pytest.raises(InputError, match="has no visit to select by band"):
        store.query("isolated_stars", band="r")
    for value in ("12", ["12"], 12.5):
        with pytest.raises(InputError, match=r"visit = .* is not of type int"):
            store.query("initial_pvi", visit=value)


def test_a_query_by_band_without_visit_metadata_is_told(store):
    store.path("visit_info", visit=12).unlink()
    with pytest.raises(MissingDatasetError, match="visits cannot be selected by band"):
        Store(store.roots).query("initial_pvi", band="r")


def test_files_that_are_no_datasets_are_passed_over(store):
    folder = store.path("initial_pvi", **ID).parent
    for name in ("notes.txt", "initial_pvi_12_x.fits", ".initial_pvi_12_4.fits.7.tmp"):
        (folder / name).write_text("x")
    assert store.query("initial_pvi") == [ID]


def test_roots(tmp_path, store):
    second = tmp_path / "second"
    both = Store([second, store.roots[0]])
    assert both.get("initial_pvi.psf", **ID) == GaussianPsf(1.7)
    both.put(make_exposure(psf=GaussianPsf(2.5)), "initial_pvi", **ID)
    assert both.get("initial_pvi.psf", **ID) == GaussianPsf(2.5)
    assert store.get("initial_pvi.psf", **ID) == GaussianPsf(1.7)
    with pytest.raises(MissingDatasetError, match=r"below .*second or .*results"):
        both.get("pvi", **ID)
    with pytest.raises(ValueError, match="at least one root"):
        Store([])


def test_a_part_is_put_only_where_the_first_root_has_the_exposure(tmp_path, store):
    both = Store([tmp_path / "second", store.roots[0]])
    with pytest.raises(MissingDatasetError, match="does not exist"):
        both.put(GaussianPsf(2.0), "initial_pvi.psf", **ID)


def test_provenance_and_data_id_are_in_the_file(store):
    exposure = store.get("initial_pvi", **ID)
    assert exposure.provenance.task == "calibrateImage"
    info = json.loads(store.path("visit_info", visit=12).read_text())
    assert info["kind"] == "visit_info"


HEAVY = ("scipy", "pandas", "astropy.wcs", "astropy.coordinates", "matplotlib")


def test_the_face_imports_nothing_heavy(store):
    """Half a second a job is what such an import would cost."""
    code = (
        "import sys; from drpflow import Store; import drpflow.io.exposure_fits\n"
        f"store = Store({str(store.roots[0])!r})\n"
        "e = store.get('initial_pvi', visit=12, detector=3); e.image, e.mask, e.psf\n"
        "store.put(e, 'pvi', visit=12, detector=3)\n"
        "where = {'visit': 12, 'detector': 3, 'template': 'coadd'}\n"
        "store.put({'id': [1, 2]}, 'dia_source', **where); store.get('dia_source', **where)['id']\n"
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
