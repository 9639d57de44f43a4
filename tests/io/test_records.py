"""Records as JSON, and as JSON with bytes, and back."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given

from drpflow import InputError
from drpflow.data.psf import GaussianPsf
from drpflow.data.record import Record
from drpflow.io.records import (
    NUMERIC_TYPES,
    dumps,
    loads,
    pack_record,
    read_component_json,
    rebuild,
    record_from_json,
    record_to_json,
    unpack_record,
    write_component_json,
)
from tests.io.record_strategies import assert_same, meta, plain, records

REAL = tuple(kind for kind in NUMERIC_TYPES if not kind.startswith("complex"))


@given(meta)
def test_metadata_come_back_exactly(values):
    text = dumps(values)
    assert text.isascii()
    json.loads(text, parse_constant=pytest.fail)  # strict JSON: no NaN, no Infinity
    assert plain(loads(text)) == plain(values)


@given(records())
def test_unpack_undoes_pack(record):
    assert_same(unpack_record(*pack_record(record)), record)


@given(records(REAL))
def test_json_comes_back(record):
    assert_same(record_from_json(record_to_json(record)), record)


def test_negative_zero_and_smallest_float_survive():
    values = [-0.0, 5e-324, 1.7976931348623157e308, -math.inf]
    back = loads(dumps(values))
    assert back == values
    assert math.copysign(1, back[0]) == -1


@pytest.mark.parametrize(
    ("value", "message"),
    [({"$float": 1}, "reserved"), ({1: 2}, "is no text"), ({"a": {2, 3}}, "set cannot be stored")],
)
def test_what_json_cannot_hold_is_refused(value, message):
    with pytest.raises(TypeError, match=message):
        dumps(value)


@pytest.mark.parametrize("kind", ["float16", "uint16", "datetime64[s]", "object"])
def test_types_that_are_not_stored_are_refused(kind):
    with pytest.raises(TypeError, match="array 'a' is of type"):
        pack_record(Record("psf", 1, {}, {"a": np.zeros(2, kind)}))


def test_bytes_that_do_not_belong_to_the_text_are_refused():
    text, data = pack_record(Record("psf", 1, {}, {"a": np.arange(3.0)}))
    with pytest.raises(ValueError, match="24 bytes has 32"):
        unpack_record(text, data + bytes(8))
    with pytest.raises(ValueError, match="buffer is smaller"):
        unpack_record(text, data[:8])


def test_component_file(tmp_path):
    path = tmp_path / "psf.json"
    write_component_json(path, GaussianPsf(1.5))
    assert read_component_json(path) == GaussianPsf(1.5)
    assert json.loads(path.read_text())["kind"] == "gaussian_psf"


@pytest.mark.parametrize("text", ["", "{}", "[1, 2]", '{"kind": "gaussian_psf"'])
def test_a_broken_component_file_is_named(tmp_path, text):
    path = tmp_path / "psf.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"psf\.json: it holds no component"):
        read_component_json(path)


def test_a_record_of_a_later_version_says_what_to_do():
    record = Record("gaussian_psf", 99, GaussianPsf(1.0).to_record().meta)
    with pytest.raises(InputError, match=r"its psf cannot be read: .* schema version 99.*upgrade"):
        rebuild(record, "file.fits", "psf")


def test_a_record_that_lacks_something_names_file_and_component():
    with pytest.raises(InputError, match=r"file\.fits: its psf cannot be read"):
        rebuild(Record("gaussian_psf", 1), "file.fits", "psf")
