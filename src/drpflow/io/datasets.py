"""The table of dataset types, ``config/datasets.yaml``: what there is and where it lies.

Nothing else in drpflow builds a path of a product. Rules take patterns from
:meth:`DatasetTable.path_template`, scripts and readers take paths from
:meth:`DatasetTable.path`, and :meth:`DatasetTable.locate` turns a path back into a data ID.
"""

from __future__ import annotations

from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field, model_validator

from drpflow.config.base import StrictModel, param, validate
from drpflow.errors import InputError, MissingDatasetError, suggest
from drpflow.io.strict_yaml import read_yaml
from drpflow.io.templates import PATTERNS, Key, PathTemplate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Format = Literal["exposure", "mask", "component", "table", "json", "file"]
Keep = Literal["temporary", "run", "kept"]
Compression = Literal["none", "lossless", "lossy"]


class Dimension(StrictModel):
    """One key of a data ID."""

    type: Literal["int", "str"] = param(..., "type of its values")
    doc: str = param(..., "what it counts")
    implied: bool = param(False, "said by the run folder, never by a data ID")


class Input(StrictModel):
    """A dataset that comes from outside and has no place below the output root."""

    dimensions: tuple[str, ...] = param(..., "what tells one from another")
    where: str = param(..., "the file that says where it lies")
    doc: str = param(..., "what it is")


class TaskEntry(StrictModel):
    """A task, so far as paths need to know it."""

    dimensions: tuple[str, ...] = param(..., "one job for each combination")
    doc: str = param(..., "what it does")
    on_demand: bool = param(False, "no run does it unless it is asked for by name")


class Status(StrictModel):
    """Where the outcome of a job is written."""

    path: str = param(..., "path with {task} and {data_id}")
    doc: str = param(..., "what it is")


class DatasetType(StrictModel):
    """One row of the table. The fields are explained at the top of the file."""

    dimensions: tuple[str, ...] = param(..., "what a data ID must say")
    format: Format = param(..., "how it is stored")
    path: str = param(..., "path below the output root")
    task: str = param(..., "the task that writes it")
    keep: Keep = param(..., "how long it lives")
    compression: Compression = param("none", "of the pixels of an exposure")
    table_schema: str | None = param(None, "name of the column schema of a table")
    holds: tuple[str, ...] = param((), "components that a table stores")
    row: str | None = param(None, "column that names the row of a table with components")
    links: dict[str, str] = Field(
        default_factory=dict, description="components that stand in another dataset"
    )
    components: dict[str, str] = Field(
        default_factory=dict, description="datasets that hold the components of a table"
    )
    skypix_level: Literal["association", "astrometry"] | None = param(
        None, "which HEALPix order `skypix` means"
    )
    rubin_name: str | None = param(None, "name in the LSST Science Pipelines")
    doc: str = param(..., "what it is")

    @model_validator(mode="after")
    def _consistent(self) -> DatasetType:
        if bool(self.holds) != (self.row is not None):
            raise ValueError("`holds` and `row` go together")
        if ("skypix" in self.dimensions) != (self.skypix_level is not None):
            raise ValueError("`skypix_level` is given where, and only where, skypix is a dimension")
        return self


class View(StrictModel):
    """An exposure whose components are replaced from other datasets when it is read."""

    base: str = param(..., "exposure that gives the pixels and all that is not replaced")
    replace: dict[str, str] = Field(
        ..., description="dataset that each component, or the mask, is taken from"
    )
    doc: str = param(..., "what it is")


class Aggregate(StrictModel):
    """Datasets of one type read as one over some of their dimensions."""

    of: str = param(..., "dataset type that is gathered")
    over: tuple[str, ...] = param(..., "dimensions that disappear from the data ID")
    doc: str = param(..., "what it is")


class Spread(StrictModel):
    """How a table with several rows for each identifier becomes one with a row for each."""

    along: str = param(..., "column that tells the rows of an identifier apart, such as band")
    columns: tuple[str, ...] = param(
        ..., "columns that become one for each value of `along`, named <column>_<value>"
    )


class Join(StrictModel):
    """Tables that split one set of rows by columns, read as one."""

    of: tuple[str, ...] = param(..., "tables, whose rows are aligned")
    by: str = param(..., "column of row identifiers that all of them have")
    spread: Spread | None = param(
        None, "how those are joined that have a row for each identifier and value of a column"
    )
    doc: str = param(..., "what it is")


class DataId(dict[str, Any]):
    """A data ID: the value of each dimension, in the order of the dataset type."""

    def __str__(self) -> str:
        return ", ".join(f"{key}={value}" for key, value in self.items())


class Located(NamedTuple):
    """What a path of a product says."""

    root: Path
    name: str
    data_id: DataId


class DatasetTable(StrictModel):
    """All dataset types, validated. Made by :meth:`load`."""

    dimensions: dict[str, Dimension]
    inputs: dict[str, Input]
    tasks: dict[str, TaskEntry]
    status: Status
    datasets: dict[str, DatasetType]
    views: dict[str, View] = Field(default_factory=dict)
    aggregates: dict[str, Aggregate] = Field(default_factory=dict)
    joins: dict[str, Join] = Field(default_factory=dict)

    @classmethod
    def load(cls, path: str | Path | None = None) -> DatasetTable:
        """Return the table of a file, by default of drpflow's own ``config/datasets.yaml``.

        Raises
        ------
        InputError
            If the file is missing or its contents do not hold together.
        """
        return _load(Path(path) if path is not None else _default_path())

    @model_validator(mode="after")
    def _consistent(self) -> DatasetTable:
        from drpflow.io.dataset_checks import check_table

        check_table(self)
        return self

    def task_place(self, task: str) -> int:
        """Return the place of a task in the order of the flow; unknown ones come last."""
        return self._task_places.get(task, len(self.tasks))

    @cached_property
    def _task_places(self) -> dict[str, int]:
        return {task: place for place, task in enumerate(self.tasks)}

    def dataset(self, name: str) -> DatasetType:
        """Return the row of a dataset type.

        Raises
        ------
        MissingDatasetError
            If there is none of that name, with the nearest one.
        InputError
            If the name is that of a view, aggregate, join or input.
        """
        if name not in self.datasets:
            self._check_stored(name)
            raise MissingDatasetError(f"no dataset type {name!r}{suggest(name, self.names)}")
        return self.datasets[name]

    @property
    def names(self) -> list[str]:
        """Everything that can be asked for: dataset types, views, aggregates and joins."""
        return [*self.datasets, *self.views, *self.aggregates, *self.joins]

    def dimensions_of(self, name: str) -> tuple[str, ...]:
        """Return what a data ID of a dataset type, view, aggregate or join must say.

        The instrument is left out, since a run folder implies it.
        """
        if name in self.views:
            base = self.dimensions_of(self.views[name].base)
            added = (d for other in self.views[name].replace.values() for d in self._extra(other))
            return tuple(dict.fromkeys([*base, *added]))
        if name in self.aggregates:
            entry = self.aggregates[name]
            return tuple(d for d in self.dimensions_of(entry.of) if d not in entry.over)
        if name in self.joins:
            return self.dimensions_of(self.joins[name].of[0])
        return self._spoken(self.dataset(name).dimensions)

    def _extra(self, name: str) -> tuple[str, ...]:
        """Dimensions that a replacement brings in; a row of a table is not one of its own."""
        row = self.datasets[name].row
        return tuple(d for d in self.dimensions_of(name) if d != row)

    def _spoken(self, dimensions: Iterable[str]) -> tuple[str, ...]:
        return tuple(d for d in dimensions if not self.dimensions[d].implied)

    def check_data_id(self, name: str, data_id: Mapping[str, Any]) -> DataId:
        """Return a data ID in the order of the dataset type, with plain values.

        Raises
        ------
        MissingDatasetError
            If the name is unknown.
        InputError
            If a dimension is missing, is not one of this dataset type, or has a value of the
            wrong type.
        """
        wanted = self.dimensions_of(name)
        for key in data_id:
            if key not in wanted:
                hint = suggest(key, wanted) or f"; {self._needs(name, wanted)}"
                raise InputError(name, f"it has no dimension {key!r}{hint}", f"Leave out {key!r}")
        missing = [key for key in wanted if key not in data_id]
        if missing:
            given = ", ".join(f"{k}={v}" for k, v in data_id.items()) or "nothing"
            raise InputError(
                name,
                f"{self._needs(name, wanted)}, and {given} was given",
                f"Add {' and '.join(missing)}",
            )
        return DataId({key: self.check_value(name, key, data_id[key]) for key in wanted})

    @staticmethod
    def _needs(name: str, wanted: tuple[str, ...]) -> str:
        return f"{name} is told apart by {', '.join(wanted) or 'nothing'}"

    def check_value(self, name: str, key: str, value: Any) -> Key:
        """Return the value of one dimension as a plain number or text.

        Raises
        ------
        InputError
            If it is not of the type of the dimension; `name` is what it was asked of.
        """
        kind = self.dimensions[key].type
        try:
            converted = int(value) if kind == "int" else str(value)
            good = converted == value and (kind == "str" or not isinstance(value, bool))
        except (TypeError, ValueError):
            good = False
        if not good:
            raise InputError(
                name,
                f"{key} = {value!r} is not of type {kind}",
                f"Give {'a whole number' if kind == 'int' else 'a text'} for {key}",
            )
        return converted

    def template(self, name: str) -> PathTemplate:
        """Return the path template of a dataset type."""
        self.dataset(name)
        return self._templates[name]

    def _check_stored(self, name: str) -> None:
        """Check that `name` is nothing else than a dataset type."""
        for kind, entries in (
            ("view", self.views),
            ("aggregate", self.aggregates),
            ("join", self.joins),
        ):
            if name in entries:
                raise InputError(
                    name,
                    f"it is a declared {kind} and has no file of its own",
                    "Read it with Store.get, or name the datasets that it is made of",
                )
        if name in self.inputs:
            raise InputError(
                name,
                "it is an input and has no place below the output root",
                f"Take its path from {self.inputs[name].where}",
            )

    @cached_property
    def _templates(self) -> dict[str, PathTemplate]:
        types = {name: dimension.type for name, dimension in self.dimensions.items()}
        return {name: PathTemplate(entry.path, types) for name, entry in self.datasets.items()}

    def path_template(self, name: str) -> str:
        """Return the path below the output root, with Snakemake-style wildcards."""
        return self.template(name).template

    def path(self, root: str | Path, name: str, /, **data_id: Any) -> Path:
        """Return where a dataset lies.

        Parameters
        ----------
        root
            The output root of a run.
        name
            Dataset type.
        **data_id
            Value of each of its dimensions.

        Raises
        ------
        MissingDatasetError
            If there is no such dataset type.
        InputError
            If the data ID does not fit, or the name is that of a view, aggregate, join or input.
        """
        template = self.template(name)
        checked = self.check_data_id(name, data_id)
        try:
            return Path(root) / template.fill(checked)
        except ValueError as error:
            raise InputError(name, str(error), "Use letters, digits and _ . + -") from None

    def locate(self, path: str | Path) -> Located:
        """Return the root, dataset type and data ID that a path says.

        Raises
        ------
        InputError
            If the path is not that of any dataset type.
        """
        path = Path(path)
        for name in reversed(path.parts[:-1]):
            if name not in self.datasets:
                continue
            depth = self.path_template(name).count("/") + 1
            data_id = self.template(name).parse("/".join(path.parts[-depth:]))
            if data_id is not None:
                return Located(Path(*path.parts[:-depth]), name, self.check_data_id(name, data_id))
        raise InputError(
            path, "it is not the path of a dataset", "`drpflow datasets` lists where each one lies"
        )

    def is_temporary(self, name: str) -> bool:
        """Return whether a dataset is deleted once it has been used."""
        return self.dataset(name).keep == "temporary"

    def status_template(self, task: str) -> str:
        """Return the path of a task's status files below the root, with wildcards."""
        if task not in self.tasks:
            raise MissingDatasetError(f"no task {task!r}{suggest(task, self.tasks)}")
        spoken = self._spoken(self.tasks[task].dimensions)
        data_id = "/".join(f"{d}={{{d}}}" for d in spoken) or "run"
        return self.status.path.replace("{task}", task).replace("{data_id}", data_id)

    def status_path(self, root: str | Path, task: str, /, **data_id: Any) -> Path:
        """Return the path of the status file of one job."""
        return Path(root) / self.status_template(task).format_map(data_id)

    def wildcard_constraints(self) -> dict[str, str]:
        """Return a regular expression for the values of each dimension, for Snakemake."""
        return {name: PATTERNS[d.type] for name, d in self.dimensions.items() if not d.implied}


def _default_path() -> Path:
    from drpflow.paths import share_root

    return share_root() / "config" / "datasets.yaml"


@cache
def _load(path: Path) -> DatasetTable:
    return validate(DatasetTable, read_yaml(path), path)
