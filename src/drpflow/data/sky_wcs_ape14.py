"""The attributes of the shared low-level interface for world coordinate systems.

APE 14 (https://doi.org/10.5281/zenodo.1188875) asks for attributes, not for a base class, so that
a WCS can offer them without importing astropy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class CelestialApe14(ABC):
    """APE-14 attributes of a two-dimensional image of the sky in ICRS, degrees."""

    pixel_shape: tuple[int, int] | None
    """Numbers of columns and rows."""

    @abstractmethod
    def pixel_to_world_values(self, *pixel_arrays: ArrayLike) -> tuple[Any, Any]:
        """Return (ra, dec) of pixel positions (x, y)."""

    @abstractmethod
    def world_to_pixel_values(self, *world_arrays: ArrayLike) -> tuple[Any, Any]:
        """Return (x, y) of positions (ra, dec)."""

    @property
    def pixel_n_dim(self) -> int:
        """Number of pixel axes."""
        return 2

    @property
    def world_n_dim(self) -> int:
        """Number of world axes."""
        return 2

    @property
    def world_axis_physical_types(self) -> list[str]:
        """UCD1+ of each world axis."""
        return ["pos.eq.ra", "pos.eq.dec"]

    @property
    def world_axis_units(self) -> list[str]:
        """Unit of each world axis."""
        return ["deg", "deg"]

    @property
    def world_axis_names(self) -> list[str]:
        """Name of each world axis."""
        return ["ra", "dec"]

    @property
    def pixel_axis_names(self) -> list[str]:
        """Name of each pixel axis."""
        return ["x", "y"]

    @property
    def axis_correlation_matrix(self) -> NDArray[np.bool_]:
        """Which pixel axes each world axis depends on: all."""
        return np.ones((2, 2), bool)

    @property
    def array_shape(self) -> tuple[int, int] | None:
        """Numbers of rows and columns."""
        return None if self.pixel_shape is None else (self.pixel_shape[1], self.pixel_shape[0])

    @property
    def pixel_bounds(self) -> list[tuple[float, float]] | None:
        """Outer edges of the image along each pixel axis."""
        if self.pixel_shape is None:
            return None
        return [(-0.5, n - 0.5) for n in self.pixel_shape]

    @property
    def serialized_classes(self) -> bool:
        """Classes in `world_axis_object_classes` are given by name."""
        return True

    @property
    def world_axis_object_components(self) -> list[tuple[str, int, str]]:
        """How each world value is found in the high-level object."""
        return [
            ("celestial", 0, "spherical.lon.degree"),
            ("celestial", 1, "spherical.lat.degree"),
        ]

    @property
    def world_axis_object_classes(self) -> dict[str, tuple[str, tuple[()], dict[str, str]]]:
        """How the high-level object is made."""
        return {
            "celestial": (
                "astropy.coordinates.SkyCoord",
                (),
                {"frame": "icrs", "unit": "deg"},
            )
        }

    def array_index_to_world_values(self, *index_arrays: ArrayLike) -> tuple[Any, Any]:
        """Return (ra, dec) of array indices (row, column)."""
        row, column = index_arrays
        return self.pixel_to_world_values(column, row)

    def world_to_array_index_values(self, *world_arrays: ArrayLike) -> tuple[Any, Any]:
        """Return the array indices (row, column) of the pixels that hold positions.

        Where there is no pixel the index is the smallest integer, which no array has.
        """
        x, y = self.world_to_pixel_values(*world_arrays)
        return _to_index(y), _to_index(x)


def _to_index(position: ArrayLike) -> Any:
    missing = np.iinfo(np.intp).min
    rounded = np.floor(np.asarray(position) + 0.5)
    usable = np.abs(rounded) < 2.0**53
    return np.where(usable, np.where(usable, rounded, 0).astype(np.intp), missing)[()]
