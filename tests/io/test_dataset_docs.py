"""The page on dataset types says what the table says."""

from __future__ import annotations

from drpflow.io.dataset_docs import datasets_page
from drpflow.io.datasets import DatasetTable
from drpflow.io.schemas import load_schema, schema_names
from drpflow.paths import share_root

TABLE = DatasetTable.load()


def test_page_is_in_step_with_the_table():
    written = (share_root() / "docs" / "datasets.md").read_text()
    assert written == datasets_page(TABLE), "run: python -m drpflow.io.dataset_docs"


def test_everything_is_on_the_page():
    page = datasets_page(TABLE)
    for name in [*TABLE.names, *TABLE.inputs, *TABLE.dimensions]:
        assert f"| `{name}` |" in page
    for task in TABLE.tasks:
        assert f"### {task} " in page
    for schema in schema_names():
        for column in load_schema(schema).columns:
            assert f"| `{column.name}` |" in page
