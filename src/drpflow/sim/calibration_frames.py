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

from drpflow.sim.amplifiers import assemble
from drpflow.sim.calibration_covariance import (
    Covariances,
    brighter_fatter_kernel,
    correct,
    pair_covariances,
)
from drpflow.sim.calibration_crosstalk import measure_crosstalk
from drpflow.sim.calibration_lamps import CalibrationFrames
from drpflow.sim.calibration_ramp import (
    PhotonTransfer,
    RampPair,
    Saturation,
    measure_linearizers,
    measure_photon_transfer,
    measure_saturation,
    measure_serial_cti,
    reduce_pairs,
)
from drpflow.sim.calibration_reduction import Linearizer, Reduction
from drpflow.sim.calibration_stacks import (
    FoundDefect,
    Master,
    combine_biases,
    combine_darks,
    combine_flats,
    find_defects,
)
from drpflow.sim.streams import FrameKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
    layout = readout.layout(detector)
    first_filter = next(iter(illumination))
    bias = combine_biases(frames.biases(), Reduction(layout))
    known = Reduction(layout, bias=bias.blocks, overscan_bias=bias.overscan)
    known = replace(known, crosstalk=measure_crosstalk(frames.spots(first_filter), known))
    pairs = reduce_pairs(frames.ramp(first_filter), known)
    saturation = measure_saturation(pairs, bias.level_adu)
    known = replace(known, linearizers=measure_linearizers(pairs, saturation))
    pairs = [_linear(pair, known) for pair in pairs]
    cti = measure_serial_cti(pairs, saturation, layout[0].prescan_pix)
    transfer_known = replace(known, serial_cti=cti)
    for pair in pairs:
        for signal in pair.signal:
            transfer_known.restore(signal)
    transfer = measure_photon_transfer(pairs, saturation, bias.noise_adu)
    known = replace(transfer_known, gain=transfer.gain)
    noise = float(np.sqrt(np.mean(transfer.read_noise**2)))
    plan = frames.plan
    dark = combine_darks(frames.darks(), plan.dark_exposure_s, known, noise)
    flats, covariances = _flats(frames, known, noise, detectors)
    return DetectorCalibrations(
        detector_id=detector.id,
        amplifiers=tuple(c.name for c in layout),
        bias=_bias_image(known, bias.blocks, bias.noise_adu, bias.frames),
        dark=dark,
        flats=flats,
        defects=find_defects(flats, dark),
        photon_transfer=transfer,
        saturation_adu=saturation.level_adu,
        linearizers=known.linearizers or (),
        crosstalk=known.crosstalk if known.crosstalk is not None else np.zeros((4, 4)),
        serial_cti=cti,
        covariances=covariances,
        flat_level_electron=plan.flat_level_electron,
    )


def _linear(pair: RampPair, known: Reduction) -> RampPair:
    return replace(pair, signal=np.stack([known.linearize(signal) for signal in pair.signal]))


def _bias_image(
    known: Reduction, blocks: NDArray[np.float32], noise_adu: NDArray[np.float64], frames: int
) -> Master:
    variance = np.broadcast_to((noise_adu**2 / frames)[:, None, None], blocks.shape)
    return Master(
        assemble(list(blocks), known.layout),
        assemble(list(variance.astype(np.float32)), known.layout),
        frames,
    )


def _flats(
    frames: CalibrationFrames, known: Reduction, noise: float, detectors: int
) -> tuple[dict[str, Master], Covariances]:
    """Average the flats of each filter; correlate their pairs, and more pairs if need be."""
    flats, covariances = {}, []
    plan = frames.plan
    for physical_filter in frames.illumination:
        images, light = [], []
        for raw, told in frames.flats(physical_filter, plan.flat_frames):
            images.append(known.image(raw))
            light.append(told)
        covariances += [
            pair_covariances(a, b, noise) for a, b in zip(images[::2], images[1::2], strict=False)
        ]
        flats[physical_filter] = combine_flats(images, light, noise)
    more = extra_pairs(plan, frames.detector, len(covariances), detectors)
    for first, second in _image_pairs(frames, known, more):
        covariances.append(pair_covariances(first, second, noise))
    total = covariances[0]
    for part in covariances[1:]:
        total = total + part
    return flats, total


def _image_pairs(
    frames: CalibrationFrames, known: Reduction, number: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    first_filter = next(iter(frames.illumination))
    images = (
        known.image(raw) for raw, _ in frames.flats(first_filter, 2 * number, FrameKind.PAIR)
    )
    yield from zip(images, images, strict=True)


def extra_pairs(plan: CalibrationPlan, detector: DetectorShape, taken: int, detectors: int) -> int:
    """Return how many flat pairs a detector still needs for the brighter-fatter kernel."""
    megapixels = detector.size_pix[0] * detector.size_pix[1] / 1e6
    needed = int(np.ceil(plan.pair_megapixels / detectors / megapixels))
    return max(0, needed - taken)


def finish_camera(parts: Sequence[DetectorCalibrations]) -> list[DetectorCalibrations]:
    """Make what needs all detectors: the brighter-fatter kernel and the level of the flats.

    The kernel is one for the type of sensor. Flats are freed of the effect, which blurs the
    pixel-to-pixel response, and divided by their median over the camera in each filter.
    """
    kernel = brighter_fatter_kernel([p.covariances for p in parts])
    corrected = [
        {name: _unblur(flat, kernel, part) for name, flat in part.flats.items()} for part in parts
    ]
    finished = []
    levels = {
        name: float(np.median(np.concatenate([c[name].image.ravel() for c in corrected])))
        for name in corrected[0]
    }
    for part, flats in zip(parts, corrected, strict=True):
        scaled = {
            name: Master(
                flat.image / np.float32(levels[name]),
                flat.variance / np.float32(levels[name]) ** 2,
                flat.frames,
            )
            for name, flat in flats.items()
        }
        finished.append(replace(part, flats=scaled, kernel=kernel))
    return finished


def _unblur(flat: Master, kernel: NDArray[np.float64], part: DetectorCalibrations) -> Master:
    """Correct a flat at the level at which its frames were taken."""
    level = np.float32(part.flat_level_electron)
    return replace(flat, image=correct(flat.image * level, kernel) / level)
