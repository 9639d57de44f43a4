"""Parameters that share an expected size, which is found with them (evidence; MacKay 1992)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.fgcm.layout import Block, Layout, Night, degrees

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.fgcm.layout import Prior
    from drpflow.config.fgcm import FgcmConfig

    Floats: TypeAlias = NDArray[np.float64]

# Parameters for which an expected size counts.
_PRIOR_COUNT = 2.0


@dataclass(frozen=True, eq=False)
class Pool:
    """Parameters of one expected size.

    Parameters
    ----------
    rows
        Which.
    expected
        Size expected beforehand.
    """

    rows: NDArray[np.intp]
    expected: float


def pools_of(layout: Layout, config: FgcmConfig) -> list[Pool]:
    """Return the pools of everything but the clouds."""
    index = np.arange(layout.size)
    night = layout.block(Block.NIGHT, index)
    flat = layout.block(Block.FLAT, index)
    i = config.instrument
    pools = [
        Pool(night[:, Night.GRAY], config.air.night_gray_mag),
        Pool(layout.block(Block.NIGHT_FILTER, index).ravel(), config.air.night_filter_mag),
    ]
    for n in range(layout.flat_order + 1):
        terms = np.flatnonzero(degrees(layout.flat_order) == n)
        size = i.flat_offset_mag if n == 0 else i.flat_mag
        pools.append(Pool(flat[:, terms].ravel(), size))
    if i.passband_nm > 0:
        pools.append(Pool(flat[:, -1], i.passband_nm))
    if config.reference.systematic_mag > 0 and len(layout.regions):
        for kind in (Block.REGION, Block.WIDE_REGION):
            size = config.reference.systematic_mag / np.sqrt(2.0)
            pools.append(Pool(layout.block(kind, index).ravel(), size))
    return pools


def update_pools(prior: Prior, pools: list[Pool], mean: Floats, variance: Floats) -> Prior:
    """Return the prior with sizes τ² = (Σ x² + a s²) / (γ + a), γ = Σ (1 - var/τ²).

    γ is how many of the parameters the data determine.
    """
    precision = prior.precision.copy()
    for pool in pools:
        rows = pool.rows
        told = float(np.clip(1 - precision[rows] * variance[rows], 0, 1).sum())
        power = float(((mean - prior.mean)[rows] ** 2).sum())
        a = _PRIOR_COUNT
        precision[rows] = (told + a) / (power + a * pool.expected**2)
    return replace(prior, precision=precision)
