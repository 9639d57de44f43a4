"""Data IDs as people type them: ``visit=1-8,12 band=r``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drpflow.errors import InputError, suggest
from drpflow.io.query import VISIT_PROPERTIES
from drpflow.workflow.number_lists import numbers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from drpflow.io.datasets import DatasetTable


def constraints_of(
    table: DatasetTable, name: str, words: Iterable[str]
) -> dict[str, list[int | str]]:
    """Return the values that words allow.

    Parameters
    ----------
    table
        The dataset types.
    name
        What the words are said of, for messages.
    words
        Such as ``visit=1-8,12`` and ``band=g,r``.

    Returns
    -------
    dict
        Values by dimension, or by property of visits.

    Raises
    ------
    InputError
        If a word is no such constraint.
    """
    known = [*table.dimensions, *VISIT_PROPERTIES]
    found: dict[str, list[int | str]] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not text or key not in known:
            hint = suggest(key, known)
            raise InputError(name, f"{word!r} selects nothing{hint}", "Write it like visit=1-8,12")
        dimension = table.dimensions.get(key)
        if dimension is None or dimension.type == "str":
            found[key] = [*text.split(",")]
            continue
        try:
            found[key] = [*numbers(text)]
        except ValueError:
            problem = f"{text!r} is no list of numbers"
            raise InputError(f"{key} of {name}", problem, "Write it like 1-8,12") from None
    return found
