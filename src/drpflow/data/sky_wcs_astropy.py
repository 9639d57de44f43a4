"""A :class:`~drpflow.data.sky_wcs.SkyWcs` as one of astropy's own WCS objects.

The only module of the data model that imports astropy.wcs; imported by `SkyWcs.to_astropy` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from astropy.coordinates import ICRS, SkyCoord
from astropy.wcs.wcsapi import BaseLowLevelWCS, HighLevelWCSMixin

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from drpflow.data.sky_wcs import SkyWcs


class AstropyWcs(BaseLowLevelWCS, HighLevelWCSMixin):
    """Low- and high-level astropy interface to a SkyWcs; plots (WCSAxes) accept it.

    Parameters
    ----------
    wcs
        The WCS that does the work.
    """

    def __init__(self, wcs: SkyWcs) -> None:
        self.sky_wcs = wcs

    @property
    def low_level_wcs(self) -> AstropyWcs:
        """The low-level interface: this object."""
        return self

    @property
    def pixel_n_dim(self) -> int:
        """Number of pixel axes."""
        return self.sky_wcs.pixel_n_dim

    @property
    def world_n_dim(self) -> int:
        """Number of world axes."""
        return self.sky_wcs.world_n_dim

    @property
    def world_axis_physical_types(self) -> list[str]:
        """UCD1+ of each world axis."""
        return self.sky_wcs.world_axis_physical_types

    @property
    def world_axis_units(self) -> list[str]:
        """Unit of each world axis."""
        return self.sky_wcs.world_axis_units

    @property
    def world_axis_names(self) -> list[str]:
        """Name of each world axis."""
        return self.sky_wcs.world_axis_names

    @property
    def pixel_shape(self) -> tuple[int, int] | None:
        """Numbers of columns and rows."""
        return self.sky_wcs.pixel_shape

    @property
    def pixel_bounds(self) -> list[tuple[float, float]] | None:
        """Outer edges of the image along each pixel axis."""
        return self.sky_wcs.pixel_bounds

    @property
    def serialized_classes(self) -> bool:
        """Classes are given themselves, as WCSAxes asks."""
        return False

    @property
    def world_axis_object_components(self) -> list[tuple[str, int, str]]:
        """How each world value is found in the high-level object."""
        return self.sky_wcs.world_axis_object_components

    @property
    def world_axis_object_classes(self) -> dict[str, tuple[type, tuple[()], dict[str, Any]]]:
        """How the high-level object is made."""
        return {"celestial": (SkyCoord, (), {"frame": ICRS(), "unit": "deg"})}

    def pixel_to_world_values(self, *pixel_arrays: ArrayLike) -> tuple[Any, Any]:
        """Return (ra, dec) in degrees of pixel positions (x, y)."""
        return self.sky_wcs.pixel_to_world_values(*pixel_arrays)

    def world_to_pixel_values(self, *world_arrays: ArrayLike) -> tuple[Any, Any]:
        """Return (x, y) of positions (ra, dec) in degrees."""
        return self.sky_wcs.world_to_pixel_values(*world_arrays)
