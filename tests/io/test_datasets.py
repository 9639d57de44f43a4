"""The table of dataset types: what it says, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from drpflow import InputError
from drpflow.errors import MissingDatasetError
from drpflow.io.datasets import DatasetTable
from drpflow.io.schemas import load_schema
from drpflow.paths import share_root

SOURCE = share_root() / "config" / "datasets.yaml"
TABLE = DatasetTable.load()


def values_of(name: str) -> st.SearchStrategy[dict[str, int | str]]:
    texts = st.sampled_from(["r", "coadd", "visit-12", "N_708", "i2"])
    kinds = {"int": st.integers(0, 2**60), "str": texts}
    return st.fixed_dictionaries(
        {d: kinds[TABLE.dimensions[d].type] for d in TABLE.dimensions_of(name)}
    )


@pytest.mark.parametrize("name", list(TABLE.datasets))
def test_locate_undoes_path(name):
    @given(values_of(name))
    def check(data_id):
        path = TABLE.path("some/results", name, **data_id)
        assert TABLE.locate(path) == (Path("some/results"), name, data_id)

    check()


def test_paths_of_two_types_never_meet():
    texts = {"int": "1", "str": "a"}
    filled = [
        entry.path.format_map({d: texts[TABLE.dimensions[d].type] for d in entry.dimensions})
        for entry in TABLE.datasets.values()
    ]
    assert len(set(filled)) == len(filled)


def test_path_of_a_dataset():
    path = TABLE.path("results", "initial_pvi", visit=12, detector=np.int64(3))
    assert path == Path("results/initial_pvi/visit=12/initial_pvi_12_3.fits")
    assert TABLE.path_template("isr_statistics") == (
        "isr_statistics/visit={visit}/detector={detector}/isr_statistics.parquet"
    )


@pytest.mark.parametrize(
    ("name", "data_id", "message"),
    [
        ("pvi", {"visit": 1}, "told apart by visit, detector, and visit=1 was given. Add detector"),
        ("pvi", {}, "and nothing was given. Add visit and detector"),
        ("pvi", {"visit": 1, "detectr": 3}, "no dimension 'detectr'; did you mean 'detector'"),
        ("pvi", {"visit": 1, "detector": 3, "tract": 5}, "no dimension 'tract'"),
        ("pvi", {"visit": "x", "detector": 3}, "visit = 'x' is not of type int"),
        ("pvi", {"visit": 1.5, "detector": 3}, "visit = 1.5 is not of type int"),
        ("pvi", {"visit": True, "detector": 3}, "visit = True is not of type int"),
        ("pvi", {"visit": -1, "detector": 3}, "visit = -1 cannot stand in a path"),
        ("coadd", {"tract": 1, "patch": 2, "band": 3}, "band = 3 is not of type str"),
        ("coadd", {"tract": 1, "patch": 2, "band": "r/i"}, "band = 'r/i' cannot stand in a path"),
        ("recalibrated_pvi", {"visit": 1, "detector": 2}, "a declared view and has no file"),
        ("source_run", {}, "a declared aggregate and has no file"),
        ("standard_stars", {"skypix": 3}, "a declared join and has no file"),
        ("bias", {"detector": 3}, "is an input .* Take its path from calibrations.tsv"),
    ],
)
def test_a_path_that_cannot_be_says_why(name, data_id, message):
    with pytest.raises(InputError, match=message):
        TABLE.path("results", name, **data_id)


def test_misspelt_names_get_the_nearest():
    with pytest.raises(MissingDatasetError, match="did you mean 'initial_pvi'"):
        TABLE.path("results", "inital_pvi", visit=1, detector=2)
    with pytest.raises(MissingDatasetError, match="did you mean 'isr'"):
        TABLE.status_template("irs")


@pytest.mark.parametrize("path", ["results/x.fits", "initial_pvi/visit=1/pvi_1_2.fits", "pvi"])
def test_other_paths_are_told_from_products(path):
    with pytest.raises(InputError, match="not the path of a dataset"):
        TABLE.locate(path)


def test_a_root_may_have_the_name_of_a_dataset():
    path = TABLE.path("pvi/visit=3", "source", visit=3)
    assert TABLE.locate(path).root == Path("pvi/visit=3")


def test_status_paths():
    assert TABLE.status_template("isr") == "status/isr/visit={visit}/detector={detector}.json"
    assert TABLE.status_template("fgcm") == "status/fgcm/run.json"
    path = TABLE.status_path("results", "consolidateVisit", visit=4)
    assert path == Path("results/status/consolidateVisit/visit=4.json")


def test_constraints_fit_the_values_that_paths_take():
    constraints = TABLE.wildcard_constraints()
    assert constraints["visit"] == r"\d+"
    assert "instrument" not in constraints


def test_temporary_types_are_what_is_used_once():
    temporary = {name for name in TABLE.datasets if TABLE.is_temporary(name)}
    assert {"post_isr_image", "direct_warp", "psf_matched_warp"} <= temporary
    assert "initial_pvi" not in temporary


def test_temporary_exposures_are_not_compressed_and_kept_ones_are():
    for entry in TABLE.datasets.values():
        if entry.format == "exposure" and entry.keep != "run":
            assert (entry.compression == "none") == (entry.keep == "temporary")


def test_kept_datasets_link_to_kept_datasets_only():
    """An archive in which a link leads nowhere would be no archive."""
    for name, entry in TABLE.datasets.items():
        if entry.keep == "kept":
            for other in [*entry.links.values(), *entry.components.values()]:
                assert TABLE.datasets[other].keep == "kept", f"{name} needs {other}"


def test_every_column_schema_exists():
    for entry in TABLE.datasets.values():
        if entry.table_schema:
            load_schema(entry.table_schema)


def test_every_task_of_the_graph_writes_something():
    writing = {entry.task for entry in TABLE.datasets.values()}
    assert writing == set(TABLE.tasks)


FAULTS = [
    (("datasets", "pvi", "task"), "finaliseImage", "did you mean 'finalizeImage'"),
    (("datasets", "pvi", "dimensions"), ["visit", "detektor"], "did you mean 'detector'"),
    (("datasets", "pvi", "keep"), "forever", "datasets.pvi.keep"),
    (("datasets", "pvi", "keeps"), "run", "did you mean 'keep'"),
    (("datasets", "pvi", "path"), "pvi/visit={visit}/pvi.fits", "it names .* the dimensions are"),
    (("datasets", "pvi", "path"), "x/{visit}_{detector}.fits", "begin with the folder 'pvi'"),
    (("datasets", "pvi", "links"), {"visit_inf": "visit_info"}, "did you mean 'visit_info'"),
    (("datasets", "pvi", "table_schema"), "source", "format is exposure, not table"),
    (("datasets", "source", "compression"), "lossy", "only exposures are compressed"),
    (("datasets", "source", "components"), {"wcs": "initial_stars_detector"}, None),
    (("datasets", "source", "components"), {"psf": "fgcm_photo_calib"}, "does not hold psf"),
    (("datasets", "visit_background", "row"), None, "`holds` and `row` go together"),
    (("datasets", "isolated_stars", "skypix_level"), None, "skypix is a dimension"),
    (("views", "recalibrated_pvi", "base"), "source", "source is no exposure"),
    (("views", "recalibrated_pvi", "replace"), {"wsc": "source"}, "did you mean 'wcs'"),
    (("views", "recalibrated_pvi", "replace"), {"mask": "source"}, "source holds no mask"),
    (("aggregates", "source_run", "over"), ["detector"], "'detector' is not declared"),
    (("joins", "standard_stars", "of"), ["isolated_stars", "source"], "differ in dimensions"),
    (("joins", "standard_stars", "of"), ["isolated_stars", "pvi"], "pvi is no table"),
    (("joins", "source"), {"of": ["source"], "by": "id", "doc": "x"}, "'source' stands twice"),
    (("tasks", "isr", "dimensions"), ["visits"], "tasks.isr.dimensions: 'visits'"),
]


@pytest.mark.parametrize(("place", "value", "message"), FAULTS)
def test_a_table_that_does_not_hold_together_is_refused(tmp_path, place, value, message):
    table = yaml.load(SOURCE.read_text(), Loader=yaml.CSafeLoader)
    inner = table
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path = tmp_path / "datasets.yaml"
    path.write_text(yaml.dump(table, Dumper=yaml.CSafeDumper))
    if message is None:
        DatasetTable.load(path)
        return
    with pytest.raises(InputError, match=message) as caught:
        DatasetTable.load(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_no_table(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        DatasetTable.load(tmp_path / "absent.yaml")
    (tmp_path / "bad.yaml").write_text("datasets: [")
    with pytest.raises(InputError, match="no YAML"):
        DatasetTable.load(tmp_path / "bad.yaml")


def test_a_name_that_stands_twice_is_refused(tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text(SOURCE.read_text().replace("  initial_pvi:\n", "  pvi:\n"))
    with pytest.raises(InputError, match=r"line \d+: no YAML: the key 'pvi' stands twice"):
        DatasetTable.load(path)
