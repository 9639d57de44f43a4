"""What isr found, amplifier by amplifier, for the table ``isr_statistics``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.algorithms.isr.amplifier import AmplifierSignal
    from drpflow.data.calibrations import AmplifierNoise
    from drpflow.data.camera import Detector
    from drpflow.data.mask import Mask

# Planes whose pixels say nothing of the level of the sky.
NO_LEVEL = ("BAD", "SAT", "SUSPECT", "NO_DATA", "CROSSTALK", "UNMASKEDNAN")


def amplifier_statistics(
    image: NDArray[np.float32],
    mask: Mask,
    detector: Detector,
    noise: Mapping[str, AmplifierNoise],
    signals: Sequence[AmplifierSignal],
    offsets: NDArray[np.float64],
) -> dict[str, Any]:
    """Return the columns of the table, a row an amplifier.

    Parameters
    ----------
    image, mask
        The finished detector, electron.
    detector, noise
        Its amplifiers and their properties.
    signals
        What reading the amplifiers gave; none for frames that were detrended already.
    offsets
        Pedestal that was taken off each amplifier, electron.
    """
    read = {a.amp.name: a for a in signals}
    rows = []
    for amp, offset in zip(detector.amplifiers, offsets, strict=True):
        x0, x1, y0, y1 = amp.data_section
        part, flags = image[y0:y1, x0:x1], mask[y0:y1, x0:x1]
        properties = noise[amp.name]
        rows.append(
            {
                "detector": np.int32(detector.id),
                "amplifier": amp.name,
                "gain": properties.gain,
                "read_noise_electron": properties.read_noise_electron,
                "saturation_adu": properties.saturation_adu,
                **_overscan(read.get(amp.name)),
                "amp_offset_electron": float(offset),
                "median_electron": _median(part, flags),
                "bad_fraction": float(flags.any("BAD").mean()),
                "saturated_fraction": float(flags.any("SAT").mean()),
                "suspect_fraction": float(flags.any("SUSPECT").mean()),
                "interpolated_fraction": float(flags.any("INTRP").mean()),
            }
        )
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _overscan(amplifier: AmplifierSignal | None) -> dict[str, Any]:
    """Return what the serial overscan tells; NaN where there is none."""
    nan = float("nan")
    serial = amplifier.serial if amplifier else None
    return {
        "overscan_level_adu": float(np.median(serial.level)) if serial else nan,
        "overscan_sigma_adu": serial.noise_adu if serial else nan,
        "overscan_drift_adu": float(serial.level.std()) if serial else nan,
        "overscan_error_adu": serial.uncertainty_adu if serial else nan,
        "overscan_trailed_rows": np.int32(serial.contaminated.sum() if serial else 0),
        "is_usable": not (amplifier and amplifier.fault),
    }


def _median(image: NDArray[np.float32], mask: Mask) -> float:
    """Return the median of the usable pixels, of every 16th that is."""
    sparse = slice(None, None, 4), slice(None, None, 4)
    values = image[sparse][~mask[sparse].any(NO_LEVEL)]
    return float(np.median(values)) if values.size else float("nan")
