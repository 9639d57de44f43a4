"""Raw calibration frames to signal, with as many corrections as are known so far.

The observatory makes its calibrations one after the other, each with the help of those before.
A :class:`Reduction` holds what is known; :meth:`Reduction.blocks` applies it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.amplifiers import Channel, assemble, slices

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Columns of the serial overscan that are left out: late charge arrives in the first ones.
SKIP_LEADING = 4
SKIP_TRAILING = 1
# Cosmic rays in differences of flats: significance of one pixel, and of 3 x 3 together.
SINGLE_SIGMA = 5.0
BOX_SIGMA = 5.5


@dataclass(frozen=True)
class Linearizer:
    """Correction of one amplifier: linear = measured - spline(measured).

    Attributes
    ----------
    node_adu
        Measured signal above bias.
    correction_adu
        What to subtract there; negative, since signal is lost.
    """

    node_adu: NDArray[np.float64]
    correction_adu: NDArray[np.float64]

    def apply(self, signal_adu: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the linear signal; natural cubic spline, constant beyond the outer nodes."""
        from scipy.interpolate import CubicSpline

        spline = CubicSpline(self.node_adu, self.correction_adu, bc_type="natural")
        # The correction changes by at most some hundredths from one adu to the next.
        table = spline(np.arange(int(self.node_adu[-1]) + 1)).astype(np.float32)
        return signal_adu - table[np.clip(signal_adu, 0, table.size - 1).astype(np.int32)]


@dataclass(frozen=True)
class Reduction:
    """The corrections known so far.

    Attributes
    ----------
    layout
        The amplifiers.
    bias
        Bias structure, adu, shape (amplifiers, rows, columns) in the order of readout.
    overscan_bias
        Bias structure of the serial overscan, adu, shape (amplifiers, columns).
    crosstalk
        Ratios [victim, source].
    linearizers
        One for each amplifier.
    gain
        electron adu-1, by amplifier; where it is None, signals stay in adu.
    serial_cti
        Fraction left behind per transfer, by amplifier.
    """

    layout: tuple[Channel, ...]
    bias: NDArray[np.float32] | None = None
    overscan_bias: NDArray[np.float64] | None = None
    crosstalk: NDArray[np.float64] | None = None
    linearizers: tuple[Linearizer, ...] | None = None
    gain: NDArray[np.float64] | None = None
    serial_cti: NDArray[np.float64] | None = None

    def blocks(self, raw: NDArray[np.uint16]) -> NDArray[np.float32]:
        """Return the signal of each amplifier's image pixels in the order of readout.

        Parameters
        ----------
        raw
            Raw array, whole or windowed.

        Returns
        -------
        ndarray of float32, shape (amplifiers, rows, columns)
            adu above bias.
        """
        layout = self.layout_of(raw)
        parts = []
        for channel in layout:
            data = raw[slices(channel.raw_data_section)].astype(np.float32)
            parts.append(data - self.row_level(raw, channel))
        signal = np.stack(parts)
        if self.bias is not None:
            signal -= self.bias[:, : signal.shape[1]]
        if self.crosstalk is not None:
            signal -= np.tensordot(self.crosstalk.astype(np.float32), signal, axes=(1, 0))
        if self.linearizers is not None:
            signal = self.linearize(signal)
        self.restore(signal)
        return signal

    def linearize(self, signal: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the linear signal of blocks, adu; unchanged where no linearizer is known."""
        if self.linearizers is None:
            return signal
        pairs = zip(self.linearizers, signal, strict=True)
        return np.stack([linearizer.apply(part) for linearizer, part in pairs])

    def image(self, raw: NDArray[np.uint16]) -> NDArray[np.float32]:
        """Return the signal as a detector image; electrons if the gain is known, else adu."""
        return self.assembled(self.blocks(raw))

    def assembled(self, blocks: NDArray[np.float32]) -> NDArray[np.float32]:
        """Put blocks together to a detector image, and multiply by the gain where it is known."""
        if self.gain is not None:
            blocks = blocks * self.gain.astype(np.float32)[:, None, None]
        return assemble(list(blocks), self.layout_of_rows(blocks.shape[1]))

    def overscan(self, raw: NDArray[np.uint16]) -> NDArray[np.float32]:
        """Return the serial overscans above the level of their rows, adu.

        Without the pattern of their columns, if that is known.
        """
        layout = self.layout_of(raw)
        above = np.stack(
            [raw[slices(c.raw_serial_overscan)] - self.row_level(raw, c) for c in layout]
        )
        if self.overscan_bias is not None:
            above -= self.overscan_bias[:, None, :].astype(np.float32)
        return above

    @property
    def level_samples(self) -> int:
        """Number of overscan samples that a row's level is the mean of."""
        x0, x1, _, _ = self.layout[0].raw_serial_overscan
        return x1 - x0 - SKIP_LEADING - SKIP_TRAILING

    @staticmethod
    def row_level(raw: NDArray[np.uint16], channel: Channel) -> NDArray[np.float32]:
        """Return the mean overscan level of each row, adu, shape (rows, 1)."""
        samples = raw[slices(channel.raw_serial_overscan)][:, SKIP_LEADING:-SKIP_TRAILING]
        return samples.mean(axis=1, dtype=np.float64, keepdims=True).astype(np.float32)

    def layout_of(self, raw: NDArray[np.uint16]) -> tuple[Channel, ...]:
        """Return the layout that fits a raw array, which may be windowed in y."""
        missing = self.layout[-1].block[3] - raw.shape[0]
        return self.layout_of_rows(self._rows - missing // 2)

    def layout_of_rows(self, rows: int) -> tuple[Channel, ...]:
        """Return the layout for so many image rows in each amplifier."""
        if rows == self._rows:
            return self.layout
        return tuple(_windowed(c, self._rows - rows) for c in self.layout)

    @property
    def _rows(self) -> int:
        """Image rows of an amplifier."""
        return self.layout[0].data_section[3]

    def restore(self, signal: NDArray[np.float32]) -> None:
        """Move late charge back, to first order in the loss, in place.

        n transfers leave n s of a packet behind, which is found in the next one. Nothing happens
        where the charge transfer is not known.
        """
        if self.serial_cti is None:
            return
        columns = np.arange(signal.shape[2]) + self.layout[0].prescan_pix + 1
        late = signal * (self.serial_cti[:, None, None] * columns).astype(np.float32)
        signal += late
        signal[:, :, 1:] -= late[:, :, :-1]


def _windowed(channel: Channel, fewer_rows: int) -> Channel:
    """Return the layout of an amplifier of which fewer rows were read."""
    row = int(channel.flip_y)
    x0, x1, y0, y1 = channel.block
    u0, u1, v0, v1 = channel.data_section
    height, rows = y1 - y0 - fewer_rows, v1 - v0 - fewer_rows
    return Channel(
        name=channel.name,
        data_section=(u0, u1, row * rows, (row + 1) * rows),
        block=(x0, x1, row * height, (row + 1) * height),
        prescan_pix=channel.prescan_pix,
        overscan_rows=channel.overscan_rows,
        flip_x=channel.flip_x,
        flip_y=channel.flip_y,
    )


def clipped_mean(
    stack: NDArray[np.float32], noise_electron: float, limit: float = 5.0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Average frames without what stands out of the median of its pixel (cosmic rays).

    Parameters
    ----------
    stack
        Electrons, shape (frames, ny, nx); changed in place.
    noise_electron
        Read noise of one frame; photon noise comes from the median.
    limit
        Clipping, in units of the noise.

    Returns
    -------
    mean, variance : ndarray of float32, shape (ny, nx)
        Mean, and its variance as the noise model has it.
    """
    middle = np.median(stack, axis=0)
    variance = np.maximum(middle, 0) + np.float32(noise_electron**2)
    good = np.abs(stack - middle) <= limit * np.sqrt(variance)
    number = good.sum(axis=0, dtype=np.float32)
    np.maximum(number, 1, out=number)
    stack[~good] = 0
    return stack.sum(axis=0) / number, variance / number


def cosmic_rays(difference: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Find cosmic rays in the difference of two flats, with all that surrounds them.

    Few pixels of a muon's track stand out of the photon noise of a flat one by one; together
    they correlate neighbouring pixels as much as the brighter-fatter effect does at some lags.
    Boxes of 3 x 3 pixels are tested as well as single pixels, and what is found is grown.

    Parameters
    ----------
    difference
        Shape (ny, nx), mean about zero.
    """
    from scipy.ndimage import binary_dilation, uniform_filter

    width = 1.4826 * np.median(np.abs(difference))
    found = np.abs(difference) > SINGLE_SIGMA * width
    found |= np.abs(uniform_filter(difference, 3)) > BOX_SIGMA * width / 3
    return np.asarray(binary_dilation(found, np.ones((3, 3), bool), iterations=2))
