"""The calibrations of a camera, made from finite, noisy frames as an observatory makes them.

Order, each with the help of those before: bias and noise; crosstalk from bright spots;
linearity, saturation and charge transfer from a ramp of exposure times; gain from the pairs of
that ramp; dark; flats; defects. Then, for the whole camera: the brighter-fatter kernel of the
type of sensor from the flat pairs of all detectors, and the level of the flats.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.calibration_covariance import (
    Covariances,
    brighter_fatter_kernel,
    correct,
    pair_covariances,
    sum_covariances,
)
from drpflow.sim.calibration_crosstalk import measure_crosstalk
from drpflow.sim.calibration_lamps import CalibrationFrames
from drpflow.sim.calibration_ptc import (
    CurvePoint,
    PhotonTransfer,
    fit_photon_transfer,
    pair_statistics,
)
from drpflow.sim.calibration_ramp import (
    RampPair,
    Saturation,
    inner_part,
    linear_pair,
    measure_linearizers,
    measure_saturation,
    measure_serial_cti,
    reduce_pairs,
)
from drpflow.sim.calibration_reduction import Linearizer, Reduction
from drpflow.sim.calibration_stacks import (
    BiasMeasurement,
    FoundDefect,
    Master,
    combine_biases,
    combine_darks,
    combine_flats,
    find_defects,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.sim.amplifiers import DetectorShape
    from drpflow.sim.detector_config import CalibrationPlan
    from drpflow.sim.readout import Readout


@dataclass(frozen=True)
class DetectorCalibrations:
    """Everything measured for one detector.

    Attributes
    ----------
    detector_id
        Which detector.
    amplifiers
        Names, in the order of all arrays by amplifier.
    bias
        Structure above the overscan, adu; detector image.
    dark
        electron s-1.
    flats
        By filter. Before :func:`finish_camera` in electrons per electron of light, after it
        relative to the camera.
    defects, photon_transfer, saturation_adu, linearizers, crosstalk, serial_cti
        As their names say.
    covariances
        Sums over flat pairs.
    flat_level_electron
        Light of the flat frames.
    kernel
        Brighter-fatter kernel; None before :func:`finish_camera`.
    """

    detector_id: int
    amplifiers: tuple[str, ...]
    bias: Master
    dark: Master
    flats: Mapping[str, Master]
    defects: tuple[FoundDefect, ...]
    photon_transfer: PhotonTransfer
    saturation_adu: NDArray[np.float64]
    linearizers: tuple[Linearizer, ...]
    crosstalk: NDArray[np.float64]
    serial_cti: NDArray[np.float64]
    covariances: Covariances
    flat_level_electron: float
    kernel: NDArray[np.float64] | None = None


def calibrate_detector(
    readout: Readout,
    detector: DetectorShape,
    illumination: Mapping[str, NDArray[np.float64]],
    detectors: int = 1,
) -> DetectorCalibrations:
    """Take the calibration frames of one detector and reduce them.

    Parameters
    ----------
    readout
        The detectors.
    detector
        Which one.
    illumination
        Light of the flat-field screen by filter, shape (ny, nx), 1 at the camera's median.
    detectors
        How many detectors share the flat pairs for the brighter-fatter kernel.
    """
    frames = CalibrationFrames(readout, detector, illumination)
    plan = frames.plan
    layout = readout.layout(detector)
    bias = combine_biases(frames.biases(), Reduction(layout))
    known = Reduction(layout, bias=bias.blocks, overscan_bias=bias.overscan)
    known = replace(known, crosstalk=measure_crosstalk(frames.spots(frames.first_filter), known))
    ramp = reduce_pairs(frames.ramp(frames.first_filter), known)
    saturation = measure_saturation(ramp, bias.level_adu)
    known = replace(known, linearizers=measure_linearizers(ramp, saturation))
    ramp = [linear_pair(pair, known) for pair in ramp]
    cti = measure_serial_cti(ramp, saturation, layout[0].prescan_pix)
    known = replace(known, serial_cti=cti)
    # The flats of the first filter are needed before the gain is known, and once more after.
    blocks = [(known.blocks(raw), told) for raw, told in frames.flats(frames.first_filter)]
    transfer = _photon_transfer(known, ramp, [b for b, _ in blocks], saturation, bias)
    known = replace(known, gain=transfer.gain)
    noise = float(np.sqrt(np.mean(transfer.read_noise**2)))
    dark = combine_darks(frames.darks(), plan.dark_exposure_s, known, noise)
    flats, covariances = _flats(frames, known, blocks, noise, detectors)
    return DetectorCalibrations(
        detector_id=detector.id,
        amplifiers=tuple(c.name for c in layout),
        bias=bias.master(layout),
        dark=dark,
        flats=flats,
        defects=find_defects(flats, dark),
        photon_transfer=transfer,
        saturation_adu=saturation.level_adu,
        linearizers=known.linearizers or (),
        crosstalk=np.asarray(known.crosstalk),
        serial_cti=cti,
        covariances=covariances,
        flat_level_electron=plan.flat_level_electron,
    )


def _photon_transfer(
    known: Reduction,
    ramp: Sequence[RampPair],
    flats: Sequence[NDArray[np.float32]],
    saturation: Saturation,
    bias: BiasMeasurement,
) -> PhotonTransfer:
    """Fit the photon-transfer curve to the ramp and to flat pairs of one level."""
    for pair in ramp:
        for signal in pair.signal:
            known.restore(signal)
    points = [
        CurvePoint(pair_statistics(pair.inner), usable)
        for pair, usable in zip(ramp, saturation.usable, strict=True)
    ]
    always = np.ones(len(saturation.level_adu), bool)
    points += [
        CurvePoint(pair_statistics(inner_part(np.stack([first, second]))), always)
        for first, second in zip(flats[::2], flats[1::2], strict=False)
    ]
    return fit_photon_transfer(points, saturation.level_adu, bias.noise_adu)


def _flats(
    frames: CalibrationFrames,
    known: Reduction,
    first_blocks: list[tuple[NDArray[np.float32], float]],
    noise: float,
    detectors: int,
) -> tuple[dict[str, Master], Covariances]:
    """Average the flats of each filter; correlate their pairs, and more pairs if need be."""
    flats, covariances = {}, []
    for physical_filter in frames.illumination:
        if physical_filter == frames.first_filter:
            light = [told for _, told in first_blocks]
            images = [known.assembled(first_blocks.pop(0)[0]) for _ in light]
        else:
            taken = [(known.image(raw), told) for raw, told in frames.flats(physical_filter)]
            images, light = [image for image, _ in taken], [told for _, told in taken]
        covariances += [
            pair_covariances(a, b, noise) for a, b in zip(images[::2], images[1::2], strict=False)
        ]
        flats[physical_filter] = combine_flats(images, light, noise)
    more = extra_pairs(frames.plan, frames.detector, len(covariances), detectors)
    images_of_pairs = (known.image(raw) for raw in frames.pairs(more))
    for first, second in zip(images_of_pairs, images_of_pairs, strict=True):
        covariances.append(pair_covariances(first, second, noise))
    return flats, sum_covariances(covariances)


def extra_pairs(plan: CalibrationPlan, detector: DetectorShape, taken: int, detectors: int) -> int:
    """Return how many flat pairs a detector still needs for the brighter-fatter kernel."""
    megapixels = detector.size_pix[0] * detector.size_pix[1] / 1e6
    needed = int(np.ceil(plan.pair_megapixels / detectors / megapixels))
    return max(0, min(needed, plan.most_pairs) - taken)


def finish_camera(parts: Sequence[DetectorCalibrations]) -> list[DetectorCalibrations]:
    """Make what needs all detectors: the brighter-fatter kernel and the level of the flats.

    The kernel is one for the type of sensor. Flats are freed of the effect, which blurs the
    pixel-to-pixel response, and divided by their median over the camera in each filter.
    """
    kernel = brighter_fatter_kernel(sum_covariances([p.covariances for p in parts]))
    sharp = [
        {name: _unblur(flat, kernel, part) for name, flat in part.flats.items()} for part in parts
    ]
    levels = {
        name: float(np.median(np.concatenate([flats[name].image.ravel() for flats in sharp])))
        for name in sharp[0]
    }
    return [
        replace(
            part,
            flats={name: flat.divided(levels[name]) for name, flat in flats.items()},
            kernel=kernel,
        )
        for part, flats in zip(parts, sharp, strict=True)
    ]


def _unblur(flat: Master, kernel: NDArray[np.float64], part: DetectorCalibrations) -> Master:
    """Correct a flat at the level at which its frames were taken."""
    level = np.float32(part.flat_level_electron)
    return replace(flat, image=correct(flat.image * level, kernel) / level)
