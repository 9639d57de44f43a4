"""The parts of which the report is made: sections, blocks, tables, figures; and its HTML.

What a page says is decided in one module a subject (:mod:`drpflow.qa.isr_section` …); this one
knows only how it looks. The page is one file without any reference to the network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True)
class Column:
    """Head of a table's column."""

    name: str
    unit: str = ""
    digits: int | None = None
    text: bool = False


@dataclass(frozen=True)
class DataTable:
    """Rows of cells that are text already; `moods` colour rows: ``"good"``, ``"bad"`` or empty."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    moods: Sequence[str] = ()


@dataclass(frozen=True)
class Picture:
    """An image (data URI) and what it shows."""

    image: str
    caption: str


@dataclass(frozen=True)
class Block:
    """A heading with figures and a table.

    Parameters
    ----------
    title, note
        Heading and a sentence.
    figures, table
        What is shown.
    folded
        Label of a table that opens on click; empty for one that is open.
    key
        Anchor; the blocks of a section that have one are listed above them by `label`.
    label
        Short name there.
    wide
        Figures take the width of the page, one below the other.
    """

    title: str = ""
    note: str = ""
    figures: Sequence[Picture] = ()
    table: DataTable | None = None
    folded: str = ""
    key: str = ""
    label: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Tile:
    """One number that matters; `mood` is ``"good"``, ``"bad"`` or empty."""

    value: str
    label: str
    mood: str = ""


@dataclass(frozen=True)
class Section:
    """A chapter of the report."""

    key: str
    title: str
    note: str = ""
    tiles: Sequence[Tile] = ()
    blocks: Sequence[Block] = field(default_factory=tuple)


def linked(prefix: str, blocks: Iterable[Block]) -> list[Block]:
    """Return blocks of which those with a heading are listed above the section.

    Parameters
    ----------
    prefix
        Key of the section.
    blocks
        Its blocks.
    """
    return [
        replace(b, key=f"{prefix}-{k}", label=b.title) if b.title and not b.key else b
        for k, b in enumerate(blocks)
    ]


def make_table(
    columns: Sequence[Column], rows: Iterable[Sequence[Any]], moods: Sequence[str] = ()
) -> DataTable:
    """Build a table from values: numbers with the digits of their column, no value as a dash."""
    cells = [[_cell(v, c) for v, c in zip(row, columns, strict=True)] for row in rows]
    return DataTable(columns, cells, moods)


def _cell(value: Any, column: Column) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if column.digits is not None:
        # "z": what rounds to zero has no sign.
        return f"{value:z.{column.digits}f}"
    return str(value)


def render(title: str, subtitle: str, sections: Sequence[Section], footer: str) -> str:
    """Return the page as HTML; all text is escaped."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("drpflow.qa"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html").render(
        title=title, subtitle=subtitle, sections=sections, footer=footer
    )
