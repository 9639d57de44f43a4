"""One amplifier from raw values to signal above the bias, in the order of readout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.algorithms.isr import saturation
from drpflow.algorithms.isr.overscan import OverscanLevel, parallel_level, serial_level
from drpflow.algorithms.isr.readout import detector_section, raw_section, serial_overscan
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.isr.readout import Raw
    from drpflow.config.isr import OverscanConfig, SaturationConfig
    from drpflow.data.calibrations import AmplifierNoise
    from drpflow.data.camera import Amplifier

    Image = NDArray[np.float32]

# Rows at the end of the image whose level holds for the parallel overscan after them.
_LAST_ROWS = 32


@dataclass(eq=False)
class AmplifierSignal:
    """One amplifier on its way to the assembled detector.

    Parameters
    ----------
    amp, noise
        Its geometry; its gain, read noise and saturation level.
    pixels
        Signal in the order of readout, C-contiguous; adu above the bias, later electron.
    saturated, suspect
        The same pixels, True where they are.
    serial
        Level of its rows; None without a serial overscan.
    fault
        Why it cannot be used; empty if it can.
    """

    amp: Amplifier
    noise: AmplifierNoise
    pixels: Image
    saturated: NDArray[np.bool_]
    suspect: NDArray[np.bool_]
    serial: OverscanLevel | None
    fault: str = ""


def read_amplifier(
    raw: Raw,
    amp: Amplifier,
    noise: AmplifierNoise,
    bias: Image | None,
    *,
    overscan: OverscanConfig,
    levels: SaturationConfig,
    max_read_noise_electron: float,
) -> AmplifierSignal:
    """Take the bias off an amplifier and flag what exceeds its range.

    Parameters
    ----------
    raw
        Raw pixels, adu.
    amp, noise
        The amplifier.
    bias
        Bias structure of the assembled detector, adu; None for none.
    overscan, levels
        Config sections.
    max_read_noise_electron
        An amplifier whose overscan is noisier has a fault.
    """
    pixels = raw_section(raw, amp, amp.raw_data_section).astype(np.float32, order="C")
    constant = not np.nanmin(pixels, initial=np.inf) < np.nanmax(pixels, initial=-np.inf)
    fault = "dead" if constant else ""
    try:
        serial = _serial(raw, amp, overscan)
    except AlgorithmError as error:
        serial, fault = None, fault or error.message
    saturated, suspect = saturation.flag_levels(
        pixels,
        overscan.pedestal_adu if serial is None else float(np.median(serial.level)),
        noise.saturation_adu,
        adc_maximum_adu=levels.adc_maximum_adu,
        suspect_fraction=levels.suspect_fraction,
    )
    if saturated.all():
        fault = "saturated"
    if serial is None:
        pixels -= np.float32(overscan.pedestal_adu)
    else:
        pixels -= serial.level.astype(np.float32)[:, None]
        suspect[serial.contaminated] = True
        measured = serial.noise_adu * noise.gain
        if measured > max_read_noise_electron:
            fault = fault or f"too noisy: {measured:.1f} electrons in the overscan"
    _subtract_parallel(pixels, suspect, raw, amp, serial, overscan)
    if bias is not None:
        pixels -= detector_section(bias, amp)
    _mark_edge_bleed(pixels, saturated, levels)
    return AmplifierSignal(amp, noise, pixels, saturated, suspect, serial, fault)


def _mark_edge_bleed(pixels: Image, saturated: NDArray[np.bool_], levels: SaturationConfig) -> None:
    """Set rows that a bleed has spoilt at the register as saturated, in place."""
    rows = saturation.edge_bleed_rows(
        pixels,
        saturated,
        min_columns=levels.edge_bleed_min_columns,
        sigma=levels.edge_bleed_sigma,
        max_rows=levels.edge_bleed_max_rows,
    )
    saturated[:rows] = True


def _serial(raw: Raw, amp: Amplifier, overscan: OverscanConfig) -> OverscanLevel | None:
    """Return the level of the imaging rows, or None if there is none to be had."""
    pixels = serial_overscan(raw, amp, amp.raw_data_section[2:])
    if pixels is None or overscan.serial.method == "none":
        return None
    return serial_level(pixels, **overscan.serial.model_dump())


def _subtract_parallel(
    pixels: Image,
    suspect: NDArray[np.bool_],
    raw: Raw,
    amp: Amplifier,
    serial: OverscanLevel | None,
    overscan: OverscanConfig,
) -> None:
    """Subtract the level of the columns, in place; columns that bled become suspect."""
    if overscan.parallel.method == "none" or amp.raw_parallel_overscan is None:
        return
    last = raw_section(raw, amp, amp.raw_parallel_overscan)
    base = overscan.pedestal_adu if serial is None else float(serial.level[-_LAST_ROWS:].mean())
    level = parallel_level(last - np.float32(base), **overscan.parallel.model_dump())
    pixels -= level.level.astype(np.float32)
    suspect[:, level.contaminated] = True
