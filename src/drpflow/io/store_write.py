"""Storing datasets, and parts of them, where the table says that they belong."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.data.component_names import CLASSES, is_component_class
from drpflow.data.component_table import ComponentTable
from drpflow.data.dataset_ref import DatasetRef
from drpflow.data.exposure import PLANE_NAMES, Exposure, check_component_names
from drpflow.data.mask import Mask
from drpflow.data.record import Component
from drpflow.data.table import Table
from drpflow.errors import InputError, MissingDatasetError
from drpflow.io.atomic import write_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from drpflow.io.datasets import DataId, DatasetTable, DatasetType
    from drpflow.io.reader import DatasetReader


def put(
    table: DatasetTable,
    root: Path,
    value: Any,
    name: str,
    data_id: Mapping[str, Any],
    reader: DatasetReader,
) -> Path:
    """Write a dataset in the form of its format; return the file.

    Raises
    ------
    InputError
        If the value is not what the dataset type holds, or the data ID does not fit.
    """
    path = table.path(root, name, **data_id)
    checked = table.check_data_id(name, data_id)
    entry = table.dataset(name)
    if entry.format == "exposure":
        _expect(name, value, Exposure, "an exposure")
        for component, item in value.components.items():
            _check_class(f"{name}.{component}", component, item)
        _put_exposure(table, path, value, name, checked, reader)
    elif entry.format == "table":
        _put_table(path, value, name, checked, entry)
    elif entry.format == "json":
        write_json(path, value)
    elif entry.format == "file":
        raise InputError(name, "it is a file for people, not for put", f"Write {path} yourself")
    else:
        _put_single(table, path, value, name)
    return path


def _expect(name: str, value: Any, kind: type, what: str) -> None:
    if not isinstance(value, kind):
        raise InputError(name, f"it holds {what}, not a {type(value).__name__}", f"Give {what}")


def _put_single(table: DatasetTable, path: Path, value: Any, name: str) -> None:
    form = table.dataset(name).format
    if form == "mask":
        _expect(name, value, Mask, "a mask")
    else:
        _expect(name, value, Component, "a component")
        for component in _taken_as(table, name):
            _check_class(name, component, value)
    if path.suffix == ".json":
        from drpflow.io.records import write_component_json

        write_component_json(path, value)
        return
    from drpflow.io.exposure_write import write_part

    write_part(path, "mask" if form == "mask" else value.KIND, value, base="")


def _taken_as(table: DatasetTable, name: str) -> set[str]:
    """Return the components as which other datasets and views take this one."""
    entries = table.datasets.values()
    users = [
        *(entry.links for entry in entries),
        *(entry.components for entry in entries),
        *(view.replace for view in table.views.values()),
    ]
    return {component for user in users for component, source in user.items() if source == name}


def _put_table(path: Path, value: Any, name: str, data_id: DataId, entry: DatasetType) -> None:
    from drpflow.io.component_tables import write_component_table
    from drpflow.io.schemas import load_schema
    from drpflow.io.tables import write_table

    schema = load_schema(entry.table_schema) if entry.table_schema else None
    if entry.holds:
        _expect(name, value, ComponentTable, "a ComponentTable")
        for key, row in value.rows.items():
            for component, item in row.components.items():
                if item is not None:
                    _check_class(f"{name}.{component} of {entry.row}={key}", component, item)
        assert entry.row is not None
        write_component_table(
            path, value, entry.holds, entry.row, schema, dataset=name, data_id=data_id
        )
    else:
        try:
            write_table(path, value, schema, dataset=name, data_id=data_id)
        except TypeError:
            _expect(name, value, Table, "a table")
            raise


def _put_exposure(
    table: DatasetTable,
    path: Path,
    exposure: Exposure,
    name: str,
    data_id: DataId,
    reader: DatasetReader,
) -> None:
    from drpflow.io.exposure_fits import parts_folder
    from drpflow.io.exposure_write import write_exposure

    links = {}
    for component, ref in exposure_links(table, name, data_id).items():
        if component in exposure.components:
            _store_linked(table, reader, ref, exposure.components[component])
            links[component] = ref
    write_exposure(
        path,
        exposure,
        dataset=name,
        data_id=data_id,
        links=links,
        compression=table.dataset(name).compression,
    )
    # Parts of what was here before; killed before this line, they do not count any more, since
    # they name the contents that they belong to.
    folder = parts_folder(path)
    if folder.is_dir():
        shutil.rmtree(folder)


def exposure_links(
    table: DatasetTable, name: str, data_id: Mapping[str, Any]
) -> dict[str, DatasetRef]:
    """Return the datasets in which components of this type of exposure stand once."""
    return {
        component: DatasetRef(other, {d: data_id[d] for d in table.dimensions_of(other)})
        for component, other in table.dataset(name).links.items()
    }


def _store_linked(
    table: DatasetTable, reader: DatasetReader, ref: DatasetRef, component: Component
) -> None:
    """Make sure that the dataset to which an exposure links says the same; write it if absent."""
    try:
        stored = reader.resolve(ref)
    except MissingDatasetError:
        put(table, reader.roots[0], component, ref.name, ref.data_id, reader)
        return
    if stored.to_record() != component.to_record():
        raise InputError(
            str(ref),
            "it differs from the component of the exposure that would link to it",
            "Correct one of them; what exposures share is stored once",
        )


def _check_plane(what: str, value: Any, part: str, shape: tuple[int, int]) -> None:
    _expect(what, value, Mask if part == "mask" else np.ndarray, f"its {part}")
    if value.shape != shape:
        raise InputError(
            what,
            f"its shape is {value.shape}, that of the exposure {shape}",
            "Give one of the same shape",
        )
    if part != "mask" and value.dtype != np.float32:
        raise InputError(what, f"it is float32, not {value.dtype}", "Convert it")


def _check_part(name: str, value: Any, part: str, unit: str) -> None:
    """Check that a component can stand for that of an exposure whose pixels stay as they are."""
    try:
        check_component_names([part])
    except KeyError as error:
        raise InputError(name, str(error.args[0]), "Give one of them") from None
    _expect(f"{name}.{part}", value, Component, "a component")
    _check_class(f"{name}.{part}", part, value)
    if part == "background" or (part == "photo_calib" and unit == "nJy"):
        raise InputError(
            f"{name}.{part}",
            "it tells what the pixels have applied, and they would not be changed",
            "Put the whole exposure, or declare a view that replaces it",
        )


def _check_class(what: str, component: str, value: Any) -> None:
    if not is_component_class(component, value):
        wanted = CLASSES[component]
        raise InputError(what, f"it holds a {wanted}, not a {type(value).__name__}", "Give that")


def put_part(
    table: DatasetTable,
    root: Path,
    value: Any,
    name: str,
    part: str,
    data_id: Mapping[str, Any],
    reader: DatasetReader,
) -> Path:
    """Write one component or plane beside an exposure that exists; return the file.

    Raises
    ------
    InputError
        If the dataset type is no exposure, or the value does not fit it.
    MissingDatasetError
        If there is no such exposure.
    """
    from drpflow.io.exposure_fits import parts_folder, stored_box, write_part
    from drpflow.io.fits_index import FitsIndex

    if table.dataset(name).format != "exposure":
        raise InputError(
            name, "only components of exposures are stored one by one", f"Put the whole {name}"
        )
    path = table.path(root, name, **data_id)
    index = FitsIndex(path)
    image = index.entry("IMAGE")
    if part in PLANE_NAMES:
        _check_plane(f"{name}.{part}", value, part, stored_box(image).shape)
    else:
        _check_part(name, value, part, str(image.header.get("BUNIT")))
    target = parts_folder(path) / f"{part}.fits"
    exposure = Exposure.from_source(reader.exposure(name, data_id))
    write_part(target, part, value, index.primary.header["CONTENT"], exposure)
    return target
