"""The background of an image as named layers, each of which can be undone by itself.

A task that subtracts a background adds a layer with its own name; nothing is overwritten, so that a
later task can take one layer back (``undo(image, ["local"])``) or replace all of them.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self, TypeAlias

import numpy as np

from drpflow.data.geometry import Box
from drpflow.data.polynomial import UNIT, Basis2D, Domain, Polynomial2D
from drpflow.data.record import Record, StoredComponent, component, frozen_array, pack, unpack
from drpflow.data.spline import interpolation_matrix
from drpflow.errors import suggest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]

# Rows handled at a time: a 4096² image needs 128 MiB in float64, a block of it 8 MiB.
_ROWS = 256


class BackgroundLayer(StoredComponent):
    """One additive part of a background."""

    @abstractmethod
    def evaluate_grid(self, x: Floats, y: Floats) -> Floats:
        """Return the layer on the grid of columns x (nx,) and rows y (ny,), float64, (ny, nx)."""

    def image(self, box: Box) -> Floats:
        """Return the layer at the pixel centres of a box, float64, shape ``box.shape``."""
        return self.evaluate_grid(box.x, box.y)


@component
@dataclass(frozen=True, eq=False)
class MeshLayer(BackgroundLayer):
    """Values on a grid of bins, interpolated between the bin centres.

    Parameters
    ----------
    values
        Level in each bin, shape (n_rows, n_columns), finite.
    weights
        Weight of each bin (inverse variance; 0 where the level was filled in), same shape. They
        do not enter the interpolation, and are kept for fits that use the bins again.
    x, y
        Coordinates of the bin centres, strictly increasing, shapes (n_columns,) and (n_rows,).
    interpolation
        ``"bilinear"``, or ``"spline"``: the bicubic natural spline through the values. Both go on
        as a straight line beyond the outermost centres (half a bin, on the image).

    Raises
    ------
    ValueError
        If shapes do not fit, values are not finite or coordinates not increasing.
    """

    KIND: ClassVar[str] = "mesh_layer"
    values: Floats
    weights: Floats
    x: Floats
    y: Floats
    interpolation: Literal["bilinear", "spline"] = "spline"

    def __post_init__(self) -> None:
        for name, ndim in (("values", 2), ("weights", 2), ("x", 1), ("y", 1)):
            object.__setattr__(self, name, frozen_array(getattr(self, name), ndim=ndim))
        shape = (self.y.size, self.x.size)
        if not self.values.shape == self.weights.shape == shape or 0 in shape:
            raise ValueError(
                f"values {self.values.shape}, weights {self.weights.shape} and bin centres "
                f"{shape} must have one shape, not empty"
            )
        if not np.isfinite(self.values).all():
            raise ValueError("every bin of a mesh has a finite value; fill empty ones first")
        if (np.diff(self.x) <= 0).any() or (np.diff(self.y) <= 0).any():
            raise ValueError("bin centres must increase")
        if self.interpolation not in ("bilinear", "spline"):
            raise ValueError(f"interpolation is bilinear or spline, not {self.interpolation!r}")

    @classmethod
    def on_box(
        cls,
        box: Box,
        values: ArrayLike,
        weights: ArrayLike | None = None,
        interpolation: Literal["bilinear", "spline"] = "spline",
    ) -> Self:
        """Return the mesh whose bins divide a box evenly; weights are 1 if not given."""
        values = np.asarray(values, np.float64)
        n_rows, n_columns = values.shape
        x = box.x0 - 0.5 + (np.arange(n_columns) + 0.5) * (box.width / n_columns)
        y = box.y0 - 0.5 + (np.arange(n_rows) + 0.5) * (box.height / n_rows)
        weights = np.ones(values.shape) if weights is None else np.asarray(weights, np.float64)
        return cls(values, weights, x, y, interpolation)

    def evaluate_grid(self, x: Floats, y: Floats) -> Floats:
        """Return the layer on a grid: two matrix products with the 1-D interpolation weights."""
        along_x = interpolation_matrix(self.x, x, self.interpolation)
        along_y = interpolation_matrix(self.y, y, self.interpolation)
        return along_y @ (self.values @ along_x.T)

    def to_record(self) -> Record:
        """Return the stored form."""
        arrays = {"values": self.values, "weights": self.weights, "x": self.x, "y": self.y}
        return self._record({"interpolation": self.interpolation}, arrays)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the layer from its stored form."""
        values, weights, x, y = (record.arrays[name] for name in ("values", "weights", "x", "y"))
        return cls(values, weights, x, y, record.meta["interpolation"])


@component
@dataclass(frozen=True, eq=False)
class PolynomialLayer(BackgroundLayer):
    """A polynomial over the image; order 0 is a constant.

    Parameters
    ----------
    polynomial
        The level as a function of pixel coordinates.
    """

    KIND: ClassVar[str] = "polynomial_layer"
    polynomial: Polynomial2D

    @classmethod
    def constant(cls, level: float, domain: Domain = UNIT) -> Self:
        """Return one level everywhere."""
        return cls(Polynomial2D.constant(level, domain))

    def evaluate_grid(self, x: Floats, y: Floats) -> Floats:
        """Return the layer on a grid."""
        return self.polynomial.basis.evaluate_grid(self.polynomial.coefficients, x, y)

    def to_record(self) -> Record:
        """Return the stored form."""
        return self._record(
            self.polynomial.basis.to_meta(), {"coefficients": self.polynomial.coefficients}
        )

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the layer from its stored form."""
        return cls(Polynomial2D(Basis2D.from_meta(record.meta), record.arrays["coefficients"]))


@component
@dataclass(frozen=True, eq=False)
class Background(StoredComponent):
    """The sum of named layers, in the order in which they were subtracted.

    Parameters
    ----------
    layers
        (name, layer), names distinct.
    unit
        Unit of all layers: that of the pixels that they are subtracted from.

    Raises
    ------
    ValueError
        If two layers have one name.

    Notes
    -----
    Layers are evaluated and summed in float64; :meth:`subtract` rounds ``image - background`` to
    float32 once and :meth:`undo` rounds ``image + background`` once. Subtracting layers and
    undoing the same layers gives the pixel back to within half a unit in the last place of the
    larger of the pixel and the subtracted pixel, plus half a unit of the result.
    """

    KIND: ClassVar[str] = "background"
    layers: tuple[tuple[str, BackgroundLayer], ...] = ()
    unit: str = "electron"

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple((name, layer) for name, layer in self.layers))
        if len(set(self.names)) != len(self.layers):
            raise ValueError(f"layers have distinct names, not {self.names}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the layers, in order."""
        return tuple(name for name, _ in self.layers)

    def layer(self, name: str) -> BackgroundLayer:
        """Return one layer.

        Raises
        ------
        KeyError
            If there is none of this name.
        """
        return self._select([name])[0]

    def add_layer(self, name: str, layer: BackgroundLayer) -> Background:
        """Return the background with one more layer at its end.

        Raises
        ------
        ValueError
            If the name is taken.
        """
        return Background((*self.layers, (name, layer)), self.unit)

    def without(self, *names: str) -> Background:
        """Return the background without these layers.

        Raises
        ------
        KeyError
            If one does not exist.
        """
        self._select(names)
        return Background(tuple(item for item in self.layers if item[0] not in names), self.unit)

    def image(self, box: Box, names: Iterable[str] | None = None) -> Floats:
        """Return the sum of the layers (or of some) on a box, float64, shape ``box.shape``.

        Raises
        ------
        KeyError
            If a layer does not exist.
        """
        return _total(self._select(names), box.x, box.y)

    def subtract(
        self,
        image: NDArray[np.float32],
        xy0: tuple[int, int] = (0, 0),
        names: Iterable[str] | None = None,
    ) -> NDArray[np.float32]:
        """Return image - background, float32.

        Parameters
        ----------
        image
            Shape (ny, nx).
        xy0
            Detector coordinates (x, y) of the first pixel.
        names
            Layers to subtract; all if not given.

        Raises
        ------
        KeyError
            If a layer does not exist.
        """
        return self._apply(image, xy0, names, sign=-1.0)

    def undo(
        self,
        image: NDArray[np.float32],
        xy0: tuple[int, int] = (0, 0),
        names: Iterable[str] | None = None,
    ) -> NDArray[np.float32]:
        """Return image + background, float32: the inverse of :meth:`subtract`."""
        return self._apply(image, xy0, names, sign=1.0)

    def to_record(self) -> Record:
        """Return the stored form."""
        entries, arrays = pack(self.layers)
        return self._record({"layers": entries, "unit": self.unit}, arrays)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the background from its stored form."""
        return cls(tuple(unpack(record.meta["layers"], record.arrays)), record.meta["unit"])

    def _select(self, names: Iterable[str] | None) -> list[BackgroundLayer]:
        if names is None:
            return [layer for _, layer in self.layers]
        by_name = dict(self.layers)
        chosen = []
        for name in names:
            if name not in by_name:
                raise KeyError(f"no background layer {name!r}{suggest(name, by_name)}")
            chosen.append(by_name[name])
        return chosen

    def _apply(
        self,
        image: NDArray[np.float32],
        xy0: tuple[int, int],
        names: Iterable[str] | None,
        *,
        sign: float,
    ) -> NDArray[np.float32]:
        layers = self._select(names)
        box = Box.from_shape(image.shape, xy0)
        out = np.empty(image.shape, np.float32)
        for start in range(0, box.height, _ROWS):
            rows = slice(start, start + _ROWS)
            out[rows] = image[rows] + sign * _total(layers, box.x, box.y[rows])
        return out


def _total(layers: Iterable[BackgroundLayer], x: Floats, y: Floats) -> Floats:
    total = np.zeros((y.size, x.size))
    for layer in layers:
        total += layer.evaluate_grid(x, y)
    return total
