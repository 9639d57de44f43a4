"""Figures that the report judges: good, to be watched, or bad by limits of the configuration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drpflow.qa.page import Block, Column, Marked, Section, Tile, make_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic.fields import FieldInfo

    from drpflow.config.base import StrictModel
    from drpflow.config.make_report import Limit, LimitsConfig

KEY = "overview"
_WORDS = {"good": "good", "watch": "watch", "bad": "bad", "": "–"}
_COLUMNS = (
    Column("figure", text=True),
    Column("value"),
    Column("unit", text=True),
    Column("of"),
    Column("good", "up to"),
    Column("bad", "beyond"),
    Column("verdict", text=True),
    Column("chapter", text=True),
)


@dataclass(frozen=True)
class Check:
    """A figure of merit of which less is better.

    Parameters
    ----------
    name
        Key of its limits in the configuration, which also tells what it is and its unit.
    value
        The figure; NaN where nothing tells it.
    number
        Values that it was made from.
    """

    name: str
    value: float
    number: int


def mood_of(value: float, limit: Limit) -> str:
    """Return ``"good"``, ``"watch"`` or ``"bad"``; empty where the value is not known."""
    good, bad = limit
    if not math.isfinite(value):
        return ""
    return "good" if value <= good else "watch" if value <= bad else "bad"


def percent(part: float, whole: float) -> float:
    """Return a share in %, NaN of nothing."""
    return 100 * part / whole if whole else float("nan")


def about(model: type[StrictModel], name: str) -> tuple[str, str]:
    """Return what a parameter is, and its unit."""
    field: FieldInfo = model.model_fields[name]
    extra = field.json_schema_extra
    return field.description or name, str(extra.get("unit") or "") if isinstance(
        extra, dict
    ) else ""


def overview_section(sections: Sequence[Section], limits: LimitsConfig) -> Section:
    """Return the first chapter: all figures with their limits.

    Parameters
    ----------
    sections
        The chapters that follow. Of figures that several tell, the last counts.
    limits
        Of the configuration.
    """
    found = {c.name: (c, s) for s in sections for c in s.checks}
    rows, moods = [], []
    for name in type(limits).model_fields:
        if name not in found or not math.isfinite(found[name][0].value):
            continue
        check, section = found[name]
        limit = getattr(limits, name)
        mood = mood_of(check.value, limit)
        text, unit = about(type(limits), name)
        rows.append([
            text, Marked(f"{check.value:.3g}", mood), unit, f"{check.number:,}",
            *(f"{edge:g}" for edge in limit), Marked(_WORDS[mood], mood),
            Marked(section.title, anchor=section.key),
        ])  # fmt: skip
        moods.append(mood)
    note = (
        "Figures of the whole run; less is better of each. The limits are those of the section "
        "makeReport of the configuration."
    )
    unknown = [about(type(limits), n)[0] for n in type(limits).model_fields
               if n not in found or not math.isfinite(found[n][0].value)]  # fmt: skip
    blocks = [Block(table=make_table(_COLUMNS, rows))] if rows else []
    if unknown:
        blocks.append(Block(note=f"Not told by this run so far: {'; '.join(unknown)}."))
    return Section(KEY, "Overview", note, _tiles(moods), blocks)


def _tiles(moods: Sequence[str]) -> list[Tile]:
    words = {"good": "figures are good", "watch": "to be watched", "bad": "bad"}
    return [
        Tile(str(moods.count(mood)), words[mood], mood if mood == "good" or mood in moods else "")
        for mood in words
    ]
