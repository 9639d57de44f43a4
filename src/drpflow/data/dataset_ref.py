"""A dataset named by its type and data ID, wherever it lies."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    data_id: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __hash__(self) -> int:
        return hash((self.name, frozenset(self.data_id.items())))

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{k}={v}' for k, v in self.data_id.items())})"
