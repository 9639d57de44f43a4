"""What the report says of a simulated survey against its truth: the scoreboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drpflow.qa.checks import Check, percent
from drpflow.qa.page import Block, Column, Section, Tile, linked, make_table
from drpflow.qa.truth.score import STAGES, from_columns

if TYPE_CHECKING:
    from pathlib import Path

    from drpflow.io.store import Store
    from drpflow.qa.truth.score import Score

SCORES = "truth_scores"
_TITLE = "Against the truth"
_COLUMNS = (
    Column("figure", text=True),
    Column("value", "95 % interval", text=True),
    Column("unit", text=True),
    Column("number"),
    Column("asked", text=True),
    Column("met", text=True),
)


def truth_section(store: Store) -> Section | None:
    """Return the scoreboard that ``drpflow score`` wrote, None if it has not."""
    if not store.exists(SCORES):
        return None
    scores = from_columns(store.get(SCORES).to_dict())
    if not scores:
        return None
    note = (
        "Products against the truth of the simulated survey, which no task has read. Green is as "
        "asked, red is not; yellow, with a question mark, where the 95 % interval allows both."
    )
    newer = _newer_products(store)
    if newer:
        note += f" Jobs that ended after it was made: {newer}; drpflow score makes it anew."
    blocks = [_stage_block(stage, scores) for stage in STAGES]
    asked = [s for s in scores if s.mood]
    missed = percent(sum(s.mood == "bad" for s in asked), len(asked))
    return Section(
        "truth", _TITLE, note, _tiles(asked), linked("truth", [b for b in blocks if b is not None]),
        [Check("truth", missed, len(asked))],
    )  # fmt: skip


def _tiles(asked: list[Score]) -> list[Tile]:
    met = sum(s.mood == "good" for s in asked)
    tiles = [
        Tile(f"{met} / {len(asked)}", "figures as asked", "good" if met == len(asked) else "bad"),
    ]
    doubtful = sum(s.verdict.endswith("?") for s in asked)
    tiles.append(Tile(str(doubtful), "of these within their error of the limit"))
    return tiles


def _stage_block(stage: str, scores: list[Score]) -> Block | None:
    mine = [s for s in scores if s.stage == stage]
    if not mine:
        return None
    rows = [[s.metric, s.text(), s.unit, s.number, s.asked, s.verdict] for s in mine]
    moods = ["watch" if s.verdict.endswith("?") else s.mood for s in mine]
    return Block(stage, table=make_table(_COLUMNS, rows, moods))


def _newer_products(store: Store) -> int:
    """Return how many jobs have ended after the scores were written."""
    made = _time(store.path(SCORES))
    status = store.roots[0] / "status"
    return sum(_time(path) > made for path in status.rglob("*.json")) if status.is_dir() else 0


def _time(path: Path) -> int:
    return path.stat().st_mtime_ns
