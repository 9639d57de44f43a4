"""The frame of visits that no catalogue ties: what their stated errors are without.

Position, rotation, scale and shear of all visits that share stars, and of these stars, may change
together without any observation to notice; but for stiff priors, errors would be those of the
frame, and say nothing of how well visits and stars agree with each other. Each draw of the maps
loses the linear map of the sky that is in it; what is left are errors relative to the frame that
the visits make together. A frame that turns or moves with time, which the priors of the stars'
motions hold, is left in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_fit.draws import Draws

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.fit import Fit

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int32]
    Rows: TypeAlias = NDArray[np.intp]


def without_frame(fit: Fit, draws: Draws, loose: Sequence[Rows]) -> Draws:
    """Return draws relative to the frame of each group of visits that has no catalogue.

    Parameters
    ----------
    fit
        The fit in its end.
    draws
        Of its maps.
    loose
        The visits of each such group.
    """
    q = draws.q.copy()
    for visits in loose:
        turn = _turns(fit, visits)
        shift = np.array([fit.layout.shifts(*pair)[visits] for pair in _pairs(draws)])
        # What is extrapolated does not make the frame.
        weight = 1 / np.sqrt(1e-12 + (shift**2).sum(axis=(0, 3, 4)))
        for k in range(len(q)):
            frame = _frame(fit, turn, shift[k], weight)
            q[k, visits, :, :3] -= _as_terms(fit, turn, frame)
    return Draws(draws.c, q)


def loose_groups(fit: Fit, groups: Ints) -> list[Rows]:
    """Return the visits of each group that no star of the catalogue ties.

    Parameters
    ----------
    fit
        The fit in its end.
    groups
        Group of each visit, -1 for those that take no part, (V,).
    """
    rows = fit.counted() & fit.anchors()[fit.sorted_rows.star]
    tied = np.unique(groups[fit.rows.visit[rows]])
    return [np.flatnonzero(groups == g) for g in np.setdiff1d(groups[groups >= 0], tied)]


def _pairs(draws: Draws) -> list[tuple[Floats, Floats]]:
    return list(zip(draws.c, draws.q, strict=True))


def _turns(fit: Fit, visits: Rows) -> Floats:
    """Return linear maps from each visit's tangent plane to that of the first, (v, 2, 3).

    Constants come first; tangent planes some degrees apart are linear in each other to 10⁻³.
    """
    planes, places = fit.planes.projections, fit.layout.grid.reshape(-1, 2)
    design = np.column_stack([np.ones(len(places)), places])
    common = planes[visits[0]]
    seen = [np.stack(common.from_sky(*planes[v].to_sky(*places.T)), axis=1) for v in visits]
    return np.array([np.linalg.lstsq(design, place, rcond=None)[0].T for place in seen])


def _frame(fit: Fit, turn: Floats, shift: Floats, weight: Floats) -> Floats:
    """Return the linear map of the common plane nearest to shifts in all visits, mas, (2, 3).

    Parameters
    ----------
    fit, turn
        As elsewhere.
    shift
        On the grid, along the axes of each visit, mas, (v, D, G, 2).
    weight
        Of each image, (v, D).
    """
    root = np.repeat(weight[:, :, None], shift.shape[2], axis=2).reshape(-1, 1)
    there = turn[:, None, None, :, 0] + np.einsum("vij,dgj->vdgi", turn[:, :, 1:], fit.layout.grid)
    turned = np.einsum("vij,vdgj->vdgi", turn[:, :, 1:], shift).reshape(-1, 2)
    design = np.column_stack([np.ones(len(turned)), there.reshape(-1, 2)])
    return np.asarray(np.linalg.lstsq(design * root, turned * root, rcond=None)[0].T)


def _as_terms(fit: Fit, turn: Floats, frame: Floats) -> Floats:
    """Return a linear map of the common plane as terms of order 0 and 1 of visits, (v, 2, 3)."""
    domain = fit.layout.visit_basis.domain
    center = turn[:, :, 0] + turn[:, :, 1:] @ np.array(domain.center)
    across = turn[:, :, 1:] * np.array(domain.half_size)
    constant = (frame[:, 0] + center @ frame[:, 1:].T)[:, :, None]
    return np.linalg.solve(
        turn[:, :, 1:], np.concatenate([constant, frame[:, 1:] @ across], axis=2)
    )
