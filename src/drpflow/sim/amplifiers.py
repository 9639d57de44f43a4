"""The readout channels of a simulated detector: where their pixels go, and what they are worth.

A detector has four amplifiers in 2 x 2, each reading from its own corner. The raw array holds
one block for each, *in the order of readout*: the first pixel that was read stands at the lower
left of every block. Relative to the detector, the blocks on the right run backwards in x, the
upper ones in y. A block is, from left to right, serial prescan, image, serial overscan; above
the image lies the parallel overscan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from drpflow.sim.streams import Stage, generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.sim.detector_config import DetectorEffects, Electronics

Box: TypeAlias = tuple[int, int, int, int]
"""Half-open ``(x0, x1, y0, y1)``, pixels."""

SHARED_SIDE = np.array([[0, 1, 1, 0], [1, 0, 0, 1], [1, 0, 0, 1], [0, 1, 1, 0]], bool)
"""Which of the amplifiers (lower left, lower right, upper left, upper right) are neighbours."""


class DetectorShape(Protocol):
    """What the readout needs to know of a detector."""

    @property
    def id(self) -> int:
        """Number used in data IDs."""

    @property
    def size_pix(self) -> tuple[int, int]:
        """Columns and rows."""

    @property
    def pixel_size_mm(self) -> float:
        """Pixel pitch, mm."""


@dataclass(frozen=True)
class Channel:
    """One amplifier: its place in the detector and in the raw array."""

    name: str
    data_section: Box
    block: Box
    prescan_pix: int
    overscan_rows: int
    flip_x: bool
    flip_y: bool

    @property
    def raw_data_section(self) -> Box:
        """Image pixels in the raw array."""
        x0, _, y0, _ = self.block
        u0, u1, v0, v1 = self.data_section
        left = x0 + self.prescan_pix
        return left, left + u1 - u0, y0, y0 + v1 - v0

    @property
    def raw_serial_overscan(self) -> Box:
        """Samples after the image, in the rows of the image."""
        _, left, y0, y1 = self.raw_data_section
        return left, self.block[1], y0, y1

    @property
    def raw_parallel_overscan(self) -> Box | None:
        """Rows after the image, in its columns; None if there are none."""
        x0, x1, _, bottom = self.raw_data_section
        return (x0, x1, bottom, self.block[3]) if self.overscan_rows else None

    def cut(self, image: NDArray) -> NDArray:
        """Return this amplifier's part of a detector image, in the order of readout (a view)."""
        return oriented(image[slices(self.data_section)], self)


def slices(box: Box) -> tuple[slice, slice]:
    """Return the array index of a box."""
    x0, x1, y0, y1 = box
    return slice(y0, y1), slice(x0, x1)


def oriented(part: NDArray, channel: Channel) -> NDArray:
    """Turn an amplifier's pixels from detector order to readout order, or back (a view)."""
    return part[:: -1 if channel.flip_y else 1, :: -1 if channel.flip_x else 1]


def channels(size_pix: tuple[int, int], electronics: Electronics) -> tuple[Channel, ...]:
    """Lay out the four amplifiers of a detector.

    Parameters
    ----------
    size_pix
        Columns and rows of the detector.
    electronics
        Widths of prescan and overscans.

    Returns
    -------
    tuple of Channel
        Lower left, lower right, upper left, upper right (``C00``, ``C01``, ``C10``, ``C11``).

    Raises
    ------
    ValueError
        If the detector cannot be split into four equal parts.
    """
    nx, ny = size_pix
    if nx % 2 or ny % 2:
        raise ValueError(f"a detector of {nx} x {ny} pixels has no four equal quarters")
    half_x, half_y = nx // 2, ny // 2
    width = electronics.serial_prescan_pix + half_x + electronics.serial_overscan_pix
    height = half_y + electronics.parallel_overscan_pix
    return tuple(
        Channel(
            name=f"C{row}{column}",
            data_section=(column * half_x, (column + 1) * half_x, row * half_y, (row + 1) * half_y),
            block=(column * width, (column + 1) * width, row * height, (row + 1) * height),
            prescan_pix=electronics.serial_prescan_pix,
            overscan_rows=electronics.parallel_overscan_pix,
            flip_x=bool(column),
            flip_y=bool(row),
        )
        for row in (0, 1)
        for column in (0, 1)
    )


def raw_shape(layout: tuple[Channel, ...]) -> tuple[int, int]:
    """Return the shape of the raw array, rows first."""
    return max(c.block[3] for c in layout), max(c.block[1] for c in layout)


def assemble(parts: list[NDArray], layout: tuple[Channel, ...]) -> NDArray:
    """Put amplifiers' image pixels, in readout order, together to a detector image."""
    nx = max(c.data_section[1] for c in layout)
    ny = max(c.data_section[3] for c in layout)
    image = np.empty((ny, nx), parts[0].dtype)
    for part, channel in zip(parts, layout, strict=True):
        image[slices(channel.data_section)] = oriented(part, channel)
    return image


@dataclass(frozen=True)
class NominalAmplifiers:
    """What the camera's documentation says; one value for each amplifier.

    Attributes
    ----------
    gain
        electron adu-1.
    read_noise
        electron.
    saturation
        adu above the bias.
    """

    gain: NDArray[np.float64]
    read_noise: NDArray[np.float64]
    saturation: NDArray[np.float64]


@dataclass(frozen=True)
class TrueAmplifiers:
    """What the amplifiers are really like; one value for each.

    Attributes
    ----------
    gain
        electron adu-1, at small signal.
    read_noise
        electron.
    bias
        Level, adu.
    nonlinearity
        Relative loss at full scale.
    wave_phase
        Phase of the wave of the non-linearity, radians.
    serial_cti
        Fraction of the charge left behind in each transfer.
    crosstalk
        Shape (4, 4): ratio [victim, source], in adu.
    """

    gain: NDArray[np.float64]
    read_noise: NDArray[np.float64]
    bias: NDArray[np.float64]
    nonlinearity: NDArray[np.float64]
    wave_phase: NDArray[np.float64]
    serial_cti: NDArray[np.float64]
    crosstalk: NDArray[np.float64]


def nominal_amplifiers(effects: DetectorEffects, detector_id: int) -> NominalAmplifiers:
    """Return the documented properties of a detector's amplifiers.

    They belong to the camera, not to a survey: no seed enters.
    """
    electronics = effects.electronics
    rng = generator(0, Stage.NOMINAL_AMPLIFIER, detector_id)
    gain = electronics.gain * (1 + electronics.gain_spread * rng.standard_normal(4))
    gain = np.round(gain, 3)
    headroom_adu = 65535 - electronics.bias_adu - 4 * electronics.bias_spread_adu
    top_adu = np.full(4, headroom_adu)
    if effects.saturation.enabled:
        top_adu = np.minimum(top_adu, effects.saturation.full_well_electron / gain)
    # Vendors state a level that is safely below the true one.
    return NominalAmplifiers(
        gain=gain,
        read_noise=np.full(4, electronics.read_noise_electron),
        saturation=np.round(0.94 * top_adu, -2),
    )


def true_amplifiers(effects: DetectorEffects, detector_id: int, seed: int) -> TrueAmplifiers:
    """Draw the true properties of a detector's amplifiers."""
    electronics, cti = effects.electronics, effects.serial_cti
    nominal = nominal_amplifiers(effects, detector_id)
    rng = generator(seed, Stage.TRUE_AMPLIFIER, detector_id)
    gain = nominal.gain * (1 + electronics.gain_error * rng.standard_normal(4))
    noise = nominal.read_noise * (1 + electronics.read_noise_spread * rng.standard_normal(4))
    bias = electronics.bias_adu + electronics.bias_spread_adu * rng.standard_normal(4)
    loss = cti.loss_per_transfer * np.maximum(0.1, 1 + cti.spread * rng.standard_normal(4))
    bend, phase = _nonlinearity(electronics, generator(seed, Stage.NONLINEARITY, detector_id))
    return TrueAmplifiers(
        gain=gain,
        read_noise=noise,
        bias=bias,
        nonlinearity=bend,
        wave_phase=phase,
        serial_cti=loss if cti.enabled else np.zeros(4),
        crosstalk=_crosstalk(electronics, generator(seed, Stage.CROSSTALK, detector_id)),
    )


def _nonlinearity(
    electronics: Electronics, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    config = electronics.nonlinearity
    bend = config.at_full_scale * (1 + config.spread * rng.standard_normal(4))
    phase = rng.uniform(0, 2 * np.pi, 4)
    return (bend if config.enabled else np.zeros(4)), phase


def _crosstalk(electronics: Electronics, rng: np.random.Generator) -> NDArray[np.float64]:
    config = electronics.crosstalk
    if not config.enabled:
        return np.zeros((4, 4))
    ratio = np.where(SHARED_SIDE, config.neighbor, config.opposite)
    ratio = ratio * np.maximum(0.1, 1 + config.spread * rng.standard_normal((4, 4)))
    np.fill_diagonal(ratio, 0.0)
    return ratio
