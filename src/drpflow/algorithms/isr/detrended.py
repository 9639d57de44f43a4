"""Variance and mask of frames that someone has detrended already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from drpflow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.data.calibrations import AmplifierNoise
    from drpflow.data.camera import Amplifier, Detector
    from drpflow.data.mask import Mask

_MAD_TO_SIGMA = 1.4826


def electron_per_unit(
    detector: Detector,
    noise: Mapping[str, AmplifierNoise],
    stated: float | None,
    unit: str,
    source: str,
    unit_per_adu: float | None = None,
) -> NDArray[np.float32]:
    """Return the factor that turns a detrended frame into electrons, shape (ny, nx) or (1, 1).

    Parameters
    ----------
    detector, noise
        The detector and its amplifiers' gains.
    stated
        What the config says, electron per unit; None if nothing.
    unit
        Unit of the frame; of one per second, the factor is that of its counts.
    source
        The frame, for messages.
    unit_per_adu
        What one adu was in that unit, where the frame was calibrated.

    Raises
    ------
    InputError
        If the frame is in flux units and neither the config nor the frame states a factor.
    """
    if stated is not None:
        return np.full((1, 1), stated, np.float32)
    unit = unit.removesuffix(" s-1")
    if unit == "electron":
        return np.ones((1, 1), np.float32)
    if unit == "adu":
        unit_per_adu = 1.0
    if unit_per_adu is None:
        raise InputError(
            source,
            f"its pixels are in {unit}, which says nothing of electrons",
            f"Set isr.detrended.electron_per_unit to the electrons in one {unit}, or "
            "unit_per_adu_card in the camera file",
        )
    factor = np.empty(detector.shape, np.float32)
    for amp in detector.amplifiers:
        x0, x1, y0, y1 = amp.data_section
        factor[y0:y1, x0:x1] = noise[amp.name].gain / unit_per_adu
    return factor


def noise_electron(
    image: NDArray[np.float32],
    amplifiers: Sequence[Amplifier],
    read_noise_electron: Sequence[float],
    sky: Literal["kept", "subtracted"],
) -> list[float]:
    """Return the noise that each amplifier's pixels have without any signal of their own.

    Parameters
    ----------
    image
        electron.
    amplifiers, read_noise_electron
        Amplifiers of the detector and the read noise of each.
    sky
        ``"kept"``: the read noise, since the sky is part of the signal. ``"subtracted"``: the
        robust scatter of the pixels, which holds the sky's noise, and at least the read noise.
    """
    if sky == "kept":
        return list(read_noise_electron)
    noises = []
    for amp, floor in zip(amplifiers, read_noise_electron, strict=True):
        x0, x1, y0, y1 = amp.data_section
        values = image[y0:y1, x0:x1]
        values = values[np.isfinite(values)]
        scatter = 0.0
        if values.size:
            scatter = _MAD_TO_SIGMA * float(np.median(np.abs(values - np.median(values))))
        noises.append(max(scatter, floor))
    return noises


def variance_from_weight(
    weight: NDArray[np.float32], electron_per_unit: NDArray[np.float32] | float, mask: Mask
) -> NDArray[np.float32]:
    """Turn an inverse-variance image into a variance in electron².

    Parameters
    ----------
    weight
        Inverse variance, unit-2 of the frame.
    electron_per_unit
        Factor that turned the frame into electrons.
    mask
        Pixels whose weight is not positive become BAD, in place; their variance is NaN.
    """
    usable = np.isfinite(weight) & (weight > 0)
    variance = np.full(weight.shape, np.nan, np.float32)
    np.divide(np.float32(1.0), weight, out=variance, where=usable)
    variance *= np.square(electron_per_unit, dtype=np.float32)
    mask.array[~usable] |= mask.bit("BAD")
    return variance


def mark_given(mask: Mask, given: NDArray[np.integer], planes: Mapping[str, int]) -> None:
    """Translate somebody else's mask image, in place.

    Parameters
    ----------
    mask
        Written to.
    given
        Bits, or flags, of the frame.
    planes
        For each plane, the bits of `given` that mean it; without any, whatever is not zero is
        BAD.
    """
    if not planes:
        mask.array[given != 0] |= mask.bit("BAD")
    for name, bits in planes.items():
        mask.array[(given & bits) != 0] |= mask.bit(name)
