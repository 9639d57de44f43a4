"""Small look-up tables for tests."""

from __future__ import annotations

import numpy as np

from drpflow.algorithms.fgcm.look_up_table import FilterThroughput, build_look_up_table
from drpflow.data.air import AirState
from drpflow.data.look_up_table import LookUpTable
from drpflow.io.absorption import read_absorption

STANDARD = AirState(pressure_hpa=743.0)
BANDS = {"g": (480.0, 130.0), "r": (620.0, 135.0), "z": (910.0, 100.0)}
DETECTORS = (4, 7, 9)


def bell(center_nm: float, width_nm: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a passband with soft edges."""
    wavelength = np.arange(center_nm - width_nm, center_nm + width_nm + 0.1, 0.5)
    offset = (wavelength - center_nm) / (0.5 * width_nm)
    return wavelength, 0.8 * np.exp(-(offset**8)) * (1 - 0.1 * offset)


def small_table() -> LookUpTable:
    """Return a table of three bands and three detectors, of which two are alike."""
    throughputs = []
    for band, (center, width) in BANDS.items():
        curves = (bell(center, width), bell(center + 2.0, width))
        curve = np.array([0, 1, 0], np.int32)
        throughputs.append(FilterThroughput(f"sim_{band}", band, curves, curve))
    return build_look_up_table(throughputs, DETECTORS, read_absorption(), STANDARD)
