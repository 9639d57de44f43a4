"""Components gathered in rows, such as those of all detectors of a visit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.data.exposure import check_component_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class ComponentRow:
    """The components of one row.

    Parameters
    ----------
    components
        Components by name; None counts as missing.
    missing
        Why components are missing.
    """

    components: Mapping[str, Any] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_component_names([*self.components, *self.missing])


@dataclass(frozen=True)
class ComponentTable:
    """Rows that each hold components, with plain columns beside them.

    Parameters
    ----------
    rows
        The rows by what tells them apart, such as the detector id.
    columns
        Further columns of numbers or texts, in the order of `rows`.

    Raises
    ------
    ValueError
        If a column has another length than there are rows.
    """

    rows: Mapping[int, ComponentRow]
    columns: Mapping[str, ArrayLike] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, values in self.columns.items():
            length = len(np.asarray(values))
            if length != len(self.rows):
                raise ValueError(f"column {name!r} has {length} values for {len(self.rows)} rows")

    def component(self, name: str, row: int) -> Any:
        """Return one component, or None where it is missing."""
        return self.rows[row].components.get(name)
