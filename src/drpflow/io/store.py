"""The Python face of a run: every dataset by its name and data ID.

>>> store = Store("results")                               # doctest: +SKIP
>>> store.get("initial_pvi", visit=12, detector=3)         # an exposure, lazy   # doctest: +SKIP
>>> store.get("initial_pvi.wcs", visit=12, detector=3)     # one component       # doctest: +SKIP
>>> store.get("recalibrated_pvi", visit=12, detector=3)    # a declared view     # doctest: +SKIP
>>> store.get("source", visit=12)                          # a table with units  # doctest: +SKIP
>>> store.query("pvi", band="r")                           # data IDs that exist # doctest: +SKIP
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from drpflow.data.exposure import PLANE_NAMES, Exposure
from drpflow.errors import InputError, MissingDatasetError
from drpflow.io.aggregate import ExposureGroup, gather_rows, join_columns
from drpflow.io.datasets import DataId, DatasetTable
from drpflow.io.query import query
from drpflow.io.reader import AnyBox, DatasetReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from drpflow.data.geometry import Box
    from drpflow.data.table import Table
    from drpflow.io.datasets import Located
    from drpflow.io.precursors import Precursor


class Store:
    """Datasets below the output root of a run, or below several roots.

    Parameters
    ----------
    roots
        Output root, or roots that are searched for each data ID in this order. Only the first
        is ever written to.
    table
        The dataset types, or the path of a file that declares them; drpflow's own by default.

    Notes
    -----
    A component is read once, however many datasets it is asked through: they all get the same
    object, which must not be changed. The cache belongs to the store and notices when a file
    is replaced.
    """

    def __init__(
        self,
        roots: str | Path | Sequence[str | Path],
        table: DatasetTable | str | Path | None = None,
    ) -> None:
        given = [roots] if isinstance(roots, (str, Path)) else list(roots)
        if not given:
            raise ValueError("a store has at least one root")
        self.roots = tuple(Path(root) for root in given)
        self.table = table if isinstance(table, DatasetTable) else DatasetTable.load(table)
        self._reader = DatasetReader(self.roots, self.table)

    def __repr__(self) -> str:
        return f"Store({', '.join(str(root) for root in self.roots)})"

    @staticmethod
    def locate(path: str | Path) -> Located:
        """Return root, dataset type and data ID of a product of drpflow's own table."""
        return DatasetTable.load().locate(path)

    def get(
        self,
        name: str,
        *,
        box: AnyBox | None = None,
        columns: list[str] | None = None,
        **data_id: Any,
    ) -> Any:
        """Return a dataset, a component of one, a view, an aggregate or a join.

        Parameters
        ----------
        name
            Name of any of them; ``"name.component"`` for a component (``"pvi.wcs"``) or a plane
            (``"pvi.mask"``).
        box
            Part of an exposure or plane, half-open ``(x0, x1, y0, y1)``.
        columns
            Columns of a table; all by default.
        **data_id
            Value of each dimension; for components in the rows of a table also that of the row.

        Returns
        -------
        Exposure, Table, Mask, component, dict or Path
            By the format of the dataset; for aggregates of exposures a mapping.

        Raises
        ------
        MissingDatasetError
            If there is no such dataset or component.
        InputError
            If the data ID does not fit, or the file cannot be read.
        """
        name, _, component = name.partition(".")
        self.table.dimensions_of(name)  # refuses a name that is unknown
        if columns is not None and (component or not self._is_table(name)):
            raise InputError(name, "only tables have columns", "Leave out the columns")
        if component:
            return self._component(name, component, data_id, box)
        if box is not None and self._is_table(name):
            raise InputError(name, "it is a table and has no pixels", "Leave out the box")
        if name in self.table.views:
            view = self._view(name, self.table.check_data_id(name, data_id))
            return view if box is None else view.cutout(box)
        if name in self.table.aggregates:
            return self._aggregate(name, self.table.check_data_id(name, data_id), columns)
        if name in self.table.joins:
            return self._join(name, self.table.check_data_id(name, data_id), columns)
        return self._reader.read(name, data_id, box=box, columns=columns)

    def _is_table(self, name: str) -> bool:
        if name in self.table.aggregates:
            name = self.table.aggregates[name].of
        entry = self.table.datasets.get(name)
        return name in self.table.joins or (entry is not None and entry.format == "table")

    def _component(
        self, name: str, component: str, data_id: Mapping[str, Any], box: AnyBox | None
    ) -> Any:
        if box is not None and component not in PLANE_NAMES:
            raise InputError(f"{name}.{component}", "it has no pixels", "Leave out the box")
        if name not in self.table.views:
            return self._reader.component(name, component, data_id, box)
        data_id = self.table.check_data_id(name, data_id)
        if component in PLANE_NAMES:
            view = self._view(name, data_id)
            return getattr(view if box is None else view.cutout(box), component)
        entry = self.table.views[name]
        source = entry.replace.get(component, entry.base)
        return self._reader.resolve_component(source, component, data_id)

    def _view(self, name: str, data_id: DataId) -> Exposure:
        from drpflow.io.views import ViewSource

        view, reader = self.table.views[name], self._reader
        for source in view.replace.values():
            rest = reader.restrict(source, data_id)
            rest.pop(self.table.dataset(source).row or "", None)
            reader.require(source, rest)
        base = reader.exposure(view.base, reader.restrict(view.base, data_id))

        def mask(box: Box) -> Any:
            """Return the replaced mask of a box, in detector pixels."""
            source = view.replace["mask"]
            x0, y0 = base.box.xy0
            inner = box.shifted(-x0, -y0) if self._is_mask(source) else box
            rest = reader.restrict(source, data_id)
            whole = reader.read(source, rest, box=inner)
            return whole if self._is_mask(source) else whole.mask

        return Exposure.from_source(
            ViewSource(
                name,
                base,
                view.replace,
                fetch=lambda c: reader.resolve_component(view.replace[c], c, data_id),
                reason=lambda c: reader.reason(view.replace[c], c, data_id),
                mask=mask if "mask" in view.replace else None,
            )
        )

    def _is_mask(self, name: str) -> bool:
        return self.table.dataset(name).format == "mask"

    def _aggregate(self, name: str, data_id: DataId, columns: list[str] | None) -> Any:
        entry = self.table.aggregates[name]
        members = self.query(entry.of, **data_id)
        if not members:
            raise MissingDatasetError(
                f"there is no {entry.of} for {data_id or 'the run'} to gather"
            )
        if self.table.dataset(entry.of).format == "exposure":
            return self._group(entry.of, entry.over, data_id, members)
        tables = [(f"{entry.of} of {m}", self.get(entry.of, columns=columns, **m)) for m in members]
        gathered = gather_rows(tables, name)
        gathered.meta["data_id"] = dict(data_id)
        return gathered.with_components(
            lambda component, row: self._component(entry.of, component, {**data_id, **row}, None)
        )

    def _group(
        self, of: str, over: tuple[str, ...], data_id: DataId, members: list[DataId]
    ) -> ExposureGroup:
        def key(member: DataId) -> Any:
            values = tuple(member[dimension] for dimension in over)
            return values[0] if len(values) == 1 else values

        return ExposureGroup({key(m): self.get(of, **m) for m in members}, data_id)

    def _join(self, name: str, data_id: DataId, columns: list[str] | None) -> Table:
        entry = self.table.joins[name]
        tables = [(f"{of} of {data_id}", self.get(of, **data_id)) for of in entry.of]
        joined = join_columns(tables, entry.by, name, entry.spread)
        return joined if columns is None else joined.only(columns)

    def put(self, value: Any, name: str, **data_id: Any) -> Path:
        """Store a dataset, or one component of an exposure that exists, atomically.

        A component stands in a file of its own beside the exposure, whose other parts are not
        touched; storing the whole exposure again removes it. A background, or the calibration of
        pixels in nJy, cannot be stored like that: the pixels have the old one applied.

        Parameters
        ----------
        value
            Exposure, component, table, ComponentTable or mask, as the dataset type wants.
        name
            Dataset type, or ``"type.component"``.
        **data_id
            Value of each dimension.

        Returns
        -------
        Path
            The file, below the first root.

        Raises
        ------
        InputError
            If value, data ID and dataset type do not fit together.
        MissingDatasetError
            If the exposure that a component belongs to does not exist.
        """
        from drpflow.io.store_write import put, put_part

        name, _, component = name.partition(".")
        if component:
            return put_part(
                self.table, self.roots[0], value, name, component, data_id, self._reader
            )
        return put(self.table, self.roots[0], value, name, data_id, self._reader)

    def path(self, name: str, **data_id: Any) -> Path:
        """Return where a dataset lies, or where :meth:`put` would write it."""
        found = self._reader.find(name, data_id)
        return found or self.table.path(self.roots[0], name, **data_id)

    def exists(self, name: str, **data_id: Any) -> bool:
        """Return whether a dataset or component exists; for a view, all that it is made of."""
        name, _, component = name.partition(".")
        if component:
            return self._component_exists(name, component, data_id)
        if name in self.table.views:
            return bool(self.query(name, **data_id))
        if name in self.table.aggregates:
            return bool(self.query(self.table.aggregates[name].of, **data_id))
        if name in self.table.joins:
            return all(self.exists(of, **data_id) for of in self.table.joins[name].of)
        return self._reader.find(name, data_id) is not None

    def _component_exists(self, name: str, component: str, data_id: Mapping[str, Any]) -> bool:
        try:
            self._component(name, component, data_id, None)
        except MissingDatasetError:
            return False
        return True

    def query(self, name: str, **constraints: Any) -> list[DataId]:
        """Return the data IDs that exist, sorted.

        Parameters
        ----------
        name
            Dataset type, view, aggregate or join.
        **constraints
            Values of dimensions. ``band`` and ``physical_filter`` also select visits, through
            their metadata (dataset type ``visit_info``). A list or set of values selects any
            of them.

        Raises
        ------
        MissingDatasetError
            If the name is unknown.
        InputError
            If a constraint is neither a dimension nor a property of visits.
        """
        return query(self._reader, name, constraints)

    def precursors(self, name: str, **data_id: Any) -> list[Precursor]:
        """Return the datasets that an exposure was made of, as its component says.

        Each has ``ref`` (dataset type and data ID), ``weight``, and ``get("wcs")``, which
        fetches a component of it.

        Raises
        ------
        MissingDatasetError
            If the exposure has no component ``coadd_inputs``.
        """
        from drpflow.io.precursors import precursors

        return precursors(self, self.get(f"{name}.coadd_inputs", **data_id))

    def export(
        self, destination: str | Path, types: Iterable[str], **constraints: Any
    ) -> list[Path]:
        """Copy some dataset types, with the components that their tables need, to a new root.

        Components that tables have from exposures are copied without the pixels; afterwards
        ``Store(destination).get("initial_pvi.wcs", …)`` works there as it does here.

        Parameters
        ----------
        destination
            Folder; made if need be. Files that are there already are written again.
        types
            Dataset types, tables or components.
        **constraints
            Selection of data IDs as in :meth:`query`.

        Returns
        -------
        list of Path
            The files that were written.

        Raises
        ------
        InputError
            If `destination` is one of the roots, or a type is neither a table nor a component.
        """
        from drpflow.io.export import export

        destination = Path(destination)
        if destination.resolve() in {root.resolve() for root in self.roots}:
            raise InputError(destination, "it is a root of this store", "Give another folder")
        return export(self, self._reader, destination, list(types), constraints)
