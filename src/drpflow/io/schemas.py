"""Column schemas of the Parquet tables, from ``src/drpflow/schemas/<name>.yaml``."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from drpflow.config.base import validate
from drpflow.data.table import TableSchema
from drpflow.errors import InputError, suggest
from drpflow.io.strict_yaml import strict_loader


def schema_names() -> list[str]:
    """Return the names of all schemas, sorted."""
    folder = files("drpflow.schemas")
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name[-5:] == ".yaml")


@cache
def load_schema(name: str) -> TableSchema:
    """Return a column schema by name.

    A file that ``extends`` another schema has the columns of that one before its own.

    Raises
    ------
    InputError
        If there is none, or its file does not hold together.
    """
    import yaml

    file = files("drpflow.schemas") / f"{name}.yaml"
    if not file.is_file():
        known = schema_names()
        raise InputError(
            name, f"no such column schema{suggest(name, known)}", f"Known: {', '.join(known)}"
        )
    source = f"schemas/{name}.yaml"
    values = yaml.load(file.read_text(), Loader=strict_loader())  # noqa: S506 - a safe loader
    inherited = values.pop("extends", None)
    schema = validate(TableSchema, values, source)
    if inherited is not None:
        first = load_schema(inherited).columns
        schema = schema.model_copy(update={"columns": (*first, *schema.columns)})
    names = [c.name for c in schema.columns]
    repeated = sorted({n for n in names if names.count(n) > 1})
    if schema.name != name or repeated:
        problem = f"column {repeated[0]!r} stands twice" if repeated else f"name is {schema.name!r}"
        raise InputError(source, problem, "Correct the file")
    return schema
