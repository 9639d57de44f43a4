"""The parameters of the fit as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.algorithms.fgcm.layout import Block, degrees
from drpflow.algorithms.fgcm.result import Parameter

if TYPE_CHECKING:
    from drpflow.algorithms.fgcm.cycles import Solution

_NIGHT = (
    ("ln_pwv", "ln(mm)"),
    ("ln_pwv_slope", "h-1"),
    ("ozone", "dobson"),
    ("aerosol_tau", ""),
    ("aerosol_tau_slope", "h-1"),
    ("aerosol_alpha", ""),
    ("night_gray", "mag"),
)
SENSITIVITY, PASSBAND_SHIFT, STAR_FLAT = "sensitivity", "passband_shift", "star_flat_"
_BAND = (
    ("seeing", "mag"),
    ("seeing_square", "mag"),
    (SENSITIVITY, ""),
    ("reference_color_term", ""),
)


def parameter_table(solution: Solution) -> tuple[Parameter, ...]:
    """Return all parameters but those of the visits' gray, with their errors."""
    model = solution.problem.model
    layout, visits = model.layout, model.visits
    error = np.sqrt(np.diag(solution.covariance))
    out: list[Parameter] = []

    def add(kind: Block, names: tuple[tuple[str, str], ...], owners: list[dict[str, Any]]) -> None:
        """Append the parameters of a block, a row an owner."""
        values = layout.block(kind, solution.parameters)
        errors = layout.block(kind, error)
        for row, owner in enumerate(owners):
            for column, (name, unit) in enumerate(names):
                value, sigma = float(values[row, column]), float(errors[row, column])
                out.append(Parameter(name, unit, value, sigma, **owner))

    add(Block.NIGHT, _NIGHT, [{"night": int(n)} for n in layout.nights])
    filters = [
        {"filter": visits.physical_filters[f], "epoch": int(e)} for f, e in layout.throughputs
    ]
    add(Block.THROUGHPUT, (("throughput", "mag"), ("drift", "mag")), filters)
    add(Block.NIGHT_FILTER, (("night_filter_gray", "mag"),), _night_filters(solution))
    add(Block.BAND, _BAND, [{"band": band} for band in visits.bands])
    ids = [int(i) for i in model.detectors.id]
    owners = [owner | {"detector": i} for owner in filters for i in ids]
    terms = [(name, "mag") for name in star_flat_names(layout.flat_order)]
    add(Block.FLAT, (*terms, (PASSBAND_SHIFT, "nm")), owners)
    return tuple(out)


def _night_filters(solution: Solution) -> list[dict[str, Any]]:
    layout, visits = solution.problem.model.layout, solution.problem.model.visits
    owners: list[dict[str, Any]] = [{} for _ in range(layout.n_night_filters)]
    for row, block in enumerate(layout.night_filter):
        owners[block] = {
            "night": int(visits.night[row]),
            "filter": visits.physical_filters[visits.physical_filter[row]],
        }
    return owners


def star_flat_names(order: int) -> list[str]:
    """Return names of the terms of a star flat, which end in the powers of u and v."""
    degree = degrees(order)
    second = np.concatenate([np.arange(n + 1) for n in range(order + 1)])
    return [f"{STAR_FLAT}{n - j}{j}" for n, j in zip(degree, second, strict=True)]
