"""Detectors for the tests of the detector simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from drpflow.sim.detector_config import DetectorEffects
from drpflow.sim.instrument import SimDetector
from drpflow.sim.readout import Readout

SEED = 7


def square(size: int = 64, number: int = 1) -> SimDetector:
    """Return a detector of so many pixels along each side."""
    return SimDetector(number, f"S{number:02d}", (size, size), (0.0, 0.0), 0.0, 0.015)


def only(**changes: dict[str, Any]) -> DetectorEffects:
    """Return detectors that have no effect but those given, by the section's name."""
    values = DetectorEffects.none().model_dump()
    for section, change in changes.items():
        _overlay(values[section], change)
    return DetectorEffects.model_validate(values)


def _overlay(values: dict[str, Any], change: dict[str, Any]) -> None:
    for key, value in change.items():
        if isinstance(value, dict):
            _overlay(values[key], value)
        else:
            values[key] = value


def flat_frame(
    effects: DetectorEffects, level: float = 20000.0, seed: int = SEED, size: int = 64
) -> NDArray[np.uint16]:
    """Return the raw frame of a flat in the filter g."""
    light = np.full((size, size), level)
    readout = Readout(effects, seed)
    return readout.expose(light, square(size), 30.0, ids=(0, 1), physical_filter="g").adu
