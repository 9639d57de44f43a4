"""The fit of a visit's background: model and masks in turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.visit_background.cells import clip_cells, wide_masks
from drpflow.algorithms.visit_background.solve import Solution, solve
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.visit_background.cells import Bools
    from drpflow.algorithms.visit_background.design import Design
    from drpflow.config.model_visit_background import SkyModelConfig

    Float64: TypeAlias = NDArray[np.float64]

_FIRST_ORDER = 2
"""Order while cells of galaxies may still be among those that count."""

_FIRST_ROUNDS = 2
_STRUCTURE_PIX = 32.0
"""Width of the means by which the unevenness of a field is judged."""

_SETTLED = 2e-3
"""Rounds end when no larger share of the cells changes sides."""


@dataclass(frozen=True, eq=False)
class VisitFit:
    """The model of a visit's background.

    Parameters
    ----------
    design
        Its terms.
    solution
        Their parameters.
    used
        Cells that made the fit, by detector.
    used_fraction
        Their share of those with a measurement.
    nebula
        Why the sky of the visit cannot be told from a nebula; empty if it can.
    """

    design: Design
    solution: Solution
    used: Bools
    used_fraction: float
    nebula: str = ""

    def error(self) -> float:
        """Return the rms of the model's standard deviation over the cells in use, electrons."""
        total, number = 0.0, 0
        layout, covariance = self.design.layout, self.solution.covariance
        for k, (key, terms) in enumerate(self.design.detectors.items()):
            columns = terms.columns[self.used[key].ravel()[terms.rows]]
            index = np.append(terms.index, layout.pistons.start + k)
            columns = np.column_stack([columns, np.ones(len(columns))])
            root = columns @ covariance[np.ix_(index, index)]
            total += float(np.einsum("ij,ij->", root, columns))
            number += len(columns)
        return float(np.sqrt(total / max(number, 1)))


def fit_visit(design: Design, config: SkyModelConfig) -> VisitFit:
    """Fit the sky of a visit, leaving out what is more than sky.

    Parameters
    ----------
    design
        The terms at the cells.
    config
        Priors and masks.

    Raises
    ------
    AlgorithmError
        If there are fewer cells than would tell a level.
    """
    usable = design.usable()
    n_usable = sum(int(m.sum()) for m in usable.values())
    n_cells = sum(m.size for m in usable.values())
    if n_usable < 2:
        raise AlgorithmError(
            "no cell shows the sky", {"cells": n_usable}, "look at the masks of initial_pvi"
        )
    used, solution = usable, None
    for number in range(config.mask.rounds):
        highest = (
            config.max_order if number >= _FIRST_ROUNDS else min(_FIRST_ORDER, config.max_order)
        )
        solution = solve(design, design.normal(used), config, orders=range(highest + 1))
        before, used = used, _sky_cells(design, solution, usable, config)
        share = sum(int(m.sum()) for m in used.values()) / n_usable
        blank = share * n_usable / n_cells
        if blank < 1 - config.mask.max_fraction:
            return _faintest(
                design, usable, f"{100 * (1 - blank):.0f} % of the cells hold more than sky"
            )
        changed = sum(int((used[k] != before[k]).sum()) for k in used) / n_usable
        if number >= _FIRST_ROUNDS and changed <= _SETTLED:
            break
    solution = solve(design, design.normal(used), config)
    fit = VisitFit(design, solution, used, share)
    gradient = _gradient(fit)
    if gradient > config.max_gradient:
        return _faintest(
            design, usable, f"the sky changes by {100 * gradient:.0f} % over the field"
        )
    structure = _structure(fit, usable)
    if structure > config.max_structure:
        return _faintest(
            design, usable, f"it is uneven by {100 * structure:.0f} % all over the field"
        )
    return fit


def _sky_cells(design: Design, solution: Solution, usable: Bools, config: SkyModelConfig) -> Bools:
    """Return the cells that agree with the model by themselves and with those about them."""
    pulls = {
        key: p / np.sqrt(solution.excess)
        for key, p in design.residuals(solution.parameters).items()
    }
    kept = clip_cells(pulls, usable, config.mask.clip_sigma)
    cells = {key: terms.cells for key, terms in design.detectors.items()}
    clipped = {key: np.where(kept[key], pulls[key], 0.0) for key in pulls}
    floor = config.mask.floor * design.level / np.sqrt(solution.excess)
    wide = wide_masks(clipped, kept, cells, floor, config.mask)
    return {key: kept[key] & ~wide[key] for key in kept}


def _gradient(fit: VisitFit) -> float:
    """Return by which share the polynomial's sky changes over the cells."""
    layout, design = fit.design.layout, fit.design
    coefficients = fit.solution.parameters[: layout.basis.n_terms]
    parts = []
    for terms in design.detectors.values():
        c = terms.cells
        if c.usable.any():
            parts.append(layout.basis.evaluate(coefficients, c.x_mm[c.usable], c.y_mm[c.usable]))
    low, middle, high = np.quantile(np.concatenate(parts), [0.02, 0.5, 0.98])
    return float((high - low) / max(abs(middle), 1e-9))


def _structure(fit: VisitFit, usable: Bools) -> float:
    """Return by which share of the sky local means scatter about the model.

    Half the width of the middle 68 % of all places with a measurement, masked ones too: what
    fills the field widens every measure of scatter, so that nothing stands out from it.
    """
    from scipy.ndimage import gaussian_filter

    parts = []
    pulls = fit.design.residuals(fit.solution.parameters)
    for key, terms in fit.design.detectors.items():
        there, width = usable[key], _STRUCTURE_PIX / terms.cells.cell_pix
        if there.any():
            weight = np.where(there, terms.cells.weight, 0.0)
            total = gaussian_filter(pulls[key] * np.sqrt(weight), width)
            parts.append(total[there] / gaussian_filter(weight, width)[there])
    low, high = np.quantile(np.concatenate(parts), [0.1587, 0.8413])
    return float(high - low) / 2 / max(fit.design.level, 1e-9)


def _faintest(design: Design, usable: Bools, reason: str) -> VisitFit:
    """Return one level for the whole field, that of the faintest tenth of its cells.

    Whatever has structure may be the nebula, and a level alone takes none of it away.
    """
    flat = {}
    for key, terms in design.detectors.items():
        flat[key] = np.where(usable[key], terms.cells.level / terms.shape, np.inf)
    pooled = np.concatenate([f[np.isfinite(f)] for f in flat.values()])
    limit = np.quantile(pooled, 0.1)
    used = {key: f <= limit for key, f in flat.items()}
    parameters = np.zeros(design.layout.size)
    parameters[0] = np.median(pooled[pooled <= limit])
    covariance = np.zeros((parameters.size, parameters.size))
    return VisitFit(design, Solution(parameters, covariance, 0, 0.0, 1.0), used, 0.1, reason)
