"""A sky frame as the models use it: the shape of the empty sky, and patterns that come and go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.star_wings import StarWingsLayer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.data.background import Background

    Float64: TypeAlias = NDArray[np.float64]

PATTERN = "pattern_"
"""What the layers of patterns are named, with a number from 1."""

WINGS = "wings"
"""Name of the layer, without any star, that holds the profile of wings in this band."""


@dataclass(frozen=True, eq=False)
class DetectorFrame:
    """The sky frame of a detector.

    Parameters
    ----------
    layers
        In units of the sky: the shape, about 1, the sum of all layers but these: patterns, at
        the strength of one standard deviation, and the profile of wings.
    """

    layers: Background

    @property
    def patterns(self) -> tuple[str, ...]:
        """Names of the patterns."""
        return tuple(name for name in self.layers.names if name.startswith(PATTERN))

    def shape(self, x: Float64, y: Float64) -> Float64:
        """Return the shape on a grid of columns and rows, (ny, nx)."""
        total = np.zeros((y.size, x.size))
        for name, layer in self.layers.layers:
            if not name.startswith(PATTERN) and name != WINGS:
                total += layer.evaluate_grid(x, y)
        return total

    @property
    def wings(self) -> Float64 | None:
        """Profile of wings at its nodes but for the last, by ring; None if it is not known."""
        layers = dict(self.layers.layers)
        wings = layers.get(WINGS)
        return wings.profile[:, :-1] if isinstance(wings, StarWingsLayer) else None

    def pattern(self, number: int, x: Float64, y: Float64) -> Float64:
        """Return a pattern, counted from 0, on a grid; nothing where the frame has fewer."""
        if number >= len(self.patterns):
            return np.zeros((y.size, x.size))
        return self.layers.layer(self.patterns[number]).evaluate_grid(x, y)
