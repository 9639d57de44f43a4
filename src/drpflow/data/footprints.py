"""Footprints: the pixels of detected sources, as runs along rows, with the peaks among them.

A detector of 4096² pixels with 20,000 footprints holds some 300,000 runs: three flat arrays and
an offset a footprint (compressed rows, as in sparse matrices) take 4 MB, and every question
about all footprints is one numpy expression.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from drpflow.data.mask import Mask

    Int32 = NDArray[np.int32]
    Int64 = NDArray[np.int64]
    Float64 = NDArray[np.float64]

_DTYPES: dict[str, type[np.generic]] = {
    "span_y": np.int32,
    "span_x0": np.int32,
    "span_x1": np.int32,
    "first_span": np.int64,
    "peak_x": np.float64,
    "peak_y": np.float64,
    "peak_significance": np.float32,
    "first_peak": np.int64,
}


@dataclass(frozen=True, eq=False)
class Footprints:
    """Sets of pixels on one image, each with its peaks.

    Footprint k consists of the runs ``first_span[k] … first_span[k + 1] - 1``, in order of row
    and column, and holds the peaks ``first_peak[k] … first_peak[k + 1] - 1``, brightest first.

    Parameters
    ----------
    span_y, span_x0, span_x1
        Row, first column and column after the last of each run, int32, shape (n_spans,).
    first_span
        First run of each footprint and the end of the last one, int64, shape (n + 1,).
    peak_x, peak_y
        Positions of the peaks, pixels, float64, shape (n_peaks,).
    peak_significance
        Significance of the peaks, float32, shape (n_peaks,).
    first_peak
        First peak of each footprint and the end of the last one, int64, shape (n + 1,).

    Raises
    ------
    ValueError
        If the arrays do not fit together.
    """

    span_y: Int32
    span_x0: Int32
    span_x1: Int32
    first_span: Int64
    peak_x: Float64
    peak_y: Float64
    peak_significance: NDArray[np.float32]
    first_peak: Int64

    def __post_init__(self) -> None:
        for name, dtype in _DTYPES.items():
            array = np.ascontiguousarray(getattr(self, name), dtype)
            if array.ndim != 1:
                raise ValueError(f"{name} of footprints has one axis, not the shape {array.shape}")
            object.__setattr__(self, name, array)
        _check_runs("first_span", self.first_span, self.span_y, self.span_x0, self.span_x1)
        _check_runs("first_peak", self.first_peak, self.peak_x, self.peak_y, self.peak_significance)
        if self.first_span.size != self.first_peak.size:
            raise ValueError(
                f"{self.first_span.size - 1} footprints have runs, {self.first_peak.size - 1} peaks"
            )

    @classmethod
    def empty(cls) -> Self:
        """Return no footprints at all."""
        none: list[float] = []
        return cls(*(np.array([0] if name.startswith("first") else none) for name in _DTYPES))

    @classmethod
    def from_labels(
        cls,
        labels: NDArray[np.integer[Any]],
        peak_x: ArrayLike = (),
        peak_y: ArrayLike = (),
        peak_significance: ArrayLike | None = None,
    ) -> Self:
        """Return the footprints of a label image.

        Parameters
        ----------
        labels
            0 outside every footprint, k + 1 in footprint k, shape (ny, nx). Numbers that no
            pixel has make empty footprints.
        peak_x, peak_y
            Peaks, in any order; each goes to the footprint of its nearest pixel, and those
            outside of all are left out.
        peak_significance
            By which peaks are ordered, falling; without it they keep their order.
        """
        label, y, x0, x1 = _runs(labels)
        count = int(label.max(initial=0))
        order = np.argsort(label, kind="stable")
        first_span = np.searchsorted(label[order], np.arange(1, count + 2))
        x, yp = np.asarray(peak_x, np.float64), np.asarray(peak_y, np.float64)
        significance = np.zeros(x.size) if peak_significance is None else peak_significance
        height = np.asarray(significance, np.float32)
        column, row = np.floor(x + 0.5).astype(int), np.floor(yp + 0.5).astype(int)
        ny, nx = labels.shape
        inside = (column >= 0) & (row >= 0) & (column < nx) & (row < ny)
        owner = np.zeros(x.size, np.int64)
        owner[inside] = labels[row[inside], column[inside]]
        ranked = np.lexsort((-height, owner))
        ranked = ranked[owner[ranked] > 0]
        first_peak = np.searchsorted(owner[ranked], np.arange(1, count + 2))
        return cls(
            y[order],
            x0[order],
            x1[order],
            first_span,
            x[ranked],
            yp[ranked],
            height[ranked],
            first_peak,
        )

    def __len__(self) -> int:
        return self.first_span.size - 1

    def areas(self) -> Int64:
        """Return the number of pixels of each footprint, int64, shape (n,)."""
        return np.diff(self.first_value())

    def first_value(self) -> Int64:
        """Return the offset of each footprint in an array of all pixels, int64, shape (n + 1,).

        The order of the pixels is that of the runs, as in :meth:`pixels`.
        """
        lengths = (self.span_x1 - self.span_x0).astype(np.int64)
        return np.concatenate([[0], np.cumsum(lengths)])[self.first_span]

    def n_peaks(self) -> Int64:
        """Return the number of peaks of each footprint, int64, shape (n,)."""
        return np.diff(self.first_peak)

    def boxes(self) -> Int32:
        """Return the smallest boxes x0, x1, y0, y1, half open, int32, shape (n, 4).

        An empty footprint has the box (0, 0, 0, 0).
        """
        boxes = np.zeros((len(self), 4), np.int32)
        filled = np.diff(self.first_span) > 0
        start = self.first_span[:-1][filled]
        if start.size:
            # The filled footprints follow each other without a gap, as reduceat needs them to.
            boxes[filled, 0] = np.minimum.reduceat(self.span_x0, start)
            boxes[filled, 1] = np.maximum.reduceat(self.span_x1, start)
            boxes[filled, 2] = np.minimum.reduceat(self.span_y, start)
            boxes[filled, 3] = np.maximum.reduceat(self.span_y, start) + 1
        return boxes

    def pixels(self) -> tuple[Int32, Int32]:
        """Return row and column of every pixel of every footprint, in the order of the runs."""
        return span_pixels(self.span_y, self.span_x0, self.span_x1)

    def labels(self, shape: tuple[int, int]) -> Int32:
        """Return the image, int32, that is k + 1 in footprint k and 0 outside of all.

        Where footprints overlap, the last one shows.
        """
        image = np.zeros(shape, np.int32)
        image[self.pixels()] = np.repeat(np.arange(1, len(self) + 1, dtype=np.int32), self.areas())
        return image

    def select(self, rows: ArrayLike) -> Footprints:
        """Return some footprints, by row numbers or by a Boolean array, in the order given."""
        chosen = np.asarray(rows)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
        span, first_span = _gather(self.first_span, chosen)
        peak, first_peak = _gather(self.first_peak, chosen)
        return Footprints(
            self.span_y[span],
            self.span_x0[span],
            self.span_x1[span],
            first_span,
            self.peak_x[peak],
            self.peak_y[peak],
            self.peak_significance[peak],
            first_peak,
        )

    def with_first_peak(self) -> Footprints:
        """Return the same sets of pixels, each with the first of its peaks alone, if it has one."""
        has = self.n_peaks() > 0
        rows = self.first_peak[:-1][has]
        return replace(
            self,
            peak_x=self.peak_x[rows],
            peak_y=self.peak_y[rows],
            peak_significance=self.peak_significance[rows],
            first_peak=np.concatenate([[0], np.cumsum(has)]),
        )

    def mark(self, mask: Mask, plane: str) -> None:
        """Set a mask plane at all pixels of all footprints.

        Raises
        ------
        KeyError
            If the mask has no such plane.
        """
        rows, columns = self.pixels()
        mask.array[rows, columns] |= mask.bit(plane)


def span_pixels(y: Int32, x0: Int32, x1: Int32) -> tuple[Int32, Int32]:
    """Return row and column of every pixel of runs, int32, in the order of the runs."""
    lengths = x1 - x0
    within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.repeat(y, lengths), np.repeat(x0, lengths) + within.astype(np.int32)


def _check_runs(name: str, first: Int64, *columns: NDArray[Any]) -> None:
    """Check that offsets start at 0, do not fall and end at the length of their columns."""
    sizes = {column.size for column in columns}
    if len(sizes) > 1:
        raise ValueError(f"the columns that {name} points to have lengths {sorted(sizes)}")
    if first.size == 0 or first[0] != 0 or first[-1] != sizes.pop() or (np.diff(first) < 0).any():
        raise ValueError(f"{name} must rise from 0 to the length of its columns")


def _runs(labels: NDArray[np.integer[Any]]) -> tuple[Int64, Int32, Int32, Int32]:
    """Return label, row, first column and end of each run of equal labels, in raster order."""
    ny, nx = labels.shape
    # A column of zeros to the right keeps runs from going on into the next row.
    change = np.zeros((ny, nx + 1), bool)
    change[:, 0] = labels[:, 0] != 0 if nx else False
    change[:, 1:nx] = labels[:, 1:] != labels[:, :-1]
    change[:, nx] = labels[:, -1] != 0 if nx else False
    y, x = np.nonzero(change)
    value = np.zeros(y.size, np.int64)
    inside = x < nx
    value[inside] = labels[y[inside], x[inside]]
    start = np.flatnonzero(value)
    end = x[start + 1] if start.size else x[:0]
    return value[start], y[start].astype(np.int32), x[start].astype(np.int32), end.astype(np.int32)


def _gather(first: Int64, rows: Int64) -> tuple[Int64, Int64]:
    """Return the members of the chosen rows, one after the other, and their new offsets."""
    counts = np.diff(first)[rows]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    members = np.repeat(first[rows] - offsets[:-1], counts) + np.arange(offsets[-1])
    return members, offsets
