"""How many visits differ at a place: few make an artifact, many a variable source.

    limit(N) = max(1, min(fraction · N, base + slope · N)),   N visits with data,

after CompareWarpAssembleCoadd of the LSST pipeline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.kernels.coadd_artifacts import box_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.config.compare_warp_assemble_coadd import EpochConfig

    Bool: TypeAlias = NDArray[np.bool_]
    Float32: TypeAlias = NDArray[np.float32]


def epoch_limit(number: int, config: EpochConfig) -> int:
    """Return the largest number of visits, of `number`, that counts as few."""
    return int(max(1.0, min(config.fraction * number, config.base + config.slope * number)))


def epoch_limits(count: NDArray[np.uint16], config: EpochConfig) -> NDArray[np.int32]:
    """Return the limit at each pixel.

    Parameters
    ----------
    count
        Number of visits with data.
    config
        The section ``compareWarpAssembleCoadd.epochs``.
    """
    table = [epoch_limit(n, config) for n in range(int(count.max(initial=0)) + 1)]
    return np.array(table, np.int32)[count]


def keep_few(
    where: Bool,
    counts: NDArray[np.uint16],
    limits: NDArray[np.int32],
    config: EpochConfig,
    weights: Float32 | None = None,
) -> Bool:
    """Return the candidates about which most candidates differ in few visits.

    Parameters
    ----------
    where
        Candidates of a visit.
    counts, limits
        Number of visits that differ, and the largest that counts as few.
    config
        The section ``compareWarpAssembleCoadd.epochs``.
    weights
        What a candidate counts, such as the square of its difference: a source's faint outskirts
        differ in fewer visits than its core. The same for all by default.
    """
    if not where.any():
        return where.copy()
    votes = where.astype(np.float32) if weights is None else np.where(where, weights, 0)
    all_of = box_sums(votes, config.window_pix)
    few = box_sums(np.where(counts <= limits, votes, 0), config.window_pix)
    return where & (few >= np.float32(config.majority) * all_of)
