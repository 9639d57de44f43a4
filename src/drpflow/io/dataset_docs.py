"""The page on dataset types, ``docs/datasets.md``, made from the table and the column schemas.

``python -m drpflow.io.dataset_docs`` writes it anew; a test fails where it differs.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from drpflow.io.atomic import write_text
from drpflow.io.datasets import DatasetTable
from drpflow.io.schemas import load_schema, schema_names
from drpflow.paths import share_root

if TYPE_CHECKING:
    from collections.abc import Iterable

    from drpflow.io.datasets import DatasetType

_INTRODUCTION = """\
# Dataset types

Everything that a run reads and writes, generated from `config/datasets.yaml` and
`src/drpflow/schemas` (`python -m drpflow.io.dataset_docs`). How the files look inside is told in
[filespec.md](filespec.md).

*temporary* datasets are deleted as soon as they have been used, *run* datasets stay while the
survey grows, **kept** ones are what a run is for.
"""

_VIEWS = """\
A view is an exposure whose pixels come from one dataset and some components from others, at the
stage that it names. It is put together when it is read; nothing is copied. Where the calibration
or the background is replaced, the pixels have the recorded ones undone and the replacements
applied. A replacement that does not exist is an error: there is no order of lookup.
"""
_AGGREGATES = """\
Datasets of one type read as one: the rows of tables one below the other, exposures by key.
"""
_JOINS = """\
Tables that split one set of rows by columns, read as one. Their rows must be the same, in the
same order. A table with several rows for each identifier, such as one a band, is spread: its
columns stand once for each (`mag_std_g`, `mag_std_r`, ...), with NaN, 0 or false where it has no
row.
"""
_STANDARD = (
    "Names, types and units are those of the table `{}` of Rubin's Science Data Model; what that "
    "table lacks is marked *own*, with the reason."
)


def datasets_page(table: DatasetTable) -> str:
    """Return the page as Markdown."""
    inputs = (
        (_code(name), _list(entry.dimensions), _code(entry.where), entry.doc)
        for name, entry in table.inputs.items()
    )
    dimensions = ((_code(name), d.type, d.doc) for name, d in table.dimensions.items())
    parts = [
        _INTRODUCTION,
        *_stored(table),
        *_gathered(table),
        "## Inputs\n",
        _rows(("name", "told apart by", "found in", "what it is"), inputs),
        "## Dimensions\n",
        _rows(("name", "values", "what it counts"), dimensions),
        "## Columns\n",
        *_columns(),
    ]
    return "\n".join(parts)


def _stored(table: DatasetTable) -> list[str]:
    """Return a chapter a task, in the order of the flow."""
    parts = ["## Datasets\n"]
    for task, about in table.tasks.items():
        rows = [
            (
                _code(name),
                _list(entry.dimensions),
                f"**{entry.keep}**" if entry.keep == "kept" else entry.keep,
                _format(entry.format, entry.compression),
                " ".join([entry.doc, *_components(entry)]),
                _code(entry.path),
                _code(entry.rubin_name or ""),
            )
            for name, entry in table.datasets.items()
            if entry.task == task
        ]
        parts.append(f"### {task} {{{_list(about.dimensions)}}}\n\n{about.doc}\n")
        heads = ("name", "told apart by", "kept", "format", "what it is", "path", "Rubin's name")
        parts.append(_rows(heads, rows))
    return parts


def _gathered(table: DatasetTable) -> list[str]:
    views = (
        (
            _code(name),
            _code(view.base),
            ", ".join(f"{component} from {_code(s)}" for component, s in view.replace.items()),
            view.doc,
        )
        for name, view in table.views.items()
    )
    aggregates = (
        (_code(name), _code(entry.of), _list(entry.over), entry.doc)
        for name, entry in table.aggregates.items()
    )
    joins = (
        (_code(name), ", ".join(map(_code, join.of)), _code(join.by), join.doc)
        for name, join in table.joins.items()
    )
    return [
        f"## Views\n\n{_VIEWS}",
        _rows(("name", "pixels of", "replaced", "what it is"), views),
        f"## Aggregates\n\n{_AGGREGATES}",
        _rows(("name", "gathers", "over", "what it is"), aggregates),
        f"## Joins\n\n{_JOINS}",
        _rows(("name", "joins", "by", "what it is"), joins),
    ]


def _columns() -> list[str]:
    parts = []
    for name in schema_names():
        schema = load_schema(name)
        follows = f" {_STANDARD.format(schema.standard)}" if schema.standard else ""
        parts.append(f"### {name} (version {schema.version})\n\nA row is: {schema.doc}{follows}\n")
        rows = (
            (
                _code(c.name),
                c.type if c.length is None else f"{c.type}[{c.length}]",
                c.unit,
                f"{c.doc} (*own*: {c.own})" if c.own else c.doc,
            )
            for c in schema.columns
        )
        parts.append(_rows(("column", "type", "unit", "what it holds"), rows))
    return parts


def _components(entry: DatasetType) -> list[str]:
    """Return sentences on where the components are."""
    sentences = []
    if entry.holds:
        sentences.append(f"Holds {_list(entry.holds)}, one of each a {entry.row}.")
    if entry.links:
        sentences.append(f"Has {_list(entry.links)} by a link.")
    if entry.components:
        sources: dict[str, list[str]] = {}
        for component, source in entry.components.items():
            sources.setdefault(source, []).append(component)
        given = (f"{_list(names)} from {_code(source)}" for source, names in sources.items())
        sentences.append(f"Finds {'; '.join(given)}.")
    return sentences


def _format(name: str, compression: str) -> str:
    return name if compression == "none" else f"{name}, {compression} compression"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


def _rows(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main() -> int:
    """Write the page."""
    write_text(share_root() / "docs" / "datasets.md", datasets_page(DatasetTable.load()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
