"""What must hold for a table of dataset types to make sense."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drpflow.data.component_names import COMPONENTS
from drpflow.errors import suggest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from drpflow.io.datasets import DatasetTable, DatasetType

REPLACEABLE = (*COMPONENTS, "mask")
"""What a view may take from elsewhere."""


def check_table(table: DatasetTable) -> None:
    """Check that names, dimensions, paths and references of a table hold together.

    Raises
    ------
    ValueError
        Naming the entry and the value at fault; inside pydantic's validation this becomes an
        :class:`~drpflow.errors.InputError` that names the file.
    """
    _unique(table)
    for name, entry in table.datasets.items():
        _check_dataset(table, name, entry)
    for group, entries in (("inputs", table.inputs), ("tasks", table.tasks)):
        for name, item in entries.items():
            _known(f"{group}.{name}.dimensions", item.dimensions, table.dimensions)
    _check_views(table)
    _check_gathered(table)


def _unique(table: DatasetTable) -> None:
    names = [*table.names, *table.inputs]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"the name {min(twice)!r} stands twice")
    owners: dict[str, str] = {}
    for name, entry in table.datasets.items():
        if entry.path in owners:
            raise ValueError(f"{owners[entry.path]} and {name} have the same path {entry.path!r}")
        owners[entry.path] = name


def _known(where: str, used: Iterable[str], known: Iterable[str]) -> None:
    known = list(known)
    for name in used:
        if name not in known:
            raise ValueError(f"{where}: {name!r} is not declared{suggest(name, known)}")


def _check_dataset(table: DatasetTable, name: str, entry: DatasetType) -> None:
    where = f"datasets.{name}"
    _known(f"{where}.dimensions", entry.dimensions, table.dimensions)
    _known(f"{where}.task", [entry.task], table.tasks)
    spoken = {d for d in entry.dimensions if not table.dimensions[d].implied}
    fields = set(table.template(name).fields)
    if fields != spoken:
        raise ValueError(
            f"{where}.path: it names {sorted(fields)}, the dimensions are {sorted(spoken)}"
        )
    if not entry.path.startswith(f"{name}/"):
        raise ValueError(f"{where}.path: {entry.path!r} must begin with the folder {name!r}")
    if entry.compression != "none" and entry.format != "exposure":
        raise ValueError(f"{where}.compression: only exposures are compressed")
    if entry.table_schema and entry.format != "table":
        raise ValueError(f"{where}.table_schema: the format is {entry.format}, not table")
    _known(f"{where}.holds", entry.holds, COMPONENTS)
    for group in ("links", "components"):
        sources: dict[str, str] = getattr(entry, group)
        _known(f"{where}.{group}", sources, COMPONENTS)
        for component, source in sources.items():
            _gives(table, f"{where}.{group}", component, source)


def _gives(table: DatasetTable, where: str, component: str, source: str) -> None:
    """Check that dataset type `source` can hold `component`."""
    _known(where, [source], table.datasets)
    entry = table.datasets[source]
    if entry.format == "table" and component not in (*entry.holds, *entry.components):
        raise ValueError(f"{where}: {source} does not hold {component}")
    if entry.format in {"json", "file"}:
        raise ValueError(f"{where}: {source} has the format {entry.format} and holds no component")


def _check_views(table: DatasetTable) -> None:
    for name, view in table.views.items():
        _known(f"views.{name}.base", [view.base], table.datasets)
        if table.datasets[view.base].format != "exposure":
            raise ValueError(f"views.{name}.base: {view.base} is no exposure")
        _known(f"views.{name}.replace", view.replace, REPLACEABLE)
        for component, source in view.replace.items():
            _known(f"views.{name}.replace", [source], table.datasets)
            if component == "mask":
                _gives_mask(table, f"views.{name}.replace", source)
            else:
                _gives(table, f"views.{name}.replace", component, source)


def _gives_mask(table: DatasetTable, where: str, source: str) -> None:
    if table.datasets[source].format not in {"mask", "exposure"}:
        raise ValueError(f"{where}: {source} holds no mask")


def _check_gathered(table: DatasetTable) -> None:
    for name, aggregate in table.aggregates.items():
        where = f"aggregates.{name}"
        _known(f"{where}.of", [aggregate.of], table.datasets)
        if table.datasets[aggregate.of].format not in {"table", "exposure"}:
            raise ValueError(f"{where}.of: only tables and exposures can be gathered")
        _known(f"{where}.over", aggregate.over, table.dimensions_of(aggregate.of))
    for name, join in table.joins.items():
        where = f"joins.{name}"
        _known(f"{where}.of", join.of, table.datasets)
        first = table.dimensions_of(join.of[0])
        for other in join.of:
            if table.datasets[other].format != "table":
                raise ValueError(f"{where}.of: {other} is no table")
            if table.dimensions_of(other) != first:
                raise ValueError(f"{where}.of: {other} and {join.of[0]} differ in dimensions")
