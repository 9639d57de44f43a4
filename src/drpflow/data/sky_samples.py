"""What is left of a detector's pixels once the sky has been measured: means of small cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from drpflow.data.record import frozen_array

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SkySamples:
    """Means of the sky pixels of square cells of a detector.

    Parameters
    ----------
    level
        Mean of the pixels that count, electrons, NaN where none does, shape (my, mx).
    count
        Their number, same shape.
    x, y
        Their mean place, pixels, same shape.
    cell_pix
        Side of the cells.
    noise
        Standard deviation of a pixel, electrons.
    shape_pix
        Rows and columns of the detector's pixels.

    Raises
    ------
    ValueError
        If shapes differ, or cell or noise is not positive.
    """

    level: Float32
    count: NDArray[np.int32]
    x: Float32
    y: Float32
    cell_pix: int
    noise: float
    shape_pix: tuple[int, int]

    def __post_init__(self) -> None:
        for name in ("level", "x", "y"):
            array = frozen_array(getattr(self, name), np.float32, ndim=2)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "count", frozen_array(self.count, np.int32, ndim=2))
        shapes = {getattr(self, name).shape for name in ("level", "count", "x", "y")}
        if len(shapes) > 1 or self.cell_pix < 1 or not self.noise > 0:
            raise ValueError(
                f"cells of shapes {shapes}, {self.cell_pix} pixels and noise {self.noise}"
            )

    def to_columns(self) -> dict[str, NDArray[Any]]:
        """Return a row for each cell in which a pixel counts."""
        row, column = np.nonzero(self.count)
        n = len(row)
        cells = {name: getattr(self, name)[row, column] for name in ("level", "count", "x", "y")}
        return {
            "row": row.astype(np.int32),
            "column": column.astype(np.int32),
            **cells,
            "cell_pix": np.full(n, self.cell_pix, np.int32),
            "noise": np.full(n, self.noise, np.float32),
            "n_rows": np.full(n, self.shape_pix[0], np.int32),
            "n_columns": np.full(n, self.shape_pix[1], np.int32),
        }

    @classmethod
    def from_columns(cls, columns: Mapping[str, NDArray[Any]]) -> Self:
        """Rebuild the samples of a detector from at least one row."""
        cell = int(columns["cell_pix"][0])
        shape = int(columns["n_rows"][0]), int(columns["n_columns"][0])
        my, mx = (-(-n // cell) for n in shape)
        at = columns["row"], columns["column"]
        level = np.full((my, mx), np.nan, np.float32)
        count = np.zeros((my, mx), np.int32)
        y, x = (np.arange(n, dtype=np.float32) * cell for n in (my, mx))
        x, y = np.tile(x, (my, 1)), np.tile(y[:, None], (1, mx))
        for name, grid in (("level", level), ("count", count), ("x", x), ("y", y)):
            grid[at] = columns[name]
        return cls(level, count, x, y, cell, float(columns["noise"][0]), shape)
