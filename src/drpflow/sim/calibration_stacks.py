"""Master bias, dark and flat frames, and the list of defects found in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.amplifiers import assemble
from drpflow.sim.calibration_reduction import clipped_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from drpflow.sim.amplifiers import Box, Channel
    from drpflow.sim.calibration_reduction import Reduction

# What counts as a defect.
LOW_RESPONSE, HIGH_RESPONSE = 0.8, 1.2
HOT_ELECTRON_S = 3.0
# A column with more bad pixels than this within LONG_GAP of each other is masked through.
LONG_COLUMN = 12
LONG_GAP = 32
BLOCK_PIX = 32


@dataclass(frozen=True)
class Master:
    """A combined frame with the variance of its mean."""

    image: NDArray[np.float32]
    variance: NDArray[np.float32]
    frames: int

    def divided(self, level: float) -> Master:
        """Return the frame over a number."""
        return Master(
            self.image / np.float32(level), self.variance / np.float32(level**2), self.frames
        )


@dataclass(frozen=True)
class BiasMeasurement:
    """Bias structure in the order of readout, and what else bias frames tell of amplifiers.

    Attributes
    ----------
    blocks
        Structure above the overscan, adu, shape (amplifiers, rows, columns).
    overscan
        Structure of the serial overscan's columns, adu, shape (amplifiers, columns).
    noise_adu
        Read noise.
    level_adu
        Mean overscan level.
    frames
        Number of frames.
    """

    blocks: NDArray[np.float32]
    overscan: NDArray[np.float64]
    noise_adu: NDArray[np.float64]
    level_adu: NDArray[np.float64]
    frames: int

    def master(self, layout: tuple[Channel, ...]) -> Master:
        """Return the structure as a detector image, with the variance of its mean."""
        variance = (self.noise_adu**2 / self.frames).astype(np.float32)[:, None, None]
        return Master(
            assemble(list(self.blocks), layout),
            assemble(list(np.broadcast_to(variance, self.blocks.shape)), layout),
            self.frames,
        )


def combine_biases(frames: Iterable[NDArray[np.uint16]], reduction: Reduction) -> BiasMeasurement:
    """Average bias frames; the noise is that of their pixels about the mean."""
    total: NDArray[np.float64] | None = None
    squares = levels = overscans = np.zeros(0)
    number = 0
    for raw in frames:
        blocks = reduction.blocks(raw).astype(np.float64)
        level = np.array([reduction.row_level(raw, c).mean() for c in reduction.layout])
        overscan = reduction.overscan(raw).mean(axis=1, dtype=np.float64)
        if total is None:
            total, squares = np.zeros_like(blocks), np.zeros_like(blocks)
            levels, overscans = np.zeros_like(level), np.zeros_like(overscan)
        total += blocks
        squares += blocks**2
        levels += level
        overscans += overscan
        number += 1
    if total is None:
        raise ValueError("there is no bias frame")
    mean = total / number
    variance = np.median(squares / number - mean**2, axis=(1, 2)) * number / (number - 1)
    # The mean of a row's overscan, which was subtracted, has noise of its own.
    variance *= _median_correction(number - 1) / (1 + 1 / reduction.level_samples)
    return BiasMeasurement(
        mean.astype(np.float32), overscans / number, np.sqrt(variance), levels / number, number
    )


def _median_correction(freedom: int) -> float:
    """Return mean over median of a variance with so many degrees of freedom (Wilson-Hilferty)."""
    return 1 / (1 - 2 / (9 * freedom)) ** 3


def combine_darks(
    frames: Iterable[NDArray[np.uint16]],
    exposure_s: float,
    reduction: Reduction,
    noise_electron: float,
) -> Master:
    """Average dark frames to electrons per second, without cosmic rays."""
    stack = np.stack([reduction.image(raw) for raw in frames])
    mean, variance = clipped_mean(stack, noise_electron)
    return Master(mean, variance, len(stack)).divided(exposure_s)


def combine_flats(
    frames: Iterable[NDArray[np.float32]], light: list[float], noise_electron: float
) -> Master:
    """Average flat frames per electron of light, without cosmic rays.

    Parameters
    ----------
    frames
        Reduced frames, electrons.
    light
        What the lamp's monitor says of each, electrons.
    noise_electron
        Read noise.
    """
    mean_light = float(np.mean(light))
    stack = np.stack(
        [image * np.float32(mean_light / told) for image, told in zip(frames, light, strict=True)]
    )
    mean, variance = clipped_mean(stack, noise_electron)
    return Master(mean, variance, len(stack)).divided(mean_light)


@dataclass(frozen=True)
class FoundDefect:
    """A box of pixels not to be used."""

    box: Box
    kind: str


def find_defects(flats: Mapping[str, Master], dark: Master) -> tuple[FoundDefect, ...]:
    """List the pixels that respond too little or too much, or are too hot.

    Parameters
    ----------
    flats
        By filter; a pixel must be odd in all of them.
    dark
        Electron s-1.

    Returns
    -------
    tuple of FoundDefect
        Boxes, one column wide, in order of column and row.
    """
    odd = np.ones(dark.image.shape, bool)
    for flat in flats.values():
        ratio = flat.image / _block_medians(flat.image)
        odd &= (ratio < LOW_RESPONSE) | (ratio > HIGH_RESPONSE)
    hot = dark.image > HOT_ELECTRON_S
    boxes = [FoundDefect(box, "response") for box in column_boxes(odd)]
    boxes += [FoundDefect(box, "hot") for box in column_boxes(hot & ~odd)]
    return tuple(sorted(boxes, key=lambda d: (d.box, d.kind)))


def _block_medians(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the median of each block of about 32 x 32 pixels, in all its pixels."""
    rows = np.array_split(np.arange(image.shape[0]), max(1, image.shape[0] // BLOCK_PIX))
    columns = np.array_split(np.arange(image.shape[1]), max(1, image.shape[1] // BLOCK_PIX))
    local = np.empty_like(image)
    for r in rows:
        for c in columns:
            block = (slice(r[0], r[-1] + 1), slice(c[0], c[-1] + 1))
            local[block] = np.median(image[block])
    return local


def column_boxes(bad: NDArray[np.bool_]) -> list[Box]:
    """Turn a map of bad pixels into boxes one column wide.

    Runs within a column that make up a long defect, with gaps, become one box.
    """
    boxes = []
    for x in np.flatnonzero(bad.any(axis=0)):
        rows = np.flatnonzero(bad[:, x])
        for run in np.split(rows, np.flatnonzero(np.diff(rows) > LONG_GAP) + 1):
            runs = [run] if run.size >= LONG_COLUMN else _contiguous(run)
            boxes += [(int(x), int(x) + 1, int(r[0]), int(r[-1]) + 1) for r in runs]
    return boxes


def _contiguous(rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    return np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
