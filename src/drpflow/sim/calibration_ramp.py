"""What a ramp of exposure times tells: linearity, saturation, charge transfer.

All come from the same pairs of windowed flats.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.calibration_reduction import SKIP_LEADING, Linearizer
from drpflow.sim.electronics import ADC_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from drpflow.sim.calibration_reduction import Reduction

MARGIN_PIX = 8
# Light from which on a signal that falls short by this much is saturated, not just non-linear.
SATURATED_LOSS = 0.04
POLYNOMIAL_TERMS = 5
NODES = 15
MIDDLE_LEVELS = (0.2, 0.8)


@dataclass(frozen=True)
class RampPair:
    """One pair of flats.

    Attributes
    ----------
    light
        What the lamp's monitor says of each, electrons.
    signal
        Blocks of each, adu above bias, float32, shape (2, amplifiers, rows, columns).
    overscan
        Mean of each overscan column, adu above the rows' level, shape (2, amplifiers, columns).
    """

    light: tuple[float, float]
    signal: NDArray[np.float32]
    overscan: NDArray[np.float64]

    @property
    def inner(self) -> NDArray[np.float32]:
        """The signal without the margins."""
        return inner_part(self.signal)

    def means(self) -> NDArray[np.float64]:
        """Mean signal of each frame and amplifier, adu, shape (2, amplifiers).

        Of the pixels that are within 12 % of the median: it leaves out bad ones and cosmic rays.
        The median itself will not do, since the distribution of the response is skew, and its
        median moves by 0.1 % when photon noise blurs it at low levels.
        """
        middle = np.median(self.inner[:, :, ::4, ::4], axis=(2, 3), keepdims=True)
        use = np.abs(self.inner - middle) < 0.12 * np.abs(middle)
        return np.mean(self.inner, axis=(2, 3), where=use, dtype=np.float64)


def inner_part(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return blocks, whose last two axes are rows and columns, without their margins (a view)."""
    return signal[..., MARGIN_PIX:-MARGIN_PIX, MARGIN_PIX:-MARGIN_PIX]


def linear_pair(pair: RampPair, known: Reduction) -> RampPair:
    """Return a pair with linear signals."""
    return replace(pair, signal=np.stack([known.linearize(signal) for signal in pair.signal]))


def reduce_pairs(
    frames: Iterable[tuple[NDArray[np.uint16], float]], reduction: Reduction
) -> list[RampPair]:
    """Reduce a ramp, two successive frames at a time; `reduction` must know bias and crosstalk."""
    iterator = iter(frames)
    pairs = []
    for (raw_a, light_a), (raw_b, light_b) in zip(iterator, iterator, strict=True):
        pairs.append(
            RampPair(
                (light_a, light_b),
                np.stack([reduction.blocks(raw) for raw in (raw_a, raw_b)]),
                np.stack(
                    [reduction.overscan(raw).mean(axis=1, dtype=float) for raw in (raw_a, raw_b)]
                ),
            )
        )
    return pairs


@dataclass(frozen=True)
class Saturation:
    """Where amplifiers stop to respond.

    Attributes
    ----------
    level_adu
        Signal above bias from which pixels count as saturated, by amplifier.
    usable
        Which pairs are below it, shape (pairs, amplifiers).
    """

    level_adu: NDArray[np.float64]
    usable: NDArray[np.bool_]


def measure_saturation(pairs: list[RampPair], bias_adu: NDArray[np.float64]) -> Saturation:
    """Find the level at which the signal no longer follows the light.

    Parameters
    ----------
    pairs
        The ramp, growing.
    bias_adu
        Mean level of each amplifier, for where the converter ends first.
    """
    light = np.array([np.mean(p.light) for p in pairs])
    signal = np.array([p.means().mean(axis=0) for p in pairs])
    reference = len(pairs) // 3
    slope = signal[reference] / light[reference]
    usable = signal > (1 - SATURATED_LOSS) * slope * light[:, None]
    usable &= np.logical_and.accumulate(usable, axis=0)
    level = ADC_MAX - bias_adu
    for a in np.flatnonzero(~usable[-1]):
        # Pixels differ: the level must hold for all but the weakest.
        full = np.concatenate(
            [p.inner[:, a].ravel() for p, ok in zip(pairs, usable, strict=True) if not ok[a]][-1:]
        )
        level[a] = min(level[a], 0.985 * np.percentile(full, 1))
    top = np.array([p.inner.max(axis=(0, 2, 3)) for p in pairs])
    usable &= np.median(top, axis=1, keepdims=True) < ADC_MAX
    usable &= np.array([np.percentile(p.inner, 99, axis=(0, 2, 3)) for p in pairs]) < level
    return Saturation(level, usable)


def measure_linearizers(pairs: list[RampPair], saturation: Saturation) -> tuple[Linearizer, ...]:
    """Fit the correction of each amplifier.

    The linear signal is k · light. With s the measured one, s - k · light = s² Σ_j c_j Tⱼ(s),
    whose slope at zero vanishes, so that k and with it the gain are those of small signals. k and
    c are one linear least-squares problem, in which all levels weigh alike relative to their
    signal, as the error of the lamp's monitor does.
    """
    light = np.array([item for p in pairs for item in p.light])
    signal = np.concatenate([p.means() for p in pairs])
    usable = np.repeat(saturation.usable, 2, axis=0)
    return tuple(
        _fit_linearizer(light[use], values[use], top)
        for values, use, top in zip(signal.T, usable.T, saturation.level_adu, strict=True)
    )


def _fit_linearizer(
    light: NDArray[np.float64], signal: NDArray[np.float64], top: float
) -> Linearizer:
    """Fit one amplifier; nodes reach to `top`, adu, a little beyond the last level."""
    from numpy.polynomial.chebyshev import chebval, chebvander

    top = min(top, 1.1 * signal.max())
    terms = min(POLYNOMIAL_TERMS, max(1, light.size // 2 - 3))
    x = signal / top
    bend = x[:, None] ** 2 * chebvander(2 * x - 1, terms - 1)
    matrix = np.column_stack([light / light.max(), bend])
    solution = np.linalg.lstsq(matrix / x[:, None], np.ones_like(x), rcond=None)[0]
    nodes = np.linspace(0, 1, NODES)
    correction = nodes**2 * chebval(2 * nodes - 1, solution[1:])
    return Linearizer(nodes * top, correction * top)


def measure_serial_cti(
    pairs: list[RampPair], saturation: Saturation, prescan_pix: int
) -> NDArray[np.float64]:
    """Measure the loss per transfer from the extended edge response.

    Charge that trails the last of w columns into the overscan, over that column's signal and the
    number of transfers, w + prescan (Janesick 2001, Scientific Charge-Coupled Devices, 5.3).
    Levels are weighted with their signal.
    """
    trailing, last = np.zeros_like(saturation.level_adu), np.zeros_like(saturation.level_adu)
    low, high = (fraction * saturation.level_adu for fraction in MIDDLE_LEVELS)
    for pair in pairs:
        mean = pair.means().mean(axis=0)
        use = (mean > low) & (mean < high)
        late = pair.overscan[:, :, : SKIP_LEADING - 1].sum(axis=2).mean(axis=0)
        edge = np.median(pair.signal[..., -1], axis=2).mean(axis=0)
        trailing += np.where(use, late, 0.0)
        last += np.where(use, edge, 0.0)
    width = pairs[0].signal.shape[3]
    return np.maximum(trailing / last, 0) / (width + prescan_pix)
