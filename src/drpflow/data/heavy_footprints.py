"""Heavy footprints: the pixels of each source with the light that is the source's own.

A deblender divides the light of a blend; what a source received is kept here, so that it can be
measured as if its neighbours were not there. Footprints of neighbours overlap.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

from drpflow.data.footprints import Footprints

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Float32 = NDArray[np.float32]
    Int64 = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class HeavyFootprints:
    """Footprints of single sources with the pixel values of each.

    Source k has the values ``values[first_value[k]:first_value[k + 1]]``, in the order of the
    runs of its footprint.

    Parameters
    ----------
    footprints
        One source each, with one peak each.
    values
        Pixel values of the source alone, float32, shape (n_pixels,), in the image's unit.

    Attributes
    ----------
    first_value
        First value of each source and the end of the last one, int64, shape (n + 1,).

    Raises
    ------
    ValueError
        If a footprint has no peak or several, or the values do not fit the pixels.
    """

    footprints: Footprints
    values: Float32
    first_value: Int64 = field(init=False)

    def __post_init__(self) -> None:
        peaks = self.footprints.n_peaks()
        if (peaks != 1).any():
            raise ValueError(f"a source has one peak, not {peaks[peaks != 1][0]}")
        object.__setattr__(self, "values", np.ascontiguousarray(self.values, np.float32))
        object.__setattr__(self, "first_value", self.footprints.first_value())
        if self.values.shape != (self.first_value[-1],):
            raise ValueError(f"{self.first_value[-1]} pixels have {self.values.shape} values")

    @classmethod
    def from_image(cls, footprints: Footprints, image: NDArray[np.floating]) -> Self:
        """Return the sources with the pixels as the image has them.

        Parameters
        ----------
        footprints
            Footprints with one peak each.
        image
            Shape (ny, nx); holds all footprints.
        """
        return cls(footprints, image[footprints.pixels()])

    @classmethod
    def concatenate(cls, parts: Sequence[HeavyFootprints]) -> Self:
        """Return the sources of several sets, one set after the other."""
        sets = [part.footprints for part in parts]
        spans = np.concatenate([np.diff(item.first_span) for item in sets])
        footprints = Footprints(
            span_y=np.concatenate([item.span_y for item in sets]),
            span_x0=np.concatenate([item.span_x0 for item in sets]),
            span_x1=np.concatenate([item.span_x1 for item in sets]),
            first_span=np.concatenate([[0], np.cumsum(spans)]),
            peak_x=np.concatenate([item.peak_x for item in sets]),
            peak_y=np.concatenate([item.peak_y for item in sets]),
            peak_significance=np.concatenate([item.peak_significance for item in sets]),
            first_peak=np.arange(spans.size + 1),
        )
        return cls(footprints, np.concatenate([part.values for part in parts]))

    def __len__(self) -> int:
        return len(self.footprints)

    @property
    def peak_x(self) -> NDArray[np.float64]:
        """Column of each source's peak, pixels, shape (n,)."""
        return self.footprints.peak_x

    @property
    def peak_y(self) -> NDArray[np.float64]:
        """Row of each source's peak, pixels, shape (n,)."""
        return self.footprints.peak_y

    def sums(self) -> NDArray[np.float64]:
        """Return the sum of the values of each source, float64, shape (n,)."""
        owner = np.repeat(np.arange(len(self)), np.diff(self.first_value))
        return np.bincount(owner, self.values, len(self)).astype(np.float64)

    def select(self, rows: ArrayLike) -> HeavyFootprints:
        """Return some sources, by row numbers or by a Boolean array, in the order given."""
        chosen = np.asarray(rows)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
        counts = np.diff(self.first_value)[chosen]
        offsets = np.cumsum(counts) - counts
        index = np.repeat(self.first_value[chosen] - offsets, counts) + np.arange(counts.sum())
        return HeavyFootprints(self.footprints.select(chosen), self.values[index])

    def add_to(self, image: Float32, row: int) -> None:
        """Add the light of one source to an image that holds its footprint."""
        of_source = self.footprints.select([row])
        image[of_source.pixels()] += self.values[self.first_value[row] : self.first_value[row + 1]]
