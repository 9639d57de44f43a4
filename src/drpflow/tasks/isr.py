"""isr: raw frame to detrended image in electrons, with variance and mask.

The physics of a CCD is undone backwards, the last thing that happened first::

    raw adu -> overscan, saturation flags -> bias structure -> crosstalk -> linearity, gain
    -> serial charge transfer -> assembly -> dark current -> brighter-fatter -> variance
    -> flat -> amplifier offsets -> interpolation

``docs/tasks/isr.md`` has equations, parameters, costs and references.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.algorithms.binning import bin_exposure
from drpflow.algorithms.isr import detrended
from drpflow.algorithms.isr.amp_offset import match_amplifiers
from drpflow.algorithms.isr.amplifier import AmplifierSignal, read_amplifier
from drpflow.algorithms.isr.assembly import assemble
from drpflow.algorithms.isr.brighter_fatter import correct_brighter_fatter
from drpflow.algorithms.isr.checks import (
    check_detrended,
    check_exposure_time,
    check_overscan,
    check_raw,
    check_raw_unit,
    check_required,
    unusual,
)
from drpflow.algorithms.isr.context import FrameContext
from drpflow.algorithms.isr.crosstalk import ghosts_of_saturation, remove_crosstalk
from drpflow.algorithms.isr.cti import restore_serial_charge
from drpflow.algorithms.isr.dark import subtract_dark
from drpflow.algorithms.isr.defects import mark_defects, mark_unusable
from drpflow.algorithms.isr.dequantize import dequantize
from drpflow.algorithms.isr.flat import divide_flat
from drpflow.algorithms.isr.interpolate import interpolate
from drpflow.algorithms.isr.linearity import linearize, nonlinearity
from drpflow.algorithms.isr.readout import cells_before
from drpflow.algorithms.isr.saturation import grow
from drpflow.algorithms.isr.statistics import NO_LEVEL, amplifier_statistics
from drpflow.algorithms.isr.variance import calibration_variance, poisson_and_read_noise
from drpflow.data.calibrations import AmplifierNoise, Calibrations, amplifier_noise
from drpflow.data.detector_info import DetectorInfo
from drpflow.data.exposure import Exposure
from drpflow.data.lost_exposure import lost_exposure
from drpflow.data.mask import Mask
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.algorithms.isr.readout import Raw
    from drpflow.config.isr import IsrConfig
    from drpflow.data.camera import Detector
    from drpflow.data.visit_info import VisitInfo

    Image = NDArray[np.float32]


_THUMBNAIL_SIDE_PIX = 256


@dataclass(frozen=True)
class IsrResult:
    """What isr makes of a frame.

    Parameters
    ----------
    exposure
        Image [electron], variance and mask; components ``detector``, ``visit_info`` and, where it
        is known, ``wcs``.
    statistics
        Columns of the table ``isr_statistics``, a row an amplifier.
    numbers
        Figures for the status file.
    problem
        What the observer should know of the frame, if anything.
    """

    exposure: Exposure
    statistics: dict[str, Any]
    numbers: dict[str, float | int | str]
    problem: AlgorithmError | None = None


@dataclass(eq=False)
class _Planes:
    """The assembled detector while it is worked on, and what was found on the way."""

    image: Image
    variance: Image
    mask: Mask
    amplifiers: list[AmplifierSignal] = field(default_factory=list)
    numbers: dict[str, float | int | str] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    """By amplifier, of those that the calibrations do not know as bad."""


def isr(
    raw: Raw,
    detector: Detector,
    visit_info: VisitInfo,
    calibrations: Calibrations,
    config: IsrConfig,
    context: FrameContext | None = None,
) -> IsrResult:
    """Remove the signature of the instrument from one detector's frame.

    Parameters
    ----------
    raw
        Raw pixels of all amplifiers, or an array for each amplifier's name, adu; changed in
        place if `config` asks for dequantisation. With ``input: detrended`` the assembled
        image.
    detector
        The camera's description of it.
    visit_info
        Exposure time, filter and visit.
    calibrations
        What there is.
    config
        The section ``isr``.
    context
        What else is known of the frame.

    Raises
    ------
    InputError
        If a required calibration is missing, or the frame does not fit the camera.
    AlgorithmError
        If no amplifier is usable, or the brighter-fatter iteration does not converge.
    """
    context = context or FrameContext()
    known = calibrations.without(config.skip)
    noise = amplifier_noise(detector, known.ptc)
    if config.input == "detrended":
        planes = _complete(raw, detector, visit_info, noise, config, context)
    else:
        check_raw_unit(context.unit, context.source)
        check_required(known, config.required, detector, visit_info.physical_filter)
        check_overscan(detector, config.overscan.serial)
        check_raw(raw, detector, context.source)
        planes = _from_raw(raw, detector, visit_info, noise, known, config)
    offsets = _finish(planes, detector, config)
    statistics = amplifier_statistics(
        planes.image, planes.mask, detector, noise, planes.amplifiers, offsets
    )
    exposure = _exposure(planes, detector, visit_info, context)
    problem = unusual(planes.faults, statistics, config.max_sky_fraction)
    return IsrResult(exposure, statistics, planes.numbers, problem)


def _from_raw(
    raw: Raw,
    detector: Detector,
    visit_info: VisitInfo,
    noise: Mapping[str, AmplifierNoise],
    known: Calibrations,
    config: IsrConfig,
) -> _Planes:
    """Undo what the instrument did, from raw values to electrons over the flat."""
    exposure_time_s = 0.0
    if known.dark is not None:
        exposure_time_s = check_exposure_time(visit_info.exposure_time_s, visit_info.visit)
    if config.dequantize:
        rng = np.random.default_rng([config.seed, visit_info.visit, detector.id])
        for array in [raw] if isinstance(raw, np.ndarray) else raw.values():
            dequantize(array, rng)
    planes = _assemble(_read(raw, detector, noise, known, config), detector, known, config)
    _detrend(planes, detector, noise, known, exposure_time_s, config)
    return planes


def _exposure(
    planes: _Planes, detector: Detector, visit_info: VisitInfo, context: FrameContext
) -> Exposure:
    return Exposure(
        planes.image,
        planes.mask,
        planes.variance,
        unit="electron",
        components={
            "wcs": context.wcs,
            "visit_info": visit_info,
            "detector": DetectorInfo(detector, visit_info.instrument),
        },
        missing=context.missing,
    )


def _read(
    raw: Raw,
    detector: Detector,
    noise: Mapping[str, AmplifierNoise],
    known: Calibrations,
    config: IsrConfig,
) -> list[AmplifierSignal]:
    """Return the amplifiers' signals above the bias.

    Raises
    ------
    AlgorithmError
        If no amplifier is usable.
    """
    amplifiers = [
        read_amplifier(
            raw,
            amp,
            noise[amp.name],
            known.bias.data if known.bias else None,
            overscan=config.overscan,
            levels=config.saturation,
            max_read_noise_electron=config.max_read_noise_electron,
        )
        for amp in detector.amplifiers
    ]
    if all(a.fault for a in amplifiers):
        first = amplifiers[0]
        raise AlgorithmError(
            f"no amplifier is usable: {first.amp.name} is {first.fault}",
            {"amplifiers": len(amplifiers)},
            "Look at the raw frame; isr.max_read_noise_electron limits the noise",
        )
    return amplifiers


def _assemble(
    amplifiers: list[AmplifierSignal], detector: Detector, known: Calibrations, config: IsrConfig
) -> _Planes:
    """Turn amplifiers into electrons, in place, and put them together with their flags."""
    ghosts = [np.zeros_like(a.saturated) for a in amplifiers]
    if known.crosstalk is not None:
        crosstalk = known.crosstalk.ordered(tuple(a.amp.name for a in amplifiers))
        remove_crosstalk([a.pixels for a in amplifiers], crosstalk)
        ghosts = ghosts_of_saturation(
            [a.saturated for a in amplifiers],
            crosstalk,
            np.array([a.noise.saturation_adu for a in amplifiers]),
            config.crosstalk.mask_sigma
            * np.array([a.noise.read_noise_electron / a.noise.gain for a in amplifiers]),
        )
    for a in amplifiers:
        curve = None
        if known.linearizer is not None:
            given = known.linearizer.amplifiers[a.amp.name]
            curve = nonlinearity(
                given.node_adu, given.correction_adu, config.linearizer.interpolation
            )
            # Nothing was measured beyond the last node.
            a.suspect |= a.pixels > np.float32(given.node_adu[-1])
        linearize(a.pixels, curve, a.noise.gain)
        if known.cti is not None:
            restore_serial_charge(
                a.pixels, known.cti.serial[a.amp.name], cells_before(a.amp, detector)
            )
    mask = Mask.zeros(detector.shape)
    for plane, flags in (
        ("SAT", [a.saturated for a in amplifiers]),
        ("SUSPECT", [a.suspect for a in amplifiers]),
        ("CROSSTALK", ghosts),
    ):
        mask.set(plane, assemble(flags, detector))
    image = assemble([a.pixels for a in amplifiers], detector)
    for a in amplifiers:
        a.pixels = image[:0]  # their memory is needed
    return _Planes(image, image[:0], mask, amplifiers)


def _detrend(
    planes: _Planes,
    detector: Detector,
    noise: Mapping[str, AmplifierNoise],
    known: Calibrations,
    exposure_time_s: float,
    config: IsrConfig,
) -> None:
    """Dark current, brighter-fatter, defects, variance and flat, in place."""
    image, mask = planes.image, planes.mask
    gain = [noise[amp.name].gain for amp in detector.amplifiers]
    extra = calibration_variance(
        detector.shape,
        detector.amplifiers,
        gain,
        bias_variance=known.bias.variance if known.bias else None,
        dark_variance=known.dark.variance if known.dark else None,
        exposure_time_s=exposure_time_s,
    )
    if known.dark is not None:
        subtract_dark(image, known.dark.data, exposure_time_s, extra)
    if known.defects is not None:
        mark_defects(mask, known.defects)
    if known.brighter_fatter is not None:
        planes.numbers |= _brighter_fatter(image, mask, known, config)
    planes.variance = poisson_and_read_noise(
        image,
        detector.amplifiers,
        # Dequantising adds the variance of one digitisation step.
        [
            float(np.hypot(noise[a.name].read_noise_electron, g * config.dequantize / 12**0.5))
            for a, g in zip(detector.amplifiers, gain, strict=True)
        ],
        floor_fraction=config.variance.floor_fraction,
        extra=extra,
    )
    if known.flat is not None:
        divide_flat(
            image,
            planes.variance,
            mask,
            known.flat.data,
            flat_variance=known.flat.variance,
            minimum=config.flat.minimum,
            maximum=config.flat.maximum,
        )


def _brighter_fatter(
    image: Image, mask: Mask, known: Calibrations, config: IsrConfig
) -> dict[str, float | int]:
    assert known.brighter_fatter is not None
    fit = correct_brighter_fatter(
        image,
        known.brighter_fatter.kernel,
        # What bled was not there while light fell: full pixels count as bad, too.
        bad=mask.any(("BAD", "SAT", "NO_DATA")),
        threshold_electron=config.brighter_fatter.threshold_electron,
        max_iterations=config.brighter_fatter.max_iterations,
    )
    if not fit.converged:
        raise AlgorithmError(
            "the brighter-fatter correction does not converge",
            {"iterations": fit.iterations, "change_electron": fit.change_electron},
            "Check the kernel's scale, or raise isr.brighter_fatter.max_iterations",
        )
    return {"brighter_fatter_iterations": fit.iterations}


def _complete(
    frame: Raw,
    detector: Detector,
    visit_info: VisitInfo,
    noise: Mapping[str, AmplifierNoise],
    config: IsrConfig,
    context: FrameContext,
) -> _Planes:
    """Make variance and mask of a frame that is detrended already."""
    image = check_detrended(frame, detector, context.source)
    factor = detrended.electron_per_unit(
        detector,
        noise,
        config.detrended.electron_per_unit,
        context.unit,
        context.source,
        context.unit_per_adu,
    )
    if context.unit.endswith(" s-1"):
        factor *= np.float32(check_exposure_time(visit_info.exposure_time_s, visit_info.visit))
    image = (image - np.float32(context.pedestal)) * factor
    mask = Mask.zeros(detector.shape)
    if context.mask is not None:
        bits = {str(name): value for name, value in config.detrended.mask_planes.items()}
        detrended.mark_given(mask, context.mask, bits)
    for amp in detector.amplifiers:
        x0, x1, y0, y1 = amp.data_section
        limit = noise[amp.name].saturation_adu * noise[amp.name].gain
        mask.array[y0:y1, x0:x1][image[y0:y1, x0:x1] >= limit] |= mask.bit("SAT")
    if context.weight is not None:
        return _Planes(image, detrended.variance_from_weight(context.weight, factor, mask), mask)
    noises = detrended.noise_electron(
        image,
        detector.amplifiers,
        [noise[a.name].read_noise_electron for a in detector.amplifiers],
        config.detrended.sky,
    )
    variance = poisson_and_read_noise(
        image, detector.amplifiers, noises, floor_fraction=config.variance.floor_fraction
    )
    return _Planes(image, variance, mask)


def _finish(planes: _Planes, detector: Detector, config: IsrConfig) -> NDArray[np.float64]:
    """Blank faulty amplifiers, match the others, grow and fill masks; return the pedestals."""
    image, variance, mask = planes.image, planes.variance, planes.mask
    for a in planes.amplifiers:
        if a.fault:
            x0, x1, y0, y1 = a.amp.data_section
            box = slice(y0, y1), slice(x0, x1)
            if not mask[box].any("BAD").all():
                planes.faults[a.amp.name] = a.fault
            image[box] = np.nan
            variance[box] = np.nan
            mask.array[box] |= mask.bit(("BAD", "NO_DATA"))
            planes.numbers[f"fault_{a.amp.name}"] = a.fault
    grow(mask.array, mask.bit("SAT"), config.saturation.grow_pix)
    mark_unusable(image, variance, mask)
    offsets = np.zeros(len(detector.amplifiers))
    if config.amp_offset.enabled:
        offsets = match_amplifiers(
            image,
            mask.any(NO_LEVEL),
            detector.amplifiers,
            strip_pix=config.amp_offset.strip_pix,
            inset_pix=config.amp_offset.inset_pix,
            min_unmasked_fraction=config.amp_offset.min_unmasked_fraction,
            max_offset=config.amp_offset.max_offset_electron,
        )
    planes.numbers["interpolated_pixels"] = interpolate(
        image,
        variance,
        mask,
        config.interpolation.planes,
        max_gap_pix=config.interpolation.max_gap_pix,
    )
    return offsets


def failed_exposure(detector: Detector, visit_info: VisitInfo | None, reason: str) -> Exposure:
    """Return the complete form of an exposure whose isr failed: NaN, NO_DATA everywhere.

    Parameters
    ----------
    detector
        Gives the shape.
    visit_info
        The visit, if its metadata can be read.
    reason
        Why the other components are missing.
    """
    return lost_exposure(detector, visit_info, reason, ("wcs",))


def make_thumbnail(exposure: Exposure) -> Exposure:
    """Return the exposure in at most 256 blocks of pixels a side, for people to look at."""
    return bin_exposure(exposure, _THUMBNAIL_SIDE_PIX, ("NO_DATA", "UNMASKEDNAN"))
