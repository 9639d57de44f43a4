"""The parts of which the report is made: sections, blocks, tables, figures; and its HTML.

What a page says is decided in one module a subject (:mod:`drpflow.qa.isr_section` …); this one
knows only how it looks. The page is one file without any reference to the network.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from drpflow.qa.checks import Check

MOST_ROWS = 1000
"""Longer tables are cut, and say so: a report of any survey can be opened."""


@dataclass(frozen=True)
class Column:
    """Head of a table's column."""

    name: str
    unit: str = ""
    digits: int | None = None
    text: bool = False


@dataclass(frozen=True)
class Marked:
    """A cell's value with its mood (:class:`Tile`), and the anchor to which it leads."""

    value: Any
    mood: str = ""
    anchor: str = ""


class Cell(str):
    """A cell as text, with its mood and the anchor to which it leads."""

    __slots__ = ("anchor", "mood")
    mood: str
    anchor: str

    def __new__(cls, text: str, mood: str = "", anchor: str = "") -> Self:
        """Return the text with what belongs to it."""
        made = super().__new__(cls, text)
        made.mood, made.anchor = mood, anchor
        return made


@dataclass(frozen=True)
class DataTable:
    """Rows of cells that are text already; `moods` colour rows (:class:`Tile`).

    `left_out` rows follow that are not shown.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    moods: Sequence[str] = ()
    left_out: int = 0


@dataclass(frozen=True)
class Picture:
    """An image (data URI) and what it shows."""

    image: str
    caption: str

    @property
    def size_pix(self) -> tuple[int, int] | None:
        """Width and height, None if the image is no WebP.

        Browsers keep the place of an image whose size they are told. Source: WebP container and
        bitstream specifications (RFC 9649).
        """
        head = base64.b64decode(self.image.partition(";base64,")[2][:40])
        kind = head[12:16]
        if kind == b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        if kind == b"VP8X":
            return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(
                head[27:], "little"
            )
        if kind == b"VP8 ":
            width, height = (int.from_bytes(head[k : k + 2], "little") for k in (26, 28))
            return width & 0x3FFF, height & 0x3FFF
        return None


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
    tiles
        Numbers above the figures.
    mood
        Of the heading, as that of a tile.
    parts
        Blocks of which it is made, if it is one that opens on a click on its heading.
    """

    title: str = ""
    note: str = ""
    figures: Sequence[Picture] = ()
    table: DataTable | None = None
    folded: str = ""
    key: str = ""
    label: str = ""
    wide: bool = False
    tiles: Sequence[Tile] = ()
    mood: str = ""
    parts: Sequence[Block] = ()


@dataclass(frozen=True)
class Tile:
    """One number that matters; `mood` is ``"good"``, ``"watch"``, ``"bad"`` or empty."""

    value: str
    label: str
    mood: str = ""


@dataclass(frozen=True)
class Section:
    """A chapter of the report; `checks` are its figures that the first chapter judges."""

    key: str
    title: str
    note: str = ""
    tiles: Sequence[Tile] = ()
    blocks: Sequence[Block] = field(default_factory=tuple)
    checks: Sequence[Check] = ()


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
    return DataTable(columns, cells[:MOST_ROWS], moods, max(0, len(cells) - MOST_ROWS))


def _cell(value: Any, column: Column) -> str:
    if isinstance(value, Marked):
        return Cell(_cell(value.value, column), value.mood, value.anchor)
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
