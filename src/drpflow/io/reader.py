"""Finding and reading datasets below one or several roots."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from drpflow.data.exposure import PLANE_NAMES, Exposure
from drpflow.data.geometry import Box
from drpflow.data.table import Table
from drpflow.errors import InputError, MissingDatasetError, suggest
from drpflow.io.cache import ComponentCache, Signature
from drpflow.io.component_tables import ComponentRows, plain_columns
from drpflow.io.records import read_component_json
from drpflow.io.schemas import load_schema
from drpflow.io.tables import read_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from drpflow.data.dataset_ref import DatasetRef
    from drpflow.io.datasets import DataId, DatasetTable
    from drpflow.io.exposure_fits import FitsExposure

AnyBox = Box | tuple[int, int, int, int]


class DatasetReader:
    """Reads stored datasets and their components; knows nothing of views and aggregates.

    Parameters
    ----------
    roots
        Folders that are searched in this order.
    table
        The dataset types.
    """

    def __init__(self, roots: tuple[Path, ...], table: DatasetTable) -> None:
        self.roots = roots
        self.table = table
        self.cache = ComponentCache()

    def find(self, name: str, data_id: Mapping[str, Any]) -> Path | None:
        """Return the file of a dataset in the first root that has it."""
        for root in self.roots:
            path = self.table.path(root, name, **data_id)
            if path.exists():
                return path
        return None

    def require(self, name: str, data_id: Mapping[str, Any]) -> Path:
        """Return the file of a dataset.

        Raises
        ------
        MissingDatasetError
            If no root has it, naming the task that makes it.
        """
        path = self.find(name, data_id)
        if path is None:
            checked = self.table.check_data_id(name, data_id)
            roots = " or ".join(str(root) for root in self.roots)
            raise MissingDatasetError(
                f"there is no {name} for {checked or 'the run'} below {roots}; "
                f"the task {self.table.dataset(name).task} makes it"
            )
        return path

    def read(
        self,
        name: str,
        data_id: Mapping[str, Any],
        *,
        box: AnyBox | None = None,
        columns: list[str] | None = None,
    ) -> Any:
        """Return a stored dataset in the form of its format."""
        entry = self.table.dataset(name)
        if entry.format == "exposure":
            whole = Exposure.from_source(self.exposure(name, data_id))
            return whole if box is None else whole.cutout(box)
        if entry.format == "table":
            return self._table(name, self.table.check_data_id(name, data_id), columns)
        path = self.require(name, data_id)
        if entry.format == "mask":
            from drpflow.io.exposure_fits import read_mask

            return read_mask(path, box)
        if entry.format == "component":
            return self._single(path)
        if entry.format == "json":
            return json.loads(path.read_text())
        return path

    def exposure(self, name: str, data_id: Mapping[str, Any]) -> FitsExposure:
        """Return the source of an exposure; it is shared between reads of one file."""
        from drpflow.io.exposure_fits import FitsExposure, parts_folder

        path = self.require(name, data_id)
        folder = parts_folder(path)
        changed = folder.stat().st_mtime_ns if folder.is_dir() else None
        key = (Signature.of(path), changed)
        source = self.cache.get(key, lambda: FitsExposure(path, self.resolve, self.cache))
        return cast("FitsExposure", source)

    def resolve(self, ref: DatasetRef) -> Any:
        """Return what a reference names."""
        name, _, component = ref.name.partition(".")
        if component:
            return self.component(name, component, ref.data_id)
        return self.read(name, ref.data_id)

    def component(
        self, name: str, component: str, data_id: Mapping[str, Any], box: AnyBox | None = None
    ) -> Any:
        """Return one component, or one plane, of a dataset, reading nothing else.

        Raises
        ------
        MissingDatasetError
            If the dataset or the component does not exist, with the reason if it is known.
        InputError
            If the data ID does not fit, or the component cannot be read.
        """
        entry = self.table.dataset(name)
        if entry.format == "exposure":
            return self._of_exposure(name, component, data_id, box)
        if component in entry.holds:
            rows, key = self._rows(name, data_id)
            return rows.component(component, key)
        if component in entry.components:
            self._check_known(name, data_id)
            return self.resolve_component(entry.components[component], component, data_id)
        known = [*entry.holds, *entry.components]
        hint = suggest(component, known)
        raise MissingDatasetError(f"{name} has no component {component!r}{hint}")

    def _check_known(self, name: str, data_id: Mapping[str, Any]) -> None:
        for key in data_id:
            if key not in self.table.dimensions:
                hint = suggest(key, self.table.dimensions)
                raise InputError(name, f"there is no dimension {key!r}{hint}", "Leave it out")

    def resolve_component(self, source: str, component: str, data_id: Mapping[str, Any]) -> Any:
        """Return a component from the dataset type that is declared to have it.

        Of the data ID, what the source needs is used.
        """
        entry = self.table.dataset(source)
        if entry.format == "component":
            return self.read(source, self.restrict(source, data_id))
        return self.component(source, component, self.restrict(source, data_id))

    def reason(self, source: str, component: str, data_id: Mapping[str, Any]) -> str | None:
        """Return why `source` is missing a component that it should have; None if it has it.

        Raises
        ------
        MissingDatasetError
            If the dataset itself, or the row, does not exist.
        """
        entry = self.table.dataset(source)
        data_id = self.restrict(source, data_id)
        if component in entry.holds:
            rows, key = self._rows(source, data_id)
            return rows.missing(component, key)
        if entry.format == "exposure":
            exposure = self.exposure(source, data_id)
            if component in exposure.components:
                return None
            return exposure.missing.get(component, f"{source} has none")
        self.require(source, data_id)
        return None

    def restrict(self, name: str, data_id: Mapping[str, Any]) -> dict[str, Any]:
        """Return that part of a data ID which tells datasets, or rows, of this type apart."""
        row = self.table.dataset(name).row
        wanted = {*self.table.dimensions_of(name), *([row] if row else [])}
        return {key: value for key, value in data_id.items() if key in wanted}

    def _of_exposure(
        self, name: str, component: str, data_id: Mapping[str, Any], box: AnyBox | None
    ) -> Any:
        if component not in PLANE_NAMES and self.find(name, data_id) is None:
            exported = self._exported_part(name, component, data_id)
            if exported is not None:
                return exported
        source = self.exposure(name, data_id)
        if component not in PLANE_NAMES:
            return source.component(component)
        whole = Exposure.from_source(source)
        part = whole if box is None else whole.cutout(box)
        return getattr(part, component)

    def _exported_part(self, name: str, component: str, data_id: Mapping[str, Any]) -> Any:
        """Return a component of an exposure that no root has, None if it is not there either."""
        from drpflow.io.exposure_fits import parts_folder, read_component
        from drpflow.io.fits_index import FitsIndex

        for root in self.roots:
            part = parts_folder(self.table.path(root, name, **data_id)) / f"{component}.fits"
            if part.exists():
                return read_component(FitsIndex(part), component, self.cache)
        return None

    def _rows(self, name: str, data_id: Mapping[str, Any]) -> tuple[ComponentRows, int]:
        row = self.table.dataset(name).row
        assert row is not None
        if row not in data_id:
            raise InputError(
                name, f"its components are told apart by {row}, which was not given", f"Add {row}"
            )
        key = self.table.check_value(name, row, data_id[row])
        path = self.require(name, {k: v for k, v in data_id.items() if k != row})
        return ComponentRows(path, row, self.cache), cast("int", key)

    def _table(self, name: str, data_id: DataId, columns: list[str] | None) -> Table:
        entry = self.table.dataset(name)
        path = self.require(name, data_id)
        schema = load_schema(entry.table_schema) if entry.table_schema else None
        if columns is None and entry.holds:
            columns = [*data_id, *plain_columns(path)]
        table = read_table(path, columns, data_id=data_id, schema=schema)
        return Table(
            table.arrow,
            meta=table.meta,
            components=lambda component, row: self.component(name, component, {**data_id, **row}),
        )

    def _single(self, path: Path) -> Any:
        """Return the component that is a file of its own."""
        if path.suffix == ".json":
            signature = Signature.of(path)
            return self.cache.get((signature, ""), lambda: read_component_json(path))
        from drpflow.io.exposure_fits import read_component
        from drpflow.io.fits_index import FitsIndex

        index = FitsIndex(path)
        (name,) = index.entries
        return read_component(index, name.lower(), self.cache)
