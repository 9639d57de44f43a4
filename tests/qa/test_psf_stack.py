"""Mean residual images of the final PSFs in the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drpflow.algorithms.psf_residual import ResidualStack
from drpflow.io.store import Store
from drpflow.io.tables import read_table, write_table
from drpflow.qa.final_psf_section import final_psf_section
from drpflow.qa.psf_stack_blocks import KEY, SUMMARY, stacked
from tests.qa.second_look_run import BANDS, write_second_look

PEAK = 0.05
NOISE = 1e-5
MIDDLE = {"r": 5e-4, "g": -2e-4}
"""What stars have more in the middle than the PSF, per flux."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    root = tmp_path_factory.mktemp("run")
    store = write_second_look(root)
    for visit, band in enumerate(BANDS, 1):
        rng = np.random.default_rng(visit)
        mean = rng.normal(0, NOISE, (21, 21))
        mean[10, 10] += MIDDLE[band]
        stack = ResidualStack(100, mean, np.full((21, 21), NOISE), PEAK)
        _give(root, visit, {"used": stack.to_meta()} | _reserved(visit))
    return store


def _reserved(visit: int) -> dict[str, object]:
    """Reserved stars are there on the first visit only."""
    if visit != 1:
        return {}
    nothing = np.zeros((21, 21))
    return {"reserved": ResidualStack(20, nothing, nothing + NOISE, PEAK).to_meta()}


def _give(root: Path, visit: int, stacks: dict[str, object]) -> None:
    (path,) = root.glob(f"{SUMMARY}/visit={visit}/*.parquet")
    table = read_table(path)
    table.meta[KEY] = stacks
    data_id = {"visit": visit}
    write_table(path, table, dataset=SUMMARY, data_id=data_id)


def test_visits_of_a_band_are_one_image(store: Store) -> None:
    found = stacked(store, dict(enumerate(BANDS, 1)))
    assert list(found) == [("g", "used"), ("r", "used"), ("r", "reserved")]
    assert {key: stack.stars for key, stack in found.items()} == {
        ("g", "used"): 100, ("r", "used"): 200, ("r", "reserved"): 20,
    }  # fmt: skip
    for band in "gr":
        stack = found[band, "used"]
        assert stack.mean[10, 10] == pytest.approx(MIDDLE[band], abs=4 * NOISE)
    # Two visits: noise less by the root of two.
    assert np.std(found["r", "used"].mean[:9]) == pytest.approx(NOISE / np.sqrt(2), rel=0.2)


def test_chapter_shows_them(store: Store) -> None:
    section = final_psf_section(store)
    assert section is not None
    (block,) = [b for b in section.blocks if b.title == "Residual images"]
    assert block.table is not None
    rows = {(row[0], row[1]): row for row in block.table.rows}
    assert float(rows["r", "stars of the fit"][3]) == pytest.approx(1.0, abs=0.1)
    assert float(rows["g", "stars of the fit"][3]) == pytest.approx(-0.4, abs=0.1)
    assert rows["r", "reserved"][2] == "20"
    assert block.figures[0].image.startswith("data:image/")


def test_a_run_without_them_has_no_such_block(tmp_path: Path) -> None:
    section = final_psf_section(write_second_look(tmp_path))
    assert section is not None
    assert "Residual images" not in {b.title for b in section.blocks}
