"""Every component survives its stored form exactly."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drpflow.data import record as record_module
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.record import Record, StoredComponent, from_record, frozen_array
from tests.data.component_strategies import COMPONENTS


def through_storage(record: Record) -> Record:
    """What comes back from JSON text and from raw array bytes with their type and shape."""
    meta = json.loads(json.dumps(record.meta, allow_nan=False))
    arrays = {
        name: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape)
        for name, a in record.arrays.items()
    }
    return Record(record.kind, record.version, meta, arrays)


@pytest.mark.parametrize("kind", sorted(COMPONENTS))
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_round_trip_is_exact(kind: str, data: st.DataObject) -> None:
    component = data.draw(COMPONENTS[kind])
    record = component.to_record()
    assert record.kind == kind
    again = from_record(through_storage(record))
    assert type(again) is type(component)
    assert again.to_record() == record
    assert again == component
    assert pickle.loads(pickle.dumps(component)) == component
    for name, array in again.to_record().arrays.items():
        assert array.dtype == record.arrays[name].dtype
        assert array.tobytes() == record.arrays[name].tobytes()


@pytest.mark.parametrize("kind", sorted(COMPONENTS))
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_arrays_of_a_component_cannot_be_changed(kind: str, data: st.DataObject) -> None:
    component = data.draw(COMPONENTS[kind])
    for name in getattr(component, "__dataclass_fields__", {}):
        value: Any = getattr(component, name)
        if isinstance(value, np.ndarray):
            assert not value.flags.writeable
        with pytest.raises((AttributeError, TypeError)):
            setattr(component, name, value)


def test_every_kind_is_tested() -> None:
    kinds = set(record_module._MODULES) - {"detector"}
    parts = {k for k in kinds if k.endswith(("_map", "_layer", "_factor", "filter_table"))}
    assert kinds - parts == set(COMPONENTS)


def test_every_kind_is_found_where_the_table_says() -> None:
    from importlib import import_module

    for kind, module in record_module._MODULES.items():
        import_module(module)
        assert record_module._REGISTRY[kind].__module__ == module


def test_components_differ_by_one_bit() -> None:
    one = PhotoCalib(2.0)
    assert one == PhotoCalib(2.0)
    assert one != PhotoCalib(np.nextafter(2.0, 3.0))
    assert one != "photo_calib"


def test_records_compare_type_shape_and_nan() -> None:
    a = Record("x", 1, {}, {"a": np.array([1.0, np.nan])})
    assert a == Record("x", 1, {}, {"a": np.array([1.0, np.nan])})
    assert a != Record("x", 1, {}, {"a": np.array([1.0, np.nan], np.float32)})
    assert a != Record("x", 1, {}, {"a": np.array([[1.0, np.nan]])})
    assert a != Record("x", 1, {}, {"b": np.array([1.0, np.nan])})
    assert a != Record("x", 2, {}, {"a": np.array([1.0, np.nan])})


def test_newer_schema_is_refused() -> None:
    with pytest.raises(ValueError, match="upgrade drpflow"):
        from_record(Record("photo_calib", 99))


def test_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(KeyError, match="photo_calib"):
        from_record(Record("photo_calibration", 1))


def test_frozen_array_is_native_contiguous_and_a_copy() -> None:
    source = np.arange(6, dtype=">f8").reshape(2, 3).T
    copy = frozen_array(source)
    assert copy.dtype == np.dtype("=f8")
    assert copy.flags.c_contiguous
    source[0, 0] = 7
    assert copy[0, 0] == 0
    with pytest.raises(ValueError):
        copy[0, 0] = 1
    with pytest.raises(ValueError, match="dimensions"):
        frozen_array(source, ndim=1)


def test_imports_are_light() -> None:
    modules = {m for m in record_module._MODULES.values() if "detector" not in m}
    code = (
        f"import sys, {', '.join(sorted(modules))}\n"
        "heavy = {'astropy', 'scipy', 'pandas', 'numba', 'pydantic'} & set(sys.modules)\n"
        "raise SystemExit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_stored_component_is_abstract() -> None:
    with pytest.raises(TypeError):
        StoredComponent()  # type: ignore[abstract]
