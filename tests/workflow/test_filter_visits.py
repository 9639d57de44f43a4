"""Which visits belong to which filter."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from drpflow.workflow.filter_visits import FilterVisits


def visits() -> FilterVisits:
    filters = {"10": "g wide", "2": "r", "3": "g wide"}
    rows = {v: SimpleNamespace(physical_filter=f) for v, f in filters.items()}
    return FilterVisits(cast("Any", SimpleNamespace(visits=rows)))


def test_visits_of_a_filter_are_in_order():
    wildcards = SimpleNamespace(physical_filter="g wide")
    assert visits().of_filter("s/{visit}.x")(wildcards) == ["s/3.x", "s/10.x"]
    assert visits().visit_list(wildcards) == "3,10"


def test_filter_of_a_visit():
    assert visits().of_visit("f/{physical_filter}")(SimpleNamespace(visit="2")) == "f/r"


def test_all_filters():
    assert visits().expand("{physical_filter}.y") == ["r.y", "g wide.y"]
