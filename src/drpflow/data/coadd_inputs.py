"""What a coadd was made from, as data IDs through which the inputs' components can be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Self, TypeAlias

import numpy as np

from drpflow.data.record import Record, StoredComponent, component

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DataIdValue: TypeAlias = "int | str"


@dataclass(frozen=True)
class CoaddInput:
    """One input of a coadd.

    Parameters
    ----------
    dataset_type
        Name in the dataset table, such as ``"pvi"``.
    data_id
        Dimension to value.
    weight
        Weight in the weighted mean.

    Raises
    ------
    ValueError
        If the weight is negative or not finite.
    """

    dataset_type: str
    data_id: Mapping[str, DataIdValue]
    weight: float = 1.0

    def __post_init__(self) -> None:
        plain = {k: v if isinstance(v, str) else int(v) for k, v in self.data_id.items()}
        object.__setattr__(self, "data_id", MappingProxyType(plain))
        object.__setattr__(self, "weight", float(self.weight))
        if not 0 <= self.weight < np.inf:
            raise ValueError(f"{self.dataset_type} {plain}: weight {self.weight}")


@component
@dataclass(frozen=True, eq=False)
class CoaddInputs(StoredComponent):
    """The inputs of a coadd, in the order in which they were added.

    Parameters
    ----------
    inputs
        Data IDs with weights.
    """

    KIND: ClassVar[str] = "coadd_inputs"
    inputs: tuple[CoaddInput, ...] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", tuple(self.inputs))

    def __iter__(self) -> Iterator[CoaddInput]:
        return iter(self.inputs)

    def __len__(self) -> int:
        return len(self.inputs)

    def values_of(self, dimension: str) -> list[DataIdValue]:
        """Return the distinct values of a dimension, sorted; ``"visit"`` gives the visits."""
        found = {item.data_id[dimension] for item in self.inputs if dimension in item.data_id}
        return sorted(found, key=lambda value: (isinstance(value, str), value))

    def to_record(self) -> Record:
        """Return the stored form."""
        entries = [
            {"dataset_type": item.dataset_type, "data_id": dict(item.data_id)}
            for item in self.inputs
        ]
        weights = np.array([item.weight for item in self.inputs], np.float64)
        return self._record({"inputs": entries}, {"weight": weights})

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the list from its stored form."""
        return cls(
            tuple(
                CoaddInput(entry["dataset_type"], entry["data_id"], weight)
                for entry, weight in zip(
                    record.meta["inputs"], record.arrays["weight"], strict=True
                )
            )
        )
