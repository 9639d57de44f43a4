"""Files of associateIsolatedStars, and its script from end to end."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from drpflow import paths
from drpflow.data.healpix import pixels_of_deg
from drpflow.data.visit_info import VisitInfo
from drpflow.errors import InputError
from drpflow.io.associate_files import Pieces, Region, read_visits, star_columns
from drpflow.io.records import write_component_json
from drpflow.io.schemas import load_schema
from drpflow.io.tables import read_table, write_table
from drpflow.workflow.task_runner import main
from tests.tasks.test_associate_isolated_stars import DEC, PIECE, RA, stars_of, summary

KINDS = ("visit_info", "initial_visit_summary", "initial_stars")


class Folder:
    """Files of visits, and what the script makes of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.patterns = {
            "visit_info": str(root / "visit_info/{visit}.json"),
            "initial_visit_summary": str(root / "summary/{visit}.parquet"),
            "initial_stars": str(root / "stars/{visit}.parquet"),
        }
        for pattern in self.patterns.values():
            Path(pattern).parent.mkdir()

    def path(self, kind: str, visit: int) -> Path:
        return Path(self.patterns[kind].format(visit=visit))

    def add(self, visit: int, n: int = 40) -> None:
        schema = load_schema("initial_stars").without({"visit"})
        rows = stars_of(visit, n)
        columns = {
            c.name: rows.get(c.name, np.zeros(n, c.type if c.type != "str" else "U1"))
            for c in schema.columns
        }
        data_id = {"visit": visit}
        write_table(self.path("initial_stars", visit), columns, schema, data_id=data_id)
        write_table(self.path("initial_visit_summary", visit), summary(), data_id=data_id)
        info = VisitInfo(visit, band="g", physical_filter="g1", mjd=60000.0 + visit)
        write_component_json(self.path("visit_info", visit), info)

    def run(
        self, visits: str, pixel: int = PIECE.pixel, name: str = "out", counted: str = ""
    ) -> dict:
        spec = importlib.util.spec_from_file_location(
            "associate_script", paths.script("associateIsolatedStars")
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        words = ["--skypix", str(pixel), "--order", str(PIECE.order), "--visits", visits]
        words += ["--bands", "g,r", "--pixel-arcsec", "0.3", "--counted-visits", counted]
        for kind in KINDS:
            words += [f"--{kind.replace('_', '-')}", self.patterns[kind]]
        for kind in ("isolated_stars", "isolated_stars_source"):
            words += [f"--{kind.replace('_', '-')}", str(self.root / name / f"{kind}.parquet")]
        status = self.root / name / "status.json"
        assert main(module.TASK, [*words, "--status", str(status)]) == 0
        return json.loads(status.read_text())


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    for visit in (1, 2, 3):
        made.add(visit)
    return made


def test_the_script(folder: Folder) -> None:
    status = folder.run("1-3")
    assert (status["outcome"], status["numbers"]["stars"]) == ("done", 40)
    data_id = {"skypix": PIECE.pixel}
    stars = read_table(folder.root / "out/isolated_stars.parquet", data_id=data_id)
    sources = read_table(folder.root / "out/isolated_stars_source.parquet", data_id=data_id)
    assert stars.columns == [c.name for c in load_schema("isolated_stars").columns]
    assert sources.columns == [c.name for c in load_schema("isolated_stars_source").columns]
    assert stars.meta["healpix_order"] == PIECE.order
    assert (len(stars), len(sources)) == (40, 120)
    assert stars.units["ra"] == "deg"
    inputs = stars.meta["provenance"]["inputs"]
    assert {i["name"]: i["visits"] for i in inputs} == dict.fromkeys(KINDS, "1-3")


def test_equal_bytes_of_equal_runs(folder: Folder) -> None:
    folder.run("1-3", name="one")
    folder.run("1-3", name="two")
    for name in ("isolated_stars.parquet", "isolated_stars_source.parquet"):
        one, two = (folder.root / run / name for run in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_a_visit_that_cannot_be_read_is_left_out(folder: Folder) -> None:
    folder.path("initial_stars", 2).write_bytes(b"nothing of the kind")
    folder.path("visit_info", 3).unlink()
    status = folder.run("1-3")
    assert status["outcome"] == "partial"
    assert status["numbers"]["unreadable_visits"] == 2
    assert status["numbers"]["stars"] == 40
    assert "2.parquet" in status["reason"]


def test_no_visit_that_can_be_read(folder: Folder) -> None:
    status = folder.run("7-8")
    assert status["outcome"] == "failed"
    assert len(read_table(folder.root / "out/isolated_stars.parquet")) == 0
    sources = read_table(folder.root / "out/isolated_stars_source.parquet")
    assert len(sources) == 0
    assert sources["band"].dtype.kind == "U"


def test_a_piece_without_stars(folder: Folder) -> None:
    status = folder.run("1-3", pixel=PIECE.pixel + 500)
    assert (status["outcome"], status["numbers"]["stars"]) == ("done", 0)
    assert len(read_table(folder.root / "out/isolated_stars.parquet")) == 0


def test_a_visit_without_stars(folder: Folder) -> None:
    folder.add(4, n=0)
    assert folder.run("1-4")["numbers"]["stars"] == 40


def test_visits_that_are_not_where_they_were_expected(folder: Folder) -> None:
    """Their detections are counted by the job of their first piece, and only there."""
    here = PIECE.pixel
    status = folder.run("1-3", counted=f"1:{here};2:{here + 7};3:{here + 7},{here + 8}")
    assert status["outcome"] == "partial"
    assert status["numbers"]["astray_detections"] == 80
    assert status["numbers"]["astray_visits"] == 2
    assert status["numbers"]["stars"] == 40
    assert "visit 2 (40), 3 (40)" in status["reason"]
    assert "skypix.margin_deg" in status["hint"]
    assert folder.run("1-3", counted=f"1-3:{here}")["outcome"] == "done"


def test_detections_without_a_place_are_not_astray(folder: Folder) -> None:
    path = folder.path("initial_stars", 1)
    table = read_table(path).to_dict()
    table["ra"][:] = np.nan
    write_table(path, table, data_id={"visit": 1})
    assert folder.run("1-3", counted=f"1:{PIECE.pixel + 7}")["outcome"] == "done"


def test_what_is_read_is_what_lies_in_the_region(folder: Folder) -> None:
    region = Region.about(12, int(pixels_of_deg(12, RA, DEC)), 20.0)
    columns = star_columns(["sourceId", "ra", "dec"], [])
    pieces = Pieces(PIECE.order, {})
    parts, faults = read_visits([1], folder.patterns, region, columns, ["detector"], pieces)
    assert not faults
    assert 0 < len(parts[0].stars["ra"]) < 40
    assert np.abs(parts[0].stars["ra"] - RA).max() < 3 * 52 / 3600


def test_places_that_are_not_known_lie_nowhere() -> None:
    region = Region.about(5, PIECE.pixel, 20.0)
    ra, dec = np.array([RA, np.nan, RA, 0.0]), np.array([DEC, DEC, np.nan, -DEC])
    assert region.holds(ra, dec).tolist() == [0]


def test_a_flag_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match=r"no flag 'pixelFlags_egde'; did you mean .*_edge'"):
        star_columns(["ra"], ["pixelFlags_egde"])
    with pytest.raises(InputError, match="no flag 'ra'"):
        star_columns(["ra"], ["ra"])
