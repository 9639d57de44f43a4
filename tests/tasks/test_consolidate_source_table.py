"""consolidateSourceTable: one whole table of a visit, whatever became of its detectors."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from drpflow.data.source_ids import unpack_source_ids
from drpflow.io.moc_files import read_moc
from drpflow.io.schemas import load_schema
from drpflow.io.store import Store
from drpflow.workflow.task_runner import main
from tests.tasks.source_tables import TABLE, VISIT, columns, write_sources, write_summary

SCRIPT = Path(__file__).parents[2] / "scripts/consolidate_source_table.py"


def task() -> Any:
    spec = importlib.util.spec_from_file_location("consolidate_source_table", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TASK


def consolidate(root: Path, detectors: list[int], **options: Any) -> dict[str, Any]:
    """Run the script as the workflow does; return the status."""
    inputs = [TABLE.path(root, "final_source_detector", visit=VISIT, detector=d) for d in detectors]
    status = root / "status/consolidateSourceTable" / f"visit={VISIT}.json"
    words: list[Any] = ["--visit", VISIT, "--final-source-detector", *inputs]
    words += ["--final-visit-summary", TABLE.path(root, "final_visit_summary", visit=VISIT)]
    words += ["--source", TABLE.path(root, "source", visit=VISIT)]
    words += ["--source-coverage", TABLE.path(root, "source_coverage", visit=VISIT)]
    words += ["--config", json.dumps(options), "--status", status]
    assert main(task(), [str(word) for word in words]) == 0
    return json.loads(status.read_text())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_sources(tmp_path, VISIT, {0: 300, 1: 200})
    write_summary(tmp_path, VISIT, [0, 1, 2])
    return tmp_path


def footer(root: Path) -> pq.ParquetFile:
    return pq.ParquetFile(TABLE.path(root, "source", visit=VISIT))


def test_all_rows_of_all_detectors_in_order(root):
    status = consolidate(root, [1, 0])
    assert status["outcome"] == "done"
    assert status["numbers"]["sources"] == 500
    assert status["numbers"]["primary"] == 495
    table = Store(root).get("source", visit=VISIT)
    assert table.columns == [c.name for c in load_schema("source").columns]
    for detector, rows in ((0, slice(0, 300)), (1, slice(300, 500))):
        assert (table["detector"][rows] == detector).all()
        for name, values in columns(VISIT, detector, rows.stop - rows.start).items():
            np.testing.assert_array_equal(table[name][rows], values)
    assert (table["visit"] == VISIT).all()
    assert table["detector"].dtype == np.int16


def test_a_row_group_a_detector(root):
    consolidate(root, [0, 1])
    file = footer(root)
    assert file.num_row_groups == 2
    for group, detector in enumerate((0, 1)):
        ids = file.read_row_group(group, ["sourceId"])["sourceId"].to_numpy()
        assert (unpack_source_ids(ids)[1] == detector).all()
        # Readers find the detector by the statistics alone.
        place = file.schema_arrow.get_field_index("detector")
        statistics = file.metadata.row_group(group).column(place).statistics
        assert (statistics.min, statistics.max) == (detector, detector)


def test_the_coverage_holds_the_sources_and_no_other_detector(root):
    status = consolidate(root, [0, 1])
    moc = read_moc(TABLE.path(root, "source_coverage", visit=VISIT))
    table = Store(root).get("source", visit=VISIT)
    assert moc.contains(table["ra"], table["dec"]).all()
    # Two detectors of 9.0 by 18.0 arcmin, and less than a cell at each side.
    assert 2 * 0.0452 < moc.area_deg2 < 2 * 0.0452 * 1.1
    assert status["numbers"]["area_deg2"] == pytest.approx(moc.area_deg2, abs=1e-6)
    far = columns(VISIT, 2, 10)
    assert not moc.contains(far["ra"], far["dec"]).any()


def lost_of(root: Path) -> dict[int, str]:
    meta = Store(root).get("source", visit=VISIT).meta
    return {entry["detector"]: entry["reason"] for entry in meta["lost"]}


def test_a_lost_detector_is_named_and_the_rest_whole(root):
    write_sources(root, VISIT, {}, lost={2: "psf: too few stars"})
    status = consolidate(root, [0, 1, 2])
    assert status["outcome"] == "partial"
    assert "1 of 3 detectors have no sources; detector 2: psf: too few stars" in status["reason"]
    assert lost_of(root) == {2: "psf: too few stars"}
    table = Store(root).get("source", visit=VISIT)
    assert len(table) == 500
    assert table.meta["detectors"] == [0, 1]
    assert table.meta["rows"] == [300, 200]


def test_a_detector_without_any_source_is_not_lost(root):
    write_sources(root, VISIT, {2: 0})
    status = consolidate(root, [0, 1, 2])
    assert status["outcome"] == "done"
    assert footer(root).num_row_groups == 2
    assert Store(root).get("source", visit=VISIT).meta["rows"] == [300, 200, 0]
    moc = read_moc(TABLE.path(root, "source_coverage", visit=VISIT))
    assert moc.area_deg2 > 3 * 0.0452


def break_file(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def rename_column(path: Path) -> None:
    arrow = pq.read_table(path)
    names = ["flux" if name == "psfFlux" else name for name in arrow.column_names]
    pq.write_table(arrow.rename_columns(names), path)


def change_type(path: Path) -> None:
    arrow = pq.read_table(path)
    place = arrow.column_names.index("ra")
    pq.write_table(arrow.set_column(place, "ra", arrow["ra"].cast("float32")), path)


def of_another_detector(path: Path) -> None:
    other = path.parents[1] / "detector=0" / path.name
    path.write_bytes(other.read_bytes())


def repeat_rows(path: Path) -> None:
    arrow = pq.read_table(path)
    pq.write_table(arrow.take([0, 1, 1, 2]), path)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (break_file, "cannot be read as Parquet"),
        (Path.unlink, "does not exist"),
        (rename_column, "column 'flux' is in one only"),
        (change_type, "column 'ra' has another type"),
        (of_another_detector, "are of visit 21, detector 0"),
        (repeat_rows, "do not ascend"),
    ],
)
def test_a_spoilt_table_costs_its_detector_alone(root, spoil, words):
    spoil(TABLE.path(root, "final_source_detector", visit=VISIT, detector=1))
    status = consolidate(root, [0, 1])
    assert status["outcome"] == "partial"
    assert words in lost_of(root)[1]
    assert len(Store(root).get("source", visit=VISIT)) == 300


def test_no_summary_no_coverage(root):
    TABLE.path(root, "final_visit_summary", visit=VISIT).unlink()
    status = consolidate(root, [0, 1])
    assert status["outcome"] == "done"
    assert status["numbers"]["without_coverage"] == 2
    assert status["numbers"]["area_deg2"] == 0


def test_nothing_left(root):
    write_sources(root, VISIT, {}, lost={0: "no PSF", 1: "no WCS"})
    status = consolidate(root, [0, 1])
    assert status["outcome"] == "partial"
    table = Store(root).get("source", visit=VISIT)
    assert len(table) == 0
    assert table.columns == [c.name for c in load_schema("source").columns]
    assert lost_of(root) == {0: "no PSF", 1: "no WCS"}


def test_equal_runs_give_equal_bytes(root):
    names = ("source", "source_coverage")
    found = []
    for _ in range(2):
        consolidate(root, [0, 1])
        found.append([TABLE.path(root, name, visit=VISIT).read_bytes() for name in names])
    assert found[0] == found[1]


def test_a_finer_order_by_the_config(root):
    consolidate(root, [0, 1], coverage_order=16)
    moc = read_moc(TABLE.path(root, "source_coverage", visit=VISIT))
    assert moc.order == 16
    assert 2 * 0.0452 < moc.area_deg2 < 2 * 0.0452 * 1.03
