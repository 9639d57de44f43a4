"""The camera as its makers describe it: what the camera file may tell the pipeline.

The true optics, which differ from this, are in :mod:`drpflow.sim.optics`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from drpflow.sim.config import InstrumentConfig


@dataclass(frozen=True)
class SimDetector:
    """One CCD in its nominal place.

    Parameters
    ----------
    id, name
        Number used in data IDs, and name as in headers.
    size_pix
        Columns and rows.
    center_mm
        Position of its centre in the focal plane.
    rotation_deg
        Turn, +x towards +y.
    pixel_size_mm
        Pixel pitch.
    """

    id: int
    name: str
    size_pix: tuple[int, int]
    center_mm: tuple[float, float]
    rotation_deg: float
    pixel_size_mm: float

    @property
    def shape(self) -> tuple[int, int]:
        """Array shape, rows first."""
        return self.size_pix[1], self.size_pix[0]

    def pixel_to_focal(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Turn pixels into focal-plane millimetres."""
        u = (x - (self.size_pix[0] - 1) / 2) * self.pixel_size_mm
        v = (y - (self.size_pix[1] - 1) / 2) * self.pixel_size_mm
        c, s = self._turn()
        return self.center_mm[0] + c * u - s * v, self.center_mm[1] + s * u + c * v

    def focal_to_pixel(self, x_mm: np.ndarray, y_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Turn focal-plane millimetres into pixels."""
        u, v = x_mm - self.center_mm[0], y_mm - self.center_mm[1]
        c, s = self._turn()
        x = (c * u + s * v) / self.pixel_size_mm + (self.size_pix[0] - 1) / 2
        y = (c * v - s * u) / self.pixel_size_mm + (self.size_pix[1] - 1) / 2
        return x, y

    def _turn(self) -> tuple[float, float]:
        angle = np.deg2rad(self.rotation_deg)
        return float(np.cos(angle)), float(np.sin(angle))


@dataclass(frozen=True)
class SimFilter:
    """A filter by its names."""

    physical_filter: str
    band: str
    effective_wavelength_nm: float


@dataclass(frozen=True)
class SimObservatory:
    """Where the telescope stands."""

    name: str
    longitude_deg: float
    latitude_deg: float
    elevation_m: float


@dataclass(frozen=True)
class SimOptics:
    """Nominal optics, in the terms of the camera file.

    ``field_deg = plate_scale/3600 · r_mm · (1 + Σ_k radial[k] (r_mm/radius_mm)^(2k+2))``, with
    focal-plane +x to the west where +y is north.
    """

    plate_scale_arcsec_per_mm: float
    radius_mm: float
    radial: tuple[float, ...]


@dataclass(frozen=True)
class Instrument:
    """Telescope, camera and site as described by their makers."""

    name: str
    telescope: str
    detectors: tuple[SimDetector, ...]
    filters: tuple[SimFilter, ...]
    optics: SimOptics
    observatory: SimObservatory

    @property
    def pixel_scale_arcsec(self) -> float:
        """Size of a pixel on the sky at the centre."""
        return self.optics.plate_scale_arcsec_per_mm * self.detectors[0].pixel_size_mm

    def detector(self, detector_id: int) -> SimDetector:
        """Return a detector by its id.

        Raises
        ------
        KeyError
            If the camera has none of this id.
        """
        for item in self.detectors:
            if item.id == detector_id:
                return item
        raise KeyError(f"the simulated camera has no detector {detector_id}")

    def filter_for_band(self, band: str) -> SimFilter:
        """Return the first filter of a band.

        Raises
        ------
        KeyError
            If there is none.
        """
        for item in self.filters:
            if item.band == band:
                return item
        raise KeyError(f"the simulated camera has no filter of band {band!r}")

    def filter_named(self, physical_filter: str) -> SimFilter:
        """Return a filter by its physical name.

        Raises
        ------
        KeyError
            If there is none.
        """
        for item in self.filters:
            if item.physical_filter == physical_filter:
                return item
        raise KeyError(f"the simulated camera has no filter {physical_filter!r}")

    def half_diagonal_mm(self) -> float:
        """Distance from the centre of the camera to its farthest pixel corner."""
        farthest = 0.0
        for item in self.detectors:
            nx, ny = item.size_pix
            x, y = item.pixel_to_focal(
                np.array([-0.5, nx - 0.5, -0.5, nx - 0.5]),
                np.array([-0.5, -0.5, ny - 0.5, ny - 0.5]),
            )
            farthest = max(farthest, float(np.hypot(x, y).max()))
        return farthest


def build_instrument(config: InstrumentConfig) -> Instrument:
    """Lay out the mosaic: detectors numbered along rows, from the lower left."""
    o = config.optics
    return Instrument(
        name=config.name,
        telescope=config.telescope,
        detectors=tuple(_place_detectors(config)),
        filters=tuple(
            SimFilter(f.physical_filter, f.band, round((f.lower_nm + f.upper_nm) / 2, 1))
            for f in config.filters
        ),
        optics=SimOptics(o.plate_scale_arcsec_per_mm, o.radius_mm, o.radial),
        observatory=SimObservatory(
            config.observatory, config.longitude_deg, config.latitude_deg, config.elevation_m
        ),
    )


def _place_detectors(config: InstrumentConfig) -> list[SimDetector]:
    nx, ny = config.detector_size_pix
    step_x = nx * config.pixel_size_mm + config.gap_mm
    step_y = ny * config.pixel_size_mm + config.gap_mm
    placed = []
    for index in range(config.rows * config.columns):
        row, column = divmod(index, config.columns)
        center = (
            (column - (config.columns - 1) / 2) * step_x,
            (row - (config.rows - 1) / 2) * step_y,
        )
        rotation = config.rotations_deg[index % len(config.rotations_deg)]
        placed.append(
            SimDetector(index, f"S{row}{column}", (nx, ny), center, rotation, config.pixel_size_mm)
        )
    return placed
