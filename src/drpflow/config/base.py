"""The base of every configuration model, and how its faults are told to the user.

A model forbids unknown keys. Each parameter is declared with :func:`param`, which makes its
documentation and its unit part of the declaration; ``docs/configuration.md`` and the JSON
schemas are generated from them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from drpflow.errors import InputError, suggest

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound="StrictModel")


class StrictModel(BaseModel):
    """A frozen pydantic model without unknown keys.

    Its validator is built on first use, so that a model within another costs each job one, not
    two: a fifth of the time that the import of a task's config takes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


def param(default: Any, doc: str, *, unit: str = "", **constraints: Any) -> Any:
    """Declare a parameter with its default, one line of documentation and its unit.

    Parameters
    ----------
    default
        The default; ``...`` makes the parameter mandatory.
    doc
        What the parameter does, in a line.
    unit
        FITS-style unit (``"pix"``, ``"electron"``, ``"arcsec"``), empty for none.
    **constraints
        Passed to :func:`pydantic.Field` (``gt``, ``ge``, ``le``, ``pattern`` …).
    """
    return Field(default, description=doc, json_schema_extra={"unit": unit}, **constraints)


def validate(model: type[Model], values: Any, source: str | Path) -> Model:
    """Build `model` from plain values.

    Parameters
    ----------
    model
        The model class.
    values
        What YAML gave: a mapping.
    source
        The file that `values` came from, for the error message.

    Raises
    ------
    InputError
        Naming the file, the key, the value and the nearest valid key or the allowed range.
    """
    if values is None:
        values = {}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        problem, remedy = _explain(model, first)
        more = error.error_count() - 1
        if more:
            remedy += f" ({more} more faults in this file)"
        raise InputError(source, problem, remedy) from None


def _explain(model: type[BaseModel], fault: ErrorDetails) -> tuple[str, str]:
    """Turn one pydantic fault into a problem and a remedy."""
    location = fault["loc"]
    key = ".".join(str(part) for part in location) or "the file"
    if fault["type"] == "extra_forbidden":
        known = _keys_at(model, location[:-1])
        hint = suggest(str(location[-1]), known)
        return f"unknown key '{key}'{hint}", f"Known keys here: {', '.join(sorted(known))}"
    if fault["type"] == "missing":
        return f"key '{key}' is missing", f"Add '{location[-1]}'"
    message = fault["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    return f"key '{key}' has the value {fault['input']!r}", f"It is not valid: {message}"


def _keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the keys that `model` allows at a nested location."""
    current: Any = model
    for part in location:
        field = getattr(current, "model_fields", {}).get(part)
        if field is not None:
            current = field.annotation
        current = _first_model(current) or current
    return list(getattr(current, "model_fields", {}))


def _first_model(annotation: Any) -> type[BaseModel] | None:
    """Return the first model class inside an annotation such as ``list[Model] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _first_model(argument)
        if found is not None:
            return found
    return None
