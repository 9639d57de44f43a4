"""A root of its own with a part of a run, such as the catalogues without the images."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from drpflow.errors import InputError, MissingDatasetError
from drpflow.io.atomic import atomic_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from drpflow.io.datasets import DataId
    from drpflow.io.reader import DatasetReader
    from drpflow.io.store import Store


def export(
    store: Store,
    reader: DatasetReader,
    destination: Path,
    types: list[str],
    constraints: Mapping[str, Any],
) -> list[Path]:
    """Copy dataset types and the components that their tables need; return the files.

    Raises
    ------
    InputError
        If a type is neither a table nor a component.
    """
    for name in types:
        if store.table.dataset(name).format not in {"table", "component", "json"}:
            raise InputError(
                name, "it has pixels or is for people", "Export tables and components only"
            )
    written: dict[Path, None] = {}
    for name in types:
        for data_id in store.query(name, **constraints):
            _copy(reader, destination, name, data_id, written)
            for component, source in store.table.dataset(name).components.items():
                _copy_component(reader, destination, source, component, data_id, written)
    return list(written)


def _copy(
    reader: DatasetReader,
    destination: Path,
    name: str,
    data_id: Mapping[str, Any],
    written: dict[Path, None],
) -> None:
    target = reader.table.path(destination, name, **data_id)
    if target in written:
        return
    with atomic_path(target) as temporary:
        shutil.copyfile(reader.require(name, data_id), temporary)
    written[target] = None


def _copy_component(
    reader: DatasetReader,
    destination: Path,
    source: str,
    component: str,
    data_id: DataId,
    written: dict[Path, None],
) -> None:
    """Copy what holds a component: a whole table or file, or the part of an exposure."""
    entry = reader.table.dataset(source)
    rest = reader.restrict(source, data_id)
    rest.pop(entry.row or "", None)
    if entry.format != "exposure":
        if reader.find(source, rest) is not None:
            _copy(reader, destination, source, rest, written)
        return
    from drpflow.io.exposure_fits import parts_folder
    from drpflow.io.exposure_write import write_part

    try:
        value = reader.component(source, component, rest)
    except MissingDatasetError:
        return  # it failed, or was never made: nothing to copy
    target = parts_folder(reader.table.path(destination, source, **rest)) / f"{component}.fits"
    write_part(target, component, value, base="")
    written[target] = None
