"""Skies of a camera of two by two detectors, as cells, with their truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np

from drpflow.algorithms.visit_background.cells import DetectorCells, place_cells
from drpflow.algorithms.visit_background.stars import DetectorStars
from drpflow.data.camera import Amplifier, Camera, Detector, Filter, Optics
from drpflow.data.sky_samples import SkySamples

SIDE, CELL = 512, 16
NOISE = 15.0
LEVEL = 300.0
RADII = np.geomspace(35.0, 900.0, 9)


def _detector(number: int, center_mm: tuple[float, float], turn_deg: float) -> Detector:
    section = (0, SIDE, 0, SIDE)
    amplifier = Amplifier(name="A", data_section=section, raw_data_section=section, gain=1.0,
                          read_noise=5.0, saturation=6e4)  # fmt: skip
    return Detector(
        id=number,
        name=f"c{number}",
        size_pix=(SIDE, SIDE),
        center_mm=center_mm,
        rotation_deg=turn_deg,
        pixel_size_mm=0.015,
        amplifiers=(amplifier,),
    )


@cache
def camera() -> Camera:
    """Detectors of 7.7 mm with gaps of 0.5 mm, 0.2 arcsec pixels; the last one is turned."""
    places = [(-4.1, -4.1), (4.1, -4.1), (-4.1, 4.1), (4.1, 4.1)]
    return Camera(
        name="four",
        optics=Optics(plate_scale_arcsec_per_mm=40 / 3, radius_mm=20.0, radial=()),
        detectors=tuple(
            _detector(k, place, 90.0 if k == 3 else 0.0) for k, place in enumerate(places)
        ),
        filters=(Filter(physical_filter="sim_r", band="r"),),
    )


@dataclass
class Sky:
    """What one visit's sky is made of.

    Parameters
    ----------
    gradient
        Relative change of the sky along x and y over 8 mm.
    pistons
        Offsets of detectors, electrons.
    stars
        Stars: place on the pixels of detector 0 and flux, electrons.
    light
        Further light by detector, electrons a cell.
    shape
        Shape of the empty sky by detector; 1 if not given.
    seed
        Of the noise; None for none.
    """

    gradient: tuple[float, float] = (0.02, -0.03)
    pistons: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    stars: tuple[tuple[float, float, float], ...] = ()
    light: dict[int, np.ndarray] = field(default_factory=dict)
    shape: dict[int, np.ndarray] = field(default_factory=dict)
    seed: int | None = 1
    level: float = LEVEL

    def smooth(self, cells: DetectorCells, key: int) -> np.ndarray:
        """The sky alone, without noise."""
        u, v = cells.x_mm / 8, cells.y_mm / 8
        polynomial = 1 + self.gradient[0] * u + self.gradient[1] * v + 0.01 * u * v
        return self.level * polynomial * self.shape.get(key, 1.0) + self.pistons[key]

    def samples(self) -> dict[int, SkySamples]:
        """What measureSky would find."""
        blank = {k: _grid(np.full((n, n), self.level)) for k, n in _sizes().items()}
        rng = np.random.default_rng(self.seed)
        found = {}
        for key, cells in place_cells(blank, camera(), 0.1).items():
            level = self.smooth(cells, key) + self.light.get(key, 0.0)
            if key == 0:
                for x, y, flux in self.stars:
                    level = level + flux * true_wings(np.hypot(cells.x - x, cells.y - y))
            if self.seed is not None:
                level = level + NOISE / CELL * rng.normal(size=level.shape)
            found[key] = _grid(level)
        return found

    def cells(self) -> dict[int, DetectorCells]:
        """The same on the focal plane."""
        return place_cells(self.samples(), camera(), 0.1)

    def detector_stars(self) -> dict[int, DetectorStars]:
        """The stars as detector 0 sees them; they do not reach the others."""
        x, y, flux = np.array(self.stars, float).reshape(-1, 3).T
        return {0: DetectorStars(x, y, flux, np.zeros(len(x), np.int64), RADII)}


def true_wings(r: np.ndarray) -> np.ndarray:
    """Light at a distance from a star of unit flux, a pixel."""
    return 1e-3 / np.maximum(r, 8.0) ** 2 * np.clip(1 - (r / 900) ** 2, 0, None) ** 2


def centers(side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows of the middles of cells."""
    middle = np.arange(side // CELL) * CELL + (CELL - 1) / 2
    return np.meshgrid(middle, middle)


def _sizes() -> dict[int, int]:
    return {d.id: SIDE // CELL for d in camera().detectors}


def _grid(level: np.ndarray) -> SkySamples:
    x, y = centers()
    count = np.full(level.shape, CELL**2, np.int32)
    shape = (SIDE, SIDE)
    return SkySamples(level, count, x, y, CELL, NOISE, shape)  # type: ignore[arg-type]
