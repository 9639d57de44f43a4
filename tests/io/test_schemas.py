"""Every column schema is valid and documented."""

from __future__ import annotations

import pytest

from drpflow import InputError
from drpflow.io.schemas import load_schema, schema_names


@pytest.mark.parametrize("name", schema_names())
def test_schema(name):
    schema = load_schema(name)
    assert schema.doc
    for column in schema.columns:
        assert column.doc, f"{name}.{column.name} does not say what it holds"


def test_misspelt_schema():
    with pytest.raises(InputError, match="did you mean 'isr_statistics'"):
        load_schema("isr_statistic")


def test_a_schema_that_extends_another_has_its_columns_first():
    first = load_schema("initial_stars_detector").columns
    assert load_schema("initial_stars").columns[: len(first)] == first
