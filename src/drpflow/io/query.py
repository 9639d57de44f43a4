"""Which data IDs exist."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from drpflow.errors import InputError, MissingDatasetError, suggest
from drpflow.io.datasets import DataId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drpflow.io.datasets import DatasetTable
    from drpflow.io.reader import DatasetReader

VISIT_PROPERTIES = ("band", "physical_filter")
"""What selects visits though it is no dimension of most datasets."""
_VISIT_INFO = "visit_info"


def query(reader: DatasetReader, name: str, constraints: Mapping[str, Any]) -> list[DataId]:
    """Return the data IDs of a dataset type, view, aggregate or join that exist, sorted.

    Raises
    ------
    MissingDatasetError
        If the name is unknown.
    InputError
        If a constraint is neither a dimension nor a property of visits, or has a value of the
        wrong type.
    """
    table = reader.table
    wanted = {key: _values(table, name, key, value) for key, value in constraints.items()}
    if name in table.views:
        found = _of_view(reader, name, wanted)
    elif name in table.aggregates:
        found = _of_aggregate(reader, name, wanted)
    elif name in table.joins:
        found = _of_join(reader, name, wanted)
    else:
        found = _stored(reader, name, wanted)
    return sorted(found, key=lambda data_id: tuple(data_id.values()))


def _values(table: DatasetTable, name: str, key: str, value: Any) -> frozenset[Any]:
    several = isinstance(value, Iterable) and not isinstance(value, (str, bytes))
    values = value if several else [value]
    if key not in table.dimensions:
        return frozenset(values)
    return frozenset(table.check_value(name, key, item) for item in values)


def _stored(reader: DatasetReader, name: str, wanted: Mapping[str, frozenset[Any]]) -> list[DataId]:
    dimensions = reader.table.dimensions_of(name)
    of_visit = _split(name, wanted, dimensions)
    template = reader.table.template(name)
    known = {k: next(iter(v)) for k, v in wanted.items() if k in dimensions and len(v) == 1}
    found: dict[tuple[Any, ...], DataId] = {}
    for root in reader.roots:
        for path in root.glob(template.glob(known)):
            data_id = template.parse(path.relative_to(root).as_posix())
            if data_id is None or not _fits(data_id, wanted, dimensions):
                continue
            ordered = DataId({key: data_id[key] for key in dimensions})
            found.setdefault(tuple(ordered.values()), ordered)
    return [d for d in found.values() if _visit_fits(reader, d, of_visit)]


def _split(
    name: str, wanted: Mapping[str, frozenset[Any]], dimensions: tuple[str, ...]
) -> dict[str, frozenset[Any]]:
    """Return the constraints that are properties of visits; check the others."""
    of_visit = {k: v for k, v in wanted.items() if k in VISIT_PROPERTIES and k not in dimensions}
    if of_visit and "visit" not in dimensions:
        raise InputError(name, f"it has no visit to select by {min(of_visit)}", "Leave it out")
    for key in wanted:
        if key not in dimensions and key not in of_visit:
            known = [*dimensions, *VISIT_PROPERTIES]
            raise InputError(
                name,
                f"it cannot be selected by {key!r}{suggest(key, known)}",
                f"Select by {', '.join(known)}",
            )
    return of_visit


def _fits(
    data_id: Mapping[str, Any], wanted: Mapping[str, frozenset[Any]], dimensions: tuple[str, ...]
) -> bool:
    return all(data_id[key] in wanted[key] for key in dimensions if key in wanted)


def _visit_fits(
    reader: DatasetReader, data_id: DataId, of_visit: Mapping[str, frozenset[Any]]
) -> bool:
    if not of_visit:
        return True
    try:
        info = reader.read(_VISIT_INFO, {"visit": data_id["visit"]})
    except MissingDatasetError as error:
        keys = " and ".join(of_visit)
        raise MissingDatasetError(f"visits cannot be selected by {keys}: {error}") from None
    return all(getattr(info, key, None) in values for key, values in of_visit.items())


def _of_view(
    reader: DatasetReader, name: str, wanted: Mapping[str, frozenset[Any]]
) -> list[DataId]:
    """Return data IDs for which base and replacements all exist."""
    view, table = reader.table.views[name], reader.table
    dimensions = table.dimensions_of(name)
    _split(name, wanted, dimensions)
    base_keys = {*table.dimensions_of(view.base), *VISIT_PROPERTIES}
    found: list[dict[str, Any]] = [
        dict(d)
        for d in _stored(reader, view.base, {k: v for k, v in wanted.items() if k in base_keys})
    ]
    for source in dict.fromkeys(view.replace.values()):
        keys = table.dimensions_of(source)
        others = _stored(reader, source, {k: v for k, v in wanted.items() if k in keys})
        found = _match(found, others)
    return [DataId({key: d[key] for key in dimensions}) for d in found]


def _match(mine: list[dict[str, Any]], others: list[DataId]) -> list[dict[str, Any]]:
    """Return every union of two data IDs that agree in the dimensions that both have."""
    if not mine or not others:
        return []
    common = [key for key in others[0] if key in mine[0]]
    groups: dict[tuple[Any, ...], list[DataId]] = {}
    for other in others:
        groups.setdefault(tuple(other[key] for key in common), []).append(other)
    return [{**m, **o} for m in mine for o in groups.get(tuple(m[key] for key in common), [])]


def _of_aggregate(
    reader: DatasetReader, name: str, wanted: Mapping[str, frozenset[Any]]
) -> list[DataId]:
    kept = reader.table.dimensions_of(name)
    members = _stored(reader, reader.table.aggregates[name].of, wanted)
    groups = {tuple(m[key] for key in kept) for m in members}
    return [DataId(zip(kept, values, strict=True)) for values in groups]


def _of_join(
    reader: DatasetReader, name: str, wanted: Mapping[str, frozenset[Any]]
) -> list[DataId]:
    first, *others = (_stored(reader, of, wanted) for of in reader.table.joins[name].of)
    return [d for d in first if all(d in other for other in others)]
