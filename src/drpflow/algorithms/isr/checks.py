"""Checks of what isr is given, each fault told in one sentence with its remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.errors import AlgorithmError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from drpflow.algorithms.isr.readout import Raw
    from drpflow.config.isr import SerialOverscanConfig
    from drpflow.data.calibrations import Calibrations
    from drpflow.data.camera import Amplifier, Detector


def check_required(
    calibrations: Calibrations, required: Iterable[str], detector: Detector, physical_filter: str
) -> None:
    """Check that the calibrations that the config requires are there.

    Raises
    ------
    InputError
        Naming the kind, the detector and the filter, and what to add.
    """
    for kind in required:
        if calibrations.get(kind) is None:
            of_filter = f" in filter {physical_filter}" if kind == "flat" else ""
            raise InputError(
                "calibrations.tsv",
                f"there is no {kind} for detector {detector.id}{of_filter}",
                f"Add a row of kind {kind} for it, or take {kind} out of isr.required in the "
                "config, or set isr.input to detrended if the frames are",
            )


def check_exposure_time(exposure_time_s: float | None, visit: int) -> float:
    """Return the exposure time.

    Raises
    ------
    InputError
        If it is not known, since dark current goes with it.
    """
    if exposure_time_s is None:
        raise InputError(
            "visits.tsv",
            f"visit {visit} has no exposure_time_s, which the dark current needs",
            "Fill the column in, or add dark to isr.skip in the config",
        )
    return exposure_time_s


def check_raw_unit(unit: str, source: str) -> None:
    """Check that a raw frame is in adu.

    Raises
    ------
    InputError
        If it is not.
    """
    if unit != "adu":
        raise InputError(
            source,
            f"its pixels are in {unit}, but a raw frame is in adu",
            "Correct raw_unit in the camera file, or set isr.input to detrended",
        )


def check_raw(raw: Raw, detector: Detector, source: str) -> None:
    """Check that a raw frame has the pixels that the camera file speaks of.

    Raises
    ------
    InputError
        If an amplifier is missing, a section reaches beyond the array, the array has another
        size than the camera file says, or all pixels are NaN.
    """
    remedy = f"Correct detector {detector.id} of the camera file, or take the frame off the sheet"
    for amp in detector.amplifiers:
        if not isinstance(raw, np.ndarray) and amp.name not in raw:
            raise InputError(source, f"amplifier {amp.name} is missing", remedy)
        array = raw if isinstance(raw, np.ndarray) else raw[amp.name]
        right, top = _extent(amp)
        if right > array.shape[1] or top > array.shape[0]:
            problem = (
                f"the raw array is {_size(array)}, but amplifier {amp.name} reaches to column "
                f"{right} and row {top}"
            )
            raise InputError(source, problem, remedy)
    size = detector.raw_size_pix
    if size and isinstance(raw, np.ndarray) and raw.shape != size[::-1]:
        problem = f"the raw array is {_size(raw)}, not {size[0]} x {size[1]} pixels"
        raise InputError(source, problem, remedy)
    if not any(np.isfinite(a).any() for a in _arrays(raw)):
        problem = "all pixels are NaN"
        raise InputError(source, problem, "Replace the frame, or take it off the sheet")


def check_detrended(image: Raw, detector: Detector, source: str) -> np.ndarray:
    """Return a detrended image if it has the detector's shape.

    Raises
    ------
    InputError
        If it has not, or all pixels are NaN.
    """
    if not isinstance(image, np.ndarray) or image.shape != detector.shape:
        shape = _size(image) if isinstance(image, np.ndarray) else f"{len(image)} arrays"
        raise InputError(
            source,
            f"the detrended image is {shape}, but detector {detector.id} has "
            f"{detector.size_pix[0]} x {detector.size_pix[1]} pixels",
            "Correct size_pix in the camera file, or set isr.input to raw",
        )
    if not np.isfinite(image).any():
        problem = "all pixels are NaN"
        raise InputError(source, problem, "Replace the frame, or take it off the sheet")
    return image


def check_overscan(detector: Detector, serial: SerialOverscanConfig) -> None:
    """Check that the config leaves enough columns of the serial overscan.

    Raises
    ------
    InputError
        If fewer than two are left of any amplifier's.
    """
    if serial.method == "none":
        return
    for amp in detector.amplifiers:
        if amp.raw_serial_overscan is None:
            continue
        width = amp.raw_serial_overscan[1] - amp.raw_serial_overscan[0]
        if width - serial.skip_leading - serial.skip_trailing < 2:
            raise InputError(
                "isr.overscan.serial",
                f"skip_leading {serial.skip_leading} and skip_trailing {serial.skip_trailing} "
                f"leave fewer than 2 of the {width} overscan columns of amplifier {amp.name}",
                "Make them smaller",
            )


def unusual(
    faults: Mapping[str, str], statistics: Mapping[str, np.ndarray], max_sky_fraction: float
) -> AlgorithmError | None:
    """Return what the observer should know of a frame that can be used in spite of it.

    Parameters
    ----------
    faults
        Amplifiers without data, by name, that the calibrations do not know as bad: why.
    statistics
        The table ``isr_statistics``.
    max_sky_fraction
        Largest part of an amplifier's range that the level of the sky may take.
    """
    n_amplifiers = len(statistics["amplifier"])
    range_electron = statistics["saturation_adu"] * statistics["gain"]
    known = np.isfinite(statistics["median_electron"])
    parts = (statistics["median_electron"] / range_electron)[known]
    part = float(np.median(parts)) if parts.size else 0.0
    numbers = {"faulty_amplifiers": len(faults), "sky_fraction": part}
    told, hints = [], []
    if faults:
        each = ", ".join(f"{name} ({fault})" for name, fault in faults.items())
        told.append(f"{len(faults)} of {n_amplifiers} amplifiers are lost: {each}")
        hints.append("defects would name amplifiers that are always bad")
    if part > max_sky_fraction:
        told.append(f"the level of the sky takes {part:.0%} of the range of the amplifiers")
        hints.append("isr.max_sky_fraction is the limit")
    return AlgorithmError("; ".join(told), numbers, "; ".join(hints)) if told else None


def _extent(amp: Amplifier) -> tuple[int, int]:
    """Return the raw column and row that an amplifier's sections end before."""
    sections = [
        s for s in (amp.raw_data_section, amp.raw_serial_overscan, amp.raw_parallel_overscan) if s
    ]
    return max(s[1] for s in sections), max(s[3] for s in sections)


def _arrays(raw: Raw) -> list[np.ndarray]:
    return [raw] if isinstance(raw, np.ndarray) else list(raw.values())


def _size(array: np.ndarray) -> str:
    return " x ".join(str(n) for n in array.shape[::-1]) + " pixels"
