"""Records as FITS binary tables of one row, and back."""

from __future__ import annotations

import io

import numpy as np
from astropy.io import fits
from hypothesis import given, settings

from drpflow.data.record import Record
from drpflow.io.components_fits import record_from_hdu, record_to_hdu
from tests.io.record_strategies import assert_same, records


def through_file(record: Record) -> fits.BinTableHDU:
    stream = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), record_to_hdu(record, "wcs")]).writeto(stream)
    stream.seek(0)
    return fits.open(stream, memmap=False)["WCS"]


@given(records())
@settings(max_examples=60, deadline=None)
def test_record_comes_back_exactly(record):
    assert_same(record_from_hdu(through_file(record)), record)


def test_other_programs_see_the_arrays():
    values = np.arange(24.0).reshape(2, 3, 4)
    record = Record("psf", 2, {"n": 1}, {"coefficients": values, "flag": np.array([True, False])})
    hdu = through_file(record)
    assert hdu.header["KIND"] == "psf"
    assert hdu.header["KINDVER"] == 2
    assert hdu.columns["coefficients"].dim == "(4,3,2)"
    np.testing.assert_array_equal(hdu.data["coefficients"][0], values)
    np.testing.assert_array_equal(hdu.data["flag"][0], [True, False])


def test_names_that_fits_cannot_tell_apart():
    arrays = {name: np.full(2, i) for i, name in enumerate(["a", "A", "record", "RECORD", "a_1"])}
    record = Record("psf", 1, {}, arrays)
    hdu = through_file(record)
    assert len({name.lower() for name in hdu.columns.names}) == 6
    assert_same(record_from_hdu(hdu), record)


def test_a_big_array():
    record = Record("psf", 1, {}, {"c": np.random.default_rng(1).normal(size=(6, 61, 61))})
    assert_same(record_from_hdu(through_file(record)), record)
