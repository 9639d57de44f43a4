"""Path templates, from data ID to path and back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drpflow.io.templates import PATTERNS, PathTemplate

TYPES = {"visit": "int", "detector": "int", "template": "str"}
TEMPLATE = PathTemplate("d/visit={visit}/template={template}/d_{visit}_{detector}.fits", TYPES)


def test_fields_once_each_in_order():
    assert TEMPLATE.fields == ("visit", "template", "detector")


@given(
    st.integers(0, 10**15),
    st.integers(0, 500),
    st.from_regex(re.compile(PATTERNS["str"]), fullmatch=True),
)
def test_parse_undoes_fill(visit, detector, template):
    data_id = {"visit": visit, "detector": detector, "template": template}
    assert TEMPLATE.parse(TEMPLATE.fill(data_id)) == data_id


def test_a_repeated_field_must_repeat_its_value():
    assert TEMPLATE.parse("d/visit=1/template=coadd/d_2_3.fits") is None


@pytest.mark.parametrize("path", ["d/visit=x/template=c/d_x_3.fits", "e/visit=1", ""])
def test_other_paths_are_not_of_this_template(path):
    assert TEMPLATE.parse(path) is None


@pytest.mark.parametrize("value", ["a/b", "", "a=b", "..", "*"])
def test_values_that_would_leave_their_place_are_refused(value):
    with pytest.raises(ValueError, match="cannot stand in a path"):
        TEMPLATE.fill({"visit": 1, "detector": 2, "template": value})


def test_glob_has_stars_for_what_is_unknown():
    assert TEMPLATE.glob({"visit": 7}) == "d/visit=7/template=*/d_7_*.fits"
