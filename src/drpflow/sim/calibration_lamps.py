"""The frames that the observatory takes for its calibrations of one detector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.streams import FrameKind, Stage, generator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from drpflow.sim.amplifiers import Channel, DetectorShape
    from drpflow.sim.readout import Readout

FLAT_EXPOSURE_S = 4.0
SPOT_EXPOSURE_S = 4.0
SPOT_RADIUS_FRACTION = 0.32
SPOT_STEEPNESS = 150.0
SPOT_CELLS = 8


class CalibrationFrames:
    """Takes calibration frames of one detector.

    Parameters
    ----------
    readout
        The detectors.
    detector
        Which one.
    illumination
        Light of the flat-field screen by filter, shape (ny, nx), relative to the camera's median.
    """

    def __init__(
        self,
        readout: Readout,
        detector: DetectorShape,
        illumination: Mapping[str, NDArray[np.float64]],
    ) -> None:
        self.readout = readout
        self.detector = detector
        self.illumination = illumination
        self.plan = readout.effects.calibrations

    def biases(self) -> Iterator[NDArray[np.uint16]]:
        """Yield bias frames."""
        for i in range(self.plan.bias_frames):
            yield self.readout.expose(None, self.detector, 0.0, ids=(FrameKind.BIAS, i)).adu

    def darks(self) -> Iterator[NDArray[np.uint16]]:
        """Yield dark frames."""
        for i in range(self.plan.dark_frames):
            ids = (FrameKind.DARK, i)
            yield self.readout.expose(None, self.detector, self.plan.dark_exposure_s, ids=ids).adu

    @property
    def first_filter(self) -> str:
        """The filter for frames that any filter is good for."""
        return next(iter(self.illumination))

    def flats(self, physical_filter: str) -> Iterator[tuple[NDArray[np.uint16], float]]:
        """Yield flat frames with the light of each as the lamp's monitor tells it, electrons."""
        index = list(self.illumination).index(physical_filter)
        for i in range(self.plan.flat_frames):
            yield self._flat(physical_filter, (int(FrameKind.FLAT), index, i))

    def pairs(self, number: int) -> Iterator[NDArray[np.uint16]]:
        """Yield further flats, two for each of so many pairs."""
        for i in range(2 * number):
            yield self._flat(self.first_filter, (int(FrameKind.PAIR), i))[0]

    def _flat(self, physical_filter: str, ids: tuple[int, ...]) -> tuple[NDArray[np.uint16], float]:
        level = self.plan.flat_level_electron
        true, told = self._lamp(ids)
        exposure = self.readout.expose(
            self.illumination[physical_filter] * (level * true),
            self.detector,
            FLAT_EXPOSURE_S,
            ids=ids,
            physical_filter=physical_filter,
        )
        return exposure.adu, level * told

    def ramp(self, physical_filter: str) -> Iterator[tuple[NDArray[np.uint16], float]]:
        """Yield pairs of windowed flats of growing exposure time, with their nominal light.

        Levels reach from 3 % to 93 % of the full well; a sixth of them lie beyond it.
        """
        well = self.readout.effects.saturation.full_well_electron
        beyond = max(2, self.plan.ramp_levels // 6)
        levels = np.concatenate(
            [
                np.linspace(0.03, 0.93, self.plan.ramp_levels - beyond),
                np.linspace(1.05, 1.25, beyond),
            ]
        )
        light = self.illumination[physical_filter]
        for i, level in enumerate(np.repeat(levels, 2) * well):
            ids = (int(FrameKind.RAMP), i)
            true, told = self._lamp(ids)
            exposure = self.readout.expose(
                light * (level * true),
                self.detector,
                FLAT_EXPOSURE_S * level / well,
                ids=ids,
                physical_filter=physical_filter,
                window_rows=self.plan.ramp_rows,
            )
            yield exposure.adu, level * told

    def spots(self, physical_filter: str) -> Iterator[NDArray[np.uint16]]:
        """Yield frames with bright discs in each amplifier, none at the same time as another's."""
        layout = self.readout.layout(self.detector)
        scene = spot_scene(layout, 0.65 * self.readout.effects.saturation.full_well_electron)
        for i in range(self.plan.spot_frames):
            yield self.readout.expose(
                scene,
                self.detector,
                SPOT_EXPOSURE_S,
                ids=(int(FrameKind.SPOTS), i),
                physical_filter=physical_filter,
            ).adu

    def _lamp(self, ids: tuple[int, ...]) -> tuple[float, float]:
        """Return the true light of an exposure over the nominal one, and what the monitor says.

        The same for all detectors, which are exposed together.
        """
        rng = generator(self.readout.seed, Stage.LAMP, *ids)
        drift, error = rng.standard_normal(2)
        true = 1 + self.plan.lamp_drift * drift
        return true, true * (1 + self.plan.lamp_monitor_error * error)


def spot_scene(layout: tuple[Channel, ...], peak_electron: float) -> NDArray[np.float64]:
    """Draw soft-edged discs on a grid of cells that the amplifiers take in turn.

    In the order of readout, cell (i, j) of the 8 x 8 cells of a block is bright in amplifier
    (i + 2 j) mod 4 only.
    """
    nx = max(c.data_section[1] for c in layout)
    ny = max(c.data_section[3] for c in layout)
    scene = np.zeros((ny, nx))
    for a, channel in enumerate(layout):
        part = channel.cut(scene)
        cell_y, cell_x = part.shape[0] / SPOT_CELLS, part.shape[1] / SPOT_CELLS
        y, x = np.ogrid[: part.shape[0], : part.shape[1]]
        j, i = (y // cell_y).astype(int), (x // cell_x).astype(int)
        radius = np.hypot((x % cell_x) / cell_x - 0.5, (y % cell_y) / cell_y - 0.5)
        disc = 1 / (1 + np.exp((radius / SPOT_RADIUS_FRACTION - 1) * SPOT_STEEPNESS))
        part[:] = np.where((i + 2 * j) % len(layout) == a, peak_electron * disc, 0.0)
    return scene
