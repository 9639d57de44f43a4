"""Path templates such as ``"pvi/visit={visit}/pvi_{visit}_{detector}.fits"``, both ways."""

from __future__ import annotations

import re
from functools import cached_property
from string import Formatter
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Key = int | str
"""Type of one value of a data ID."""

PATTERNS: Mapping[str, str] = {"int": r"\d+", "str": r"[A-Za-z0-9][A-Za-z0-9_.+-]*"}
"""What the value of a dimension may look like in a path, by the type of the dimension."""


class PathTemplate:
    """A relative path with ``{dimension}`` fields.

    Parameters
    ----------
    template
        The path.
    types
        ``"int"`` or ``"str"`` for each field of the template.
    """

    def __init__(self, template: str, types: Mapping[str, Literal["int", "str"]]) -> None:
        self.template = template
        self._types = types

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The dimensions that the path names, each once, in order."""
        names = (name for _, name, _, _ in Formatter().parse(self.template) if name is not None)
        return tuple(dict.fromkeys(names))

    def fill(self, data_id: Mapping[str, Key]) -> str:
        """Return the path of a data ID.

        Raises
        ------
        KeyError
            If a field has no value.
        ValueError
            If a value cannot stand in a path.
        """
        for name in self.fields:
            if not re.fullmatch(PATTERNS[self._types[name]], str(data_id[name])):
                raise ValueError(f"{name} = {data_id[name]!r} cannot stand in a path")
        return self.template.format_map(data_id)

    def parse(self, path: str) -> dict[str, Key] | None:
        """Return the data ID that a path says, or None if it is not of this template."""
        match = self.regex.fullmatch(path)
        if match is None:
            return None
        return {
            name: int(value) if self._types[name] == "int" else value
            for name, value in match.groupdict().items()
        }

    def glob(self, known: Mapping[str, Key]) -> str:
        """Return a glob pattern in which the fields that are not `known` are stars."""
        return self.template.format_map({name: known.get(name, "*") for name in self.fields})

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """The pattern of this path; a repeated field must repeat its value."""
        parts: list[str] = []
        seen: set[str] = set()
        for literal, name, _, _ in Formatter().parse(self.template):
            parts.append(re.escape(literal))
            if name is None:
                continue
            parts.append(
                f"(?P={name})" if name in seen else f"(?P<{name}>{PATTERNS[self._types[name]]})"
            )
            seen.add(name)
        return re.compile("".join(parts))
