"""The neutral form in which every component is stored: JSON-able metadata and named arrays.

In-memory components know nothing of files. Each turns itself into a :class:`Record` and back;
:mod:`drpflow.io` puts a record into an HDU, a table column or a JSON file. A new kind of
component therefore touches no reader or writer: it is a class with the decorator
:func:`component`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeVar, runtime_checkable

import numpy as np

from drpflow.errors import suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import ArrayLike, DTypeLike, NDArray


@dataclass(frozen=True, eq=False)
class Record:
    """A component in its stored form.

    Parameters
    ----------
    kind
        Registered name of the component class, e.g. ``"sky_wcs"``.
    version
        Schema version of that class's record.
    meta
        JSON-able values (finite floats survive exactly).
    arrays
        Named numeric arrays.
    """

    kind: str
    version: int
    meta: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Record):
            return NotImplemented
        return (
            (self.kind, self.version, self.meta) == (other.kind, other.version, other.meta)
            and self.arrays.keys() == other.arrays.keys()
            and all(_same_array(self.arrays[name], other.arrays[name]) for name in self.arrays)
        )

    __hash__ = None  # type: ignore[assignment]


def _same_array(a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether two arrays agree in type, shape and every value (NaN equals NaN)."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def frozen_array(
    values: ArrayLike, dtype: DTypeLike = np.float64, *, ndim: int | None = None
) -> NDArray[Any]:
    """Return a contiguous, native-endian copy of `values` that cannot be written to.

    Parameters
    ----------
    values
        Anything that numpy can turn into an array.
    dtype
        Type of the copy.
    ndim
        Number of dimensions wanted.

    Raises
    ------
    ValueError
        If the number of dimensions is not `ndim`.
    """
    array = np.array(values, dtype=dtype, order="C")
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"an array of {ndim} dimensions is wanted, not of shape {array.shape}")
    array.flags.writeable = False
    return array


@runtime_checkable
class Component(Protocol):
    """What every storable component offers."""

    KIND: ClassVar[str]
    VERSION: ClassVar[int]

    def to_record(self) -> Record:
        """Return the stored form."""
        ...

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the component from its stored form."""
        ...


class StoredComponent(ABC):
    """Base of the component classes: two of one class are equal if their records are."""

    KIND: ClassVar[str]
    VERSION: ClassVar[int] = 1

    @abstractmethod
    def to_record(self) -> Record:
        """Return the stored form."""

    @classmethod
    @abstractmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the component from its stored form."""

    def _record(
        self, meta: dict[str, Any] | None = None, arrays: dict[str, np.ndarray] | None = None
    ) -> Record:
        """Return a record of this class's kind and version."""
        return Record(self.KIND, self.VERSION, meta or {}, arrays or {})

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return self.to_record() == other.to_record()

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, tuple[Record]]:
        """Pickle and copy by way of the stored form."""
        return from_record, (self.to_record(),)


_REGISTRY: dict[str, type[Component]] = {}
# Where a kind's class lives, so that reading one kind never imports the others.
_MODULES = {
    "sky_wcs": "drpflow.data.sky_wcs",
    "pixel_grid_psf": "drpflow.data.psf",
    "gaussian_psf": "drpflow.data.psf",
    "coadd_psf": "drpflow.data.coadd_psf",
    "double_gaussian_psf": "drpflow.data.double_gaussian_psf",
    "photo_calib": "drpflow.data.photo_calib",
    "ap_corr": "drpflow.data.ap_corr",
    "background": "drpflow.data.background",
    "transmission": "drpflow.data.transmission",
    "valid_polygon": "drpflow.data.geometry",
    "visit_info": "drpflow.data.visit_info",
    "detector": "drpflow.data.detector_info",
    "summary_stats": "drpflow.data.summary_stats",
    "coadd_inputs": "drpflow.data.coadd_inputs",
    "noise_covariance": "drpflow.data.noise_covariance",
    "spatial_kernel": "drpflow.data.spatial_kernel",
    "fgcm_look_up_table": "drpflow.data.look_up_table",
    # Parts of components.
    "affine_map": "drpflow.data.plane_maps",
    "polynomial_map": "drpflow.data.plane_maps",
    "radial_map": "drpflow.data.plane_maps",
    "displacement_map": "drpflow.data.displacement_map",
    "mesh_layer": "drpflow.data.background",
    "polynomial_layer": "drpflow.data.background",
    "star_wings_layer": "drpflow.data.star_wings",
    "transmission_factor": "drpflow.data.transmission",
    "filter_table": "drpflow.data.look_up_table",
}

C = TypeVar("C", bound=type)


def component(cls: C) -> C:
    """Register a component class under its ``KIND``."""
    _REGISTRY[cls.KIND] = cls  # type: ignore[attr-defined]
    return cls


def from_record(record: Record) -> Any:
    """Rebuild whatever component a record holds.

    Raises
    ------
    KeyError
        If the kind is unknown.
    ValueError
        If the record was written by a newer version of the schema.
    """
    if record.kind not in _REGISTRY:
        from importlib import import_module

        if record.kind not in _MODULES:
            hint = suggest(record.kind, _MODULES)
            raise KeyError(f"unknown component kind {record.kind!r}{hint}")
        import_module(_MODULES[record.kind])
    cls = _REGISTRY[record.kind]
    if record.version > cls.VERSION:
        raise ValueError(
            f"{record.kind} was written with schema version {record.version}; "
            f"this drpflow reads up to {cls.VERSION}: upgrade drpflow"
        )
    return cls.from_record(record)


def pack(
    parts: Iterable[tuple[str, StoredComponent]],
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Return the records of named parts as one JSON-able list and one dict of arrays.

    The arrays of part k get the prefix ``part<k>_``, so that their names stay distinct
    whatever the parts are called (FITS columns do not tell upper from lower case).
    """
    entries: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray] = {}
    for k, (name, part) in enumerate(parts):
        record = part.to_record()
        entries.append(
            {"name": name, "kind": record.kind, "version": record.version, "meta": record.meta}
        )
        arrays.update({f"part{k}_{key}": array for key, array in record.arrays.items()})
    return entries, arrays


def unpack(
    entries: Iterable[dict[str, Any]], arrays: Mapping[str, np.ndarray]
) -> list[tuple[str, Any]]:
    """Rebuild the named parts from what :func:`pack` returned."""
    parts = []
    for k, entry in enumerate(entries):
        prefix = f"part{k}_"
        own = {key.removeprefix(prefix): a for key, a in arrays.items() if key.startswith(prefix)}
        record = Record(entry["kind"], entry["version"], entry["meta"], own)
        parts.append((entry["name"], from_record(record)))
    return parts
