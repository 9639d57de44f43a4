"""Provenance as text and back."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from drpflow.data.provenance import Provenance

texts = st.text(max_size=10)
provenances = st.builds(
    Provenance,
    version=texts,
    task=texts,
    config=st.dictionaries(texts, st.integers() | texts | st.lists(st.booleans(), max_size=2)),
    code=texts,
    inputs=st.lists(st.dictionaries(texts, texts, max_size=2), max_size=3).map(tuple),
    stages=st.dictionaries(texts, texts, max_size=3),
)


@given(provenances)
def test_json_comes_back(provenance):
    text = provenance.to_json()
    assert text.isascii()
    assert Provenance.from_json(text) == provenance


def test_the_order_of_keys_does_not_change_the_text():
    a = Provenance(config={"x": 1, "a": 2}, stages={"wcs": "b", "psf": "a"})
    b = Provenance(config={"a": 2, "x": 1}, stages={"psf": "a", "wcs": "b"})
    assert a.to_json() == b.to_json()


def test_stages_are_added():
    first = Provenance(stages={"wcs": "initial"})
    assert first.with_stages({"psf": "final"}).stages == {"wcs": "initial", "psf": "final"}
    assert first.with_stages({"wcs": "final"}).stages == {"wcs": "final"}
    assert first.stages == {"wcs": "initial"}


def test_what_a_later_version_adds_is_left_out():
    values = json.loads(Provenance(task="isr").to_json())
    assert Provenance.from_json(json.dumps({**values, "new": 1})) == Provenance(task="isr")
    assert Provenance.from_json("{}") == Provenance()
