"""From charge at the amplifiers to numbers: gain, non-linearity, crosstalk, bias, noise, ADC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.streams import Stage, generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.sim.amplifiers import TrueAmplifiers
    from drpflow.sim.detector_config import BiasDrift, BiasStructure, Electronics, NonLinearity

ADC_MAX = 65535


def nonlinearity_loss(
    signal_adu: NDArray, config: NonLinearity, at_full_scale: float, wave_phase: float
) -> NDArray:
    """Return by how much an amplifier's signal falls short of a linear one, adu.

    With x the signal over full scale and b the loss there::

        loss / signal = b (0.6 x + 0.4 x²) + w x sin(2π 1.3 x + φ)

    so that the slope at zero, which is the gain, stays. Zero below zero.

    Parameters
    ----------
    signal_adu
        Linear signal: electrons over gain.
    config
        Full scale and amplitude of the wave.
    at_full_scale
        Relative loss b of this amplifier.
    wave_phase
        Phase φ, radians.
    """
    if not config.enabled:
        return np.zeros_like(signal_adu)
    x = np.maximum(signal_adu, 0) / signal_adu.dtype.type(config.full_scale_adu)
    wave = config.wave * x * np.sin(2 * np.pi * 1.3 * x + wave_phase, dtype=x.dtype)
    loss = at_full_scale * (0.6 * x + 0.4 * x * x) + wave
    return (loss * x * config.full_scale_adu).astype(signal_adu.dtype, copy=False)


def bias_structure(
    config: BiasStructure, shape: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw the fixed pattern of one amplifier's bias over its whole block, adu.

    Settling along each row and over the first rows, and an offset of each column.
    """
    height, width = shape
    if not config.enabled:
        return np.zeros(shape, np.float32)
    x, y = np.arange(width), np.arange(height)
    strength = 1 + 0.2 * rng.standard_normal(3)
    ramp = config.ramp_adu * strength[0] * np.exp(-x / config.ramp_length_pix)
    glow = config.glow_adu * strength[1] * np.exp(-y / (2 * config.ramp_length_pix))
    column = config.column_rms_adu * strength[2] * rng.standard_normal(width)
    # The first rows settle with a slope along x, so that the pattern is no sum of a row and a
    # column and an overscan alone cannot remove it.
    pattern = ramp + column + glow[:, None] * (1 + 0.5 * np.cos(np.pi * x / width))
    return pattern.astype(np.float32)


def bias_drift(
    config: BiasDrift, rows: int, amplifiers: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw how the bias levels wander in one exposure, adu, shape (amplifiers, rows).

    One offset for the exposure, and an Ornstein-Uhlenbeck process along the rows, of which a part
    is common to all amplifiers.
    """
    if not config.enabled:
        return np.zeros((amplifiers, rows))
    from scipy.signal import lfilter

    memory = np.exp(-1 / config.row_length_pix)
    kicks = rng.standard_normal((amplifiers + 1, rows))
    kicks[:, 1:] *= np.sqrt(1 - memory**2)
    walks = lfilter([1], [1, -memory], kicks, axis=1)
    share = config.common_fraction
    wander = config.row_rms_adu * (np.sqrt(share) * walks[:1] + np.sqrt(1 - share) * walks[1:])
    return wander + config.exposure_rms_adu * rng.standard_normal()


class Amplification:
    """The electronics of one detector: charge in the order of readout to raw numbers.

    Parameters
    ----------
    config
        Effects.
    amplifiers
        The true properties.
    block_shape
        Rows and columns of an amplifier's block, with prescan and overscans.
    seed, detector_id
        For the fixed pattern and the noise.
    """

    def __init__(
        self,
        config: Electronics,
        amplifiers: TrueAmplifiers,
        block_shape: tuple[int, int],
        seed: int,
        detector_id: int,
    ) -> None:
        self._config = config
        self._true = amplifiers
        self._seed = seed
        self._detector_id = detector_id
        rng = generator(seed, Stage.BIAS_STRUCTURE, detector_id)
        self.structure_adu = np.stack(
            [bias_structure(config.bias_structure, block_shape, rng) for _ in amplifiers.gain]
        )

    def digitize(
        self, charge: NDArray[np.float32], ids: Sequence[int]
    ) -> tuple[NDArray[np.uint16], NDArray[np.float64]]:
        """Amplify and digitise.

        Parameters
        ----------
        charge
            Electrons at the output of each serial register, shape (amplifiers, rows, columns) in
            the order of readout. All amplifiers are read at the same time.
        ids
            What identifies the exposure.

        Returns
        -------
        raw : ndarray of uint16
            Same shape.
        bias : ndarray of float64, shape (amplifiers, rows)
            Level on which each row stands, adu.
        """
        signal = self._crosstalk(self._amplify(charge))
        bias = self._bias_rows(charge.shape[1], ids)
        rng = generator(self._seed, Stage.READ_NOISE, self._detector_id, *ids)
        rows, columns = charge.shape[1:]
        raw = np.empty(charge.shape, np.uint16)
        for a, noise_electron in enumerate(self._true.read_noise):
            level = bias[a].astype(np.float32)[:, None] + self.structure_adu[a, :rows, :columns]
            noise = rng.standard_normal((rows, columns), dtype=np.float32)
            noise *= np.float32(noise_electron / self._true.gain[a])
            value = np.rint(signal[a] + level + noise)
            raw[a] = np.clip(value, 0, ADC_MAX).astype(np.uint16)
        return raw, bias

    def _amplify(self, charge: NDArray[np.float32]) -> NDArray[np.float32]:
        """Divide by the gain and bend; in adu."""
        signal = charge / self._true.gain.astype(np.float32)[:, None, None]
        for a, (bend, phase) in enumerate(
            zip(self._true.nonlinearity, self._true.wave_phase, strict=True)
        ):
            signal[a] -= nonlinearity_loss(signal[a], self._config.nonlinearity, bend, phase)
        return signal

    def _crosstalk(self, signal: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add what each amplifier picks up from the others at the same instant."""
        ratio = self._true.crosstalk.astype(np.float32)
        return signal + np.tensordot(ratio, signal, axes=(1, 0)) if ratio.any() else signal

    def _bias_rows(self, rows: int, ids: Sequence[int]) -> NDArray[np.float64]:
        rng = generator(self._seed, Stage.BIAS_DRIFT, self._detector_id, *ids)
        drift = bias_drift(self._config.bias_drift, rows, self._true.bias.size, rng)
        return self._true.bias[:, None] + drift
