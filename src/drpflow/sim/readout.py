"""The whole detector: expected photo-electrons in, a raw array and the truth behind it out.

Order, which the correction of the data undoes backwards: efficiency of the pixels, photon noise,
moving pixel boundaries while charge collects (:mod:`drpflow.sim.brighter_fatter`), dark current
and cosmic rays, full well and bleeding, serial charge transfer, gain, non-linearity, crosstalk,
bias, read noise, digitisation (:mod:`drpflow.sim.electronics`).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.sim.amplifiers import (
    Channel,
    DetectorShape,
    TrueAmplifiers,
    channels,
    raw_shape,
    slices,
    true_amplifiers,
)
from drpflow.sim.brighter_fatter import ChargeCollection
from drpflow.sim.cosmic_rays import hit_image
from drpflow.sim.cti import transfer
from drpflow.sim.electronics import Amplification
from drpflow.sim.saturation import bleed
from drpflow.sim.sensor import Sensor, build_sensor, filter_response
from drpflow.sim.streams import Stage, generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.sim.detector_config import DetectorEffects

# Fixed patterns kept in memory: four detectors of 1024², one of 4096².
CACHED_PIXELS = 2**22


@dataclass(frozen=True)
class RawExposure:
    """What one detector gave, and what it should have given.

    Attributes
    ----------
    adu
        Raw array with prescan and overscans, uint16.
    truth
        Images of shape (ny, nx), electrons unless said: ``expected`` (incident expectation times
        efficiency), ``photo_electrons`` (the same with photon noise, before charge moves),
        ``dark`` (dark electrons that were collected), ``cosmic_ray``, ``charge`` (what the pixels
        hold when readout begins), ``saturated`` (bool).
    numbers
        Scalars for tables: cosmic-ray hits, saturated pixels, mean bias level of each amplifier.
    """

    adu: NDArray[np.uint16]
    truth: dict[str, NDArray[Any]]
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Assembly:
    """One detector with its fixed patterns."""

    layout: tuple[Channel, ...]
    sensor: Sensor
    true: TrueAmplifiers
    amplification: Amplification
    responses: dict[str, NDArray[np.float32]] = field(default_factory=dict)


class Readout:
    """Turns light into raw arrays, for any detector of an instrument.

    Parameters
    ----------
    effects
        What happens in the detectors.
    seed
        Seed of the simulation.
    """

    def __init__(self, effects: DetectorEffects, seed: int) -> None:
        self.effects = effects
        self.seed = seed
        well = effects.saturation.full_well_electron if effects.saturation.enabled else np.inf
        self._collection = (
            ChargeCollection(effects.brighter_fatter, well)
            if effects.brighter_fatter.enabled
            else None
        )
        self._assemblies: OrderedDict[int, _Assembly] = OrderedDict()

    def layout(self, detector: DetectorShape) -> tuple[Channel, ...]:
        """Return where the amplifiers' pixels go."""
        return channels(detector.size_pix, self.effects.electronics)

    def sensor(self, detector: DetectorShape) -> Sensor:
        """Return the fixed pattern of a detector."""
        return self._assembly(detector).sensor

    def amplifiers(self, detector: DetectorShape) -> TrueAmplifiers:
        """Return the true properties of a detector's amplifiers."""
        return self._assembly(detector).true

    def response(self, detector: DetectorShape, physical_filter: str) -> NDArray[np.float32]:
        """Return the efficiency map of a detector in a filter, shape (ny, nx)."""
        assembly = self._assembly(detector)
        if physical_filter not in assembly.responses:
            shape = assembly.sensor.response.shape
            by_filter = filter_response(
                self.effects.response, shape, self.seed, detector.id, physical_filter
            )
            assembly.responses.clear()
            assembly.responses[physical_filter] = assembly.sensor.response * by_filter
        return assembly.responses[physical_filter]

    def expose(
        self,
        electrons: NDArray[np.float64] | None,
        detector: DetectorShape,
        exposure_time_s: float,
        *,
        ids: Sequence[int],
        physical_filter: str = "",
        window_rows: int | None = None,
    ) -> RawExposure:
        """Expose and read one detector.

        Parameters
        ----------
        electrons
            Expected photo-electrons of the exposure at unit efficiency, shape (ny, nx); None for
            a closed shutter.
        detector
            Which detector.
        exposure_time_s
            Seconds, for dark current and cosmic rays.
        ids
            Numbers that identify the exposure (kind, visit); they seed its noise.
        physical_filter
            Filter, for the efficiency.
        window_rows
            Read only so many rows on each side, next to the registers; the raw array is then as
            that of a smaller detector, and so are the images of the truth.
        """
        assembly = self._assembly(detector)
        window = _window(assembly.sensor.response.shape[0], window_rows)
        truth = self._collect(electrons, detector, exposure_time_s, ids, physical_filter, window)
        numbers = {"cosmic_rays": float(truth.pop("hits"))}
        charge = truth["charge"]
        truth["saturated"] = bleed(
            charge,
            assembly.sensor.full_well_electron[window],
            split_at_midline=self.effects.saturation.split_at_midline,
        )
        numbers["saturated_pixels"] = float(np.count_nonzero(truth["saturated"]))
        layout = channels((charge.shape[1], charge.shape[0]), self.effects.electronics)
        adu, bias = self._read(charge, assembly, layout, ids)
        for channel, rows in zip(layout, bias, strict=True):
            numbers[f"bias_{channel.name}"] = float(rows.mean())
        return RawExposure(adu, truth, numbers)

    def _collect(
        self,
        electrons: NDArray[np.float64] | None,
        detector: DetectorShape,
        exposure_time_s: float,
        ids: Sequence[int],
        physical_filter: str,
        window: slice | NDArray[np.intp],
    ) -> dict[str, Any]:
        """Return the charge in the pixels when the shutter closes, and its parts."""
        sensor = self._assembly(detector).sensor
        dark = self._poisson(
            sensor.dark_electron_s[window] * np.float32(exposure_time_s),
            Stage.DARK_ELECTRONS,
            (detector.id, *ids),
        )
        hits, number = self._cosmic_rays(detector, dark.shape, exposure_time_s, ids)
        truth: dict[str, Any] = {"dark": dark, "cosmic_ray": hits, "hits": number}
        truth["charge"] = dark + hits
        if electrons is not None:
            expected = electrons[window] * self.response(detector, physical_filter)[window]
            arrived = self._poisson(expected, Stage.PHOTONS, (detector.id, *ids))
            truth["expected"] = expected.astype(np.float32)
            truth["photo_electrons"] = arrived
            collect = self._collection
            truth["charge"] += (
                collect.collect(arrived, truth["expected"]) if collect is not None else arrived
            )
        return truth

    def _poisson(
        self, expected: NDArray, stage: Stage, ids: tuple[int, ...]
    ) -> NDArray[np.float32]:
        if not self.effects.photon_noise or not expected.any():
            return expected.astype(np.float32)
        rng = generator(self.seed, stage, *ids)
        return rng.poisson(expected).astype(np.float32)

    def _cosmic_rays(
        self, detector: DetectorShape, shape: tuple[int, ...], exposure_s: float, ids: Sequence[int]
    ) -> tuple[NDArray[np.float32], int]:
        config = self.effects.cosmic_rays
        size = (shape[0], shape[1])
        if not config.enabled:
            return np.zeros(size, np.float32), 0
        rng = generator(self.seed, Stage.COSMIC_RAYS, detector.id, *ids)
        return hit_image(config, size, detector.pixel_size_mm * 1e3, exposure_s, rng)

    def _read(
        self,
        charge: NDArray[np.float32],
        assembly: _Assembly,
        layout: tuple[Channel, ...],
        ids: Sequence[int],
    ) -> tuple[NDArray[np.uint16], NDArray[np.float64]]:
        """Shift the charge out and digitise it; returns the raw array and the bias of the rows."""
        x0, x1, y0, y1 = layout[0].block
        blocks = np.zeros((len(layout), y1 - y0, x1 - x0), np.float32)
        u0, u1, v0, v1 = layout[0].raw_data_section
        for block, channel, loss in zip(blocks, layout, assembly.true.serial_cti, strict=True):
            block[v0:v1, u0:u1] = channel.cut(charge)
            block[:] = transfer(block, loss)
        numbers, bias = assembly.amplification.digitize(blocks, ids)
        raw = np.empty(raw_shape(layout), np.uint16)
        for part, channel in zip(numbers, layout, strict=True):
            raw[slices(channel.block)] = part
        return raw, bias

    def _assembly(self, detector: DetectorShape) -> _Assembly:
        """Return a detector's fixed patterns, keeping those of the last few detectors."""
        if detector.id in self._assemblies:
            self._assemblies.move_to_end(detector.id)
            return self._assemblies[detector.id]
        pixels = detector.size_pix[0] * detector.size_pix[1]
        while self._assemblies and (len(self._assemblies) + 1) * pixels > CACHED_PIXELS:
            self._assemblies.popitem(last=False)
        layout = self.layout(detector)
        x0, x1, y0, y1 = layout[0].block
        true = true_amplifiers(self.effects, detector.id, self.seed)
        amplification = Amplification(
            self.effects.electronics, true, (y1 - y0, x1 - x0), self.seed, detector.id
        )
        sensor = build_sensor(self.effects, detector, self.seed)
        self._assemblies[detector.id] = _Assembly(layout, sensor, true, amplification)
        return self._assemblies[detector.id]


def _window(rows: int, window_rows: int | None) -> slice | NDArray[np.intp]:
    """Return the rows that are read: all, or some next to the lower and the upper edge."""
    if window_rows is None or 2 * window_rows >= rows:
        return slice(None)
    return np.concatenate([np.arange(window_rows), np.arange(rows - window_rows, rows)])
