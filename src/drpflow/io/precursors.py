"""What an exposure was made of, fetched through the data IDs that it records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from drpflow.data.dataset_ref import DatasetRef

if TYPE_CHECKING:
    from drpflow.data.coadd_inputs import CoaddInputs
    from drpflow.io.store import Store


@dataclass(frozen=True)
class Precursor:
    """One dataset that went into another.

    Parameters
    ----------
    ref
        Dataset type and data ID.
    weight
        Its weight.
    store
        Where it is looked for.
    """

    ref: DatasetRef
    weight: float
    store: Store = field(repr=False, compare=False)

    def get(self, component: str = "") -> Any:
        """Return the dataset, or one component of it without its pixels.

        Raises
        ------
        MissingDatasetError
            If it does not exist (any more).
        """
        name = f"{self.ref.name}.{component}" if component else self.ref.name
        return self.store.get(name, **self.ref.data_id)


def precursors(store: Store, inputs: CoaddInputs) -> list[Precursor]:
    """Return the inputs that a component lists, in its order."""
    return [
        Precursor(DatasetRef(item.dataset_type, dict(item.data_id)), item.weight, store)
        for item in inputs
    ]
