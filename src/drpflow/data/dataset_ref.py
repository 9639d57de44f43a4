"""A dataset named by its type and data ID, wherever it lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

_NOTHING: Mapping[str, int | str] = MappingProxyType({})


@dataclass(frozen=True)
class DatasetRef:
    """A reference to a dataset, or to one component of it.

    Parameters
    ----------
    name
        Dataset type, or ``"type.component"``.
    data_id
        Value of each of its dimensions.
    """

    name: str
    data_id: Mapping[str, int | str] = field(default_factory=lambda: _NOTHING)

    def __hash__(self) -> int:
        return hash((self.name, frozenset(self.data_id.items())))

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{k}={v}' for k, v in self.data_id.items())})"

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return {"name": self.name, "data_id": dict(self.data_id)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> DatasetRef:
        """Rebuild a reference from :meth:`to_json`."""
        return cls(value["name"], dict(value["data_id"]))
