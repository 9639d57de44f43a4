"""Parameters of the instrument as an earlier solution has found them, as priors."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.fgcm.layout import Band, Block, Prior
from drpflow.algorithms.fgcm.parameters import PASSBAND_SHIFT, SENSITIVITY, star_flat_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.algorithms.fgcm.cycles import Solution
    from drpflow.algorithms.fgcm.layout import Layout
    from drpflow.algorithms.fgcm.pools import Pool
    from drpflow.config.fgcm import FgcmConfig
    from drpflow.data.photometric_tables import Detectors, Visits
    from drpflow.data.solved_instrument import HeldParameter

    Rows: TypeAlias = NDArray[np.intp]

# No parameter is known better: a precision must be finite.
_LEAST_ERROR = 1e-7
# Differences between what was held and what new data alone tell, rms of one kind of parameter in
# units of their errors. An equal instrument gives them one time in 400 if a kind goes together.
_CHANGED = 3.0


def held_rows(
    held: Sequence[HeldParameter], layout: Layout, visits: Visits, detectors: Detectors
) -> dict[int, HeldParameter]:
    """Return which parameter of the model each held one is.

    Those of filters, epochs, detectors, bands and terms that these visits have not are left out.
    """
    index = np.arange(layout.size)
    flat, band = layout.block(Block.FLAT, index), layout.block(Block.BAND, index)
    terms = {name: k for k, name in enumerate(star_flat_names(layout.flat_order))}
    terms[PASSBAND_SHIFT] = flat.shape[1] - 1
    blocks = {
        (visits.physical_filters[f], int(e)): row for row, (f, e) in enumerate(layout.throughputs)
    }
    rows = {int(number): row for row, number in enumerate(detectors.id)}
    found: dict[int, HeldParameter] = {}
    for item in held:
        block = blocks.get((item.filter, item.epoch))
        if item.name == SENSITIVITY and item.band in visits.bands:
            found[int(band[visits.bands.index(item.band), Band.SENSITIVITY])] = item
        elif item.name in terms and block is not None and item.detector in rows:
            place = block * layout.n_detectors + rows[item.detector]
            found[int(flat[place, terms[item.name]])] = item
    return found


def with_held(prior: Prior, held: dict[int, HeldParameter], config: FgcmConfig) -> Prior:
    """Return a prior in which held parameters are what they were, as well as that was known.

    A parameter that the configuration holds stays where that has it.
    """
    fixed = {
        SENSITIVITY: config.instrument.sensitivity_sigma == 0,
        PASSBAND_SHIFT: config.instrument.passband_nm == 0,
    }
    mean, precision = prior.mean.copy(), prior.precision.copy()
    for row, item in held.items():
        if not fixed.get(item.name, False):
            mean[row], precision[row] = item.value, max(item.error, _LEAST_ERROR) ** -2.0
    return Prior(mean, precision)


def note_on_change(solution: Solution, free: Solution) -> str:
    """Return a sentence if the instrument is not that which was held, or an empty text.

    Held parameters are compared with those of a free solution. The residuals of the other do not
    tell: what contradicts the instrument becomes noise, outliers or what images share.

    Parameters
    ----------
    solution
        With held parameters.
    free
        Of the same observations without.
    """
    rows = solution.held_rows
    if not rows.size:
        return ""
    kinds = _kinds(solution)[rows]
    variance = 1 / solution.prior.precision[rows] + np.diag(free.covariance)[rows]
    ratio = (free.parameters - solution.prior.mean)[rows] ** 2 / variance
    change = max(float(np.sqrt(np.mean(ratio[kinds == kind]))) for kind in np.unique(kinds))
    if change < _CHANGED:
        return ""
    return (
        "star flats and passbands are not those of the earlier solution (they differ by "
        f"{change:.1f} times the errors): found anew. Has the instrument changed? If so, give "
        "the time in instrument.epochs_mjd"
    )


def _kinds(solution: Solution) -> Rows:
    """Return a number for each kind of parameter of the instrument, (size,)."""
    layout = solution.problem.model.layout
    kinds = np.zeros(layout.size, np.intp)
    for kind, block in enumerate((Block.FLAT, Block.BAND), start=1):
        view = layout.block(block, kinds)
        view[:] = kind * layout.size + np.arange(view.shape[-1])
    return kinds


def without_held(pools: list[Pool], held: dict[int, HeldParameter]) -> list[Pool]:
    """Return the pools without held parameters, whose sizes nothing has to find."""
    rest = [replace(p, rows=np.setdiff1d(p.rows, list(held))) for p in pools]
    return [pool for pool in rest if pool.rows.size]
