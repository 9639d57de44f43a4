"""Jobs that were lost, as a whole or in part."""

from __future__ import annotations

from drpflow.io.sheets import RejectedRow
from drpflow.io.status_files import Outcome
from drpflow.qa.attrition_section import attrition_section


def outcome(task: str, detector: int, end: str, reason: str = "") -> Outcome:
    return Outcome(task, {"visit": 7, "detector": detector}, end, reason, "look at it")


def test_whole_and_partial_losses() -> None:
    section = attrition_section(
        [
            outcome("isr", 0, "done"),
            outcome("isr", 1, "done"),
            outcome("calibrateImage", 0, "partial", "no match"),
            outcome("calibrateImage", 1, "failed", "only 2 stars"),
            outcome("calibrateImage", 2, "done"),
        ]
    )
    tiles = {tile.label: (tile.value, tile.mood) for tile in section.tiles}
    assert tiles["visits"] == ("1", "")
    assert tiles["isr"] == ("2 / 2", "good")
    assert tiles["calibrateImage, 1 in part"] == ("1 / 3", "bad")
    (block,) = section.blocks
    text = str(block.table)
    assert text.index("only 2 stars") < text.index("no match")
    assert "some components" in text


def test_pieces_of_the_sky_and_tasks_in_the_order_of_the_flow() -> None:
    piece = Outcome("associateIsolatedStars", {"skypix": 1672}, "failed", "no visit can be read")
    section = attrition_section([piece, outcome("calibrateImage", 0, "done"),
                                 outcome("isr", 0, "done")])  # fmt: skip
    names = [tile.label for tile in section.tiles[1:]]
    assert names == ["isr", "calibrateImage", "associateIsolatedStars"]
    (block,) = section.blocks
    assert block.table is not None
    assert block.table.rows[0][:5] == ["associateIsolatedStars", "–", "–", "1672", "all"]


def test_nothing_lost() -> None:
    section = attrition_section([outcome("isr", 0, "done")])
    assert "Nothing was lost" in section.note
    assert not section.blocks


def test_long_lists_are_folded_below_their_reasons() -> None:
    lost = [outcome("isr", k, "failed", f"only {k % 7} pixels") for k in range(40)]
    section = attrition_section([*lost, outcome("calibrateImage", 3, "partial", "no match")])
    reasons, jobs = section.blocks
    assert reasons.table is not None
    assert [row[:2] for row in reasons.table.rows] == [["isr", "40"], ["calibrateImage", "1"]]
    assert not reasons.folded
    assert jobs.table is not None
    assert jobs.folded == "all 41 jobs"
    assert [row[2] for row in jobs.table.rows[:12]] == [str(k) for k in range(12)], "as numbers"


def test_causes_stand_before_what_they_cause() -> None:
    lost = [outcome("finalizeImage", k, "failed", "no warp mask") for k in range(5)]
    lost += [outcome("isr", k, "partial", "an amplifier is dead") for k in range(2)]
    (block,) = attrition_section([*lost, outcome("calibrateImage", 1, "failed", "stars")]).blocks
    assert block.table is not None
    tasks = [row[0] for row in block.table.rows]
    assert tasks == ["isr"] * 2 + ["calibrateImage"] + ["finalizeImage"] * 5


def test_files_that_ingest_did_not_take() -> None:
    rows = [RejectedRow(f"raw/{k}.fits", 0, "the file is empty") for k in range(21)]
    (block,) = attrition_section([outcome("isr", 0, "done")], (), rows[:1]).blocks
    assert block.table is not None
    assert block.table.rows == [["raw/0.fits", "0", "the file is empty"]]
    assert not block.folded
    (block,) = attrition_section([outcome("isr", 0, "done")], (), rows).blocks
    assert block.folded == "all 21 files"
