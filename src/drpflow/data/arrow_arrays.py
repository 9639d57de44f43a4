"""Columns of Arrow tables as numpy arrays and back, without copying where that is possible.

``pyarrow.array`` and ``to_numpy`` do the same, but they import pandas on their first call, which
costs each job of a run 0.25 s of CPU.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def to_arrow(array: NDArray[Any]) -> pa.Array:
    """Return an Arrow array of shape (N,), or of lists of fixed length for shape (N, k).

    Raises
    ------
    ValueError
        If the array has more axes.
    TypeError
        If it holds what no column can.
    """
    if array.ndim == 2:
        flat = to_arrow(np.ascontiguousarray(array).reshape(-1))
        return pa.FixedSizeListArray.from_arrays(flat, array.shape[1])
    if array.ndim != 1:
        raise ValueError(f"a column has one or two axes, not the shape {array.shape}")
    if array.dtype.kind in "USO":
        return _texts_to_arrow(array)
    if array.dtype.kind == "b":
        bits = np.packbits(array, bitorder="little")
        return pa.Array.from_buffers(pa.bool_(), len(array), [None, pa.py_buffer(bits)])
    if array.dtype.kind not in "iuf":
        raise TypeError(f"a column cannot hold {array.dtype}")
    native = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    kind = pa.from_numpy_dtype(native.dtype)
    return pa.Array.from_buffers(kind, len(native), [None, pa.py_buffer(native)])


def _texts_to_arrow(array: NDArray[Any]) -> pa.Array:
    """Return texts or bytes: offsets of the cells in one long run of bytes."""
    values: list[Any] = array.tolist()
    are_bytes = array.dtype.kind == "S" or any(isinstance(value, bytes) for value in values)
    wrong = [v for v in values if not isinstance(v, bytes if are_bytes else str)]
    if wrong:
        raise TypeError(f"a column of {'bytes' if are_bytes else 'texts'} cannot hold {wrong[0]!r}")
    cells: Sequence[bytes] = values if are_bytes else [value.encode() for value in values]
    offsets = np.array([0, *accumulate(map(len, cells))], np.int64)
    if offsets[-1] > np.iinfo(np.int32).max:
        raise TypeError(f"{offsets[-1]} bytes in one column; Arrow takes 2147483647")
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(b"".join(cells))]
    return pa.Array.from_buffers(pa.binary() if are_bytes else pa.string(), len(cells), buffers)


def from_arrow(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return a column as an array: texts as numpy's fixed-width ones, bytes as objects.

    Columns with nulls, which drpflow never writes, become what pyarrow makes of them (for
    integers: floats with NaN).
    """
    kind = column.type
    if pa.types.is_fixed_size_list(kind):
        chunks = [from_arrow(pa.chunked_array([chunk.flatten()])) for chunk in column.chunks]
        flat = np.concatenate(chunks) if chunks else np.zeros(0, kind.value_type.to_pandas_dtype())
        return flat.reshape(len(column), kind.list_size)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.array(column.to_pylist(), dtype=np.str_)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        values = np.empty(len(column), dtype=object)
        values[:] = column.to_pylist()
        return values
    simple = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    if column.null_count or not simple:
        return np.asarray(column.to_numpy())
    return _join([_view(chunk) for chunk in column.chunks], np.dtype(kind.to_pandas_dtype()))


def _view(chunk: pa.Array) -> NDArray[Any]:
    """Return numbers without nulls as they lie in memory."""
    data = chunk.buffers()[1]
    if pa.types.is_boolean(chunk.type):
        bits = np.frombuffer(data, np.uint8)
        count = chunk.offset + len(chunk)
        return np.unpackbits(bits, count=count, bitorder="little")[chunk.offset :].view(np.bool_)
    dtype = np.dtype(chunk.type.to_pandas_dtype())
    return np.frombuffer(data, dtype, len(chunk), chunk.offset * dtype.itemsize)


def _join(chunks: list[NDArray[Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
    filled = [chunk for chunk in chunks if chunk.size]
    if len(filled) == 1:
        return filled[0]
    return np.concatenate(filled) if filled else np.zeros(0, dtype)
