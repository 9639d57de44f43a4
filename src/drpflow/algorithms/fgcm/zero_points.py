"""The last pass: a zero point, an error and a flag for each detector of each visit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.fgcm.layout import Block, n_terms
from drpflow.algorithms.fgcm.patches import StarResiduals, visit_patches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.fgcm.cycles import Solution
    from drpflow.config.fgcm import FgcmConfig

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int32]
    Bools: TypeAlias = NDArray[np.bool_]

_A = 2.5 / np.log(10.0)
# Groups whose covariances are gathered at once.
_CHUNK = 4096


class Flag(IntFlag):
    """What a zero point is worth; one of the first five, with FEW_STARS or without."""

    PHOTOMETRIC = 1
    PHOTOMETRIC_NOT_FIT = 2
    NOT_PHOTOMETRIC = 4
    NOT_PHOTOMETRIC_NOT_FIT = 8
    IMPOSSIBLE = 16
    FEW_STARS = 32


@dataclass(frozen=True, eq=False)
class ZeroPoints:
    """Zero points of V visits and D detectors.

    Parameters
    ----------
    zero_point
        Mean over the detector, for a star of the band's reference slope [mag]; NaN where
        impossible, (V, D).
    error
        Beside what all zero points of a band and connected group have in common, (V, D).
    offset_error
        Error of that, by visit, (V,).
    flag
        (V, D).
    gray
        Gain by clear sky, negative for clouds [mag], (V, D).
    n_star
        Observations that count, (V, D).
    local
        Legendre coefficients over the detectors, (V, D, K); [0] is the zero point without colour.
    patchy
        Whether the visit has a field beyond the polynomial, (V,).
    """

    zero_point: Floats
    error: Floats
    offset_error: Floats
    flag: Ints
    gray: Floats
    n_star: Ints
    local: Floats
    patchy: Bools


def zero_points(
    solution: Solution, group: Ints, reference_slope: Floats, config: FgcmConfig
) -> ZeroPoints:
    """Return the zero points of a solution.

    Parameters
    ----------
    solution
        The end of the cycles.
    group
        Connected group of each visit, (V,): see :func:`drpflow.algorithms.fgcm.groups.connect`.
    reference_slope
        κ F' for which zero points hold, by band, (B,).
    config
        Limits.
    """
    model, layout = solution.problem.model, solution.problem.model.layout
    v, d, k = layout.n_visits, layout.n_detectors, layout.n_local
    patchy, patch_variance, patch = _all_patches(solution, config)
    local = patch.copy()
    local[:, :, :k] += solution.state.local[: v * d].reshape(v, d, k)
    own = layout.block(Block.GRAY, solution.parameters)
    gray = np.einsum("dt,vt->vd", model.gray_maps[:, 0], own)
    gray += patch[:, :, 0]
    band = model.visits.band
    slope, standard = reference_slope[band][:, None], model.i10_std[band][:, None]
    i10 = solution.state.i10[: v * d].reshape(v, d)
    color = _A * (np.log1p(slope * i10) - np.log1p(slope * standard))
    variance, common = _variances(solution, group, slope, standard)
    variance = _without_own_polynomial(variance, patchy, solution)
    error = np.sqrt(variance + patch_variance)
    n_star = _count(solution)
    flag = _flags(solution, error, gray, n_star, config)
    impossible = (flag & Flag.IMPOSSIBLE) > 0
    return ZeroPoints(
        np.where(impossible, np.nan, local[:, :, 0] + color),
        np.where(impossible, np.nan, error),
        np.sqrt(common),
        flag,
        gray,
        n_star,
        local,
        patchy,
    )


def _count(solution: Solution) -> Ints:
    layout, rows = solution.problem.model.layout, solution.problem.rows
    count = np.bincount(rows.group[solution.weight > 0], minlength=rows.n_groups)
    return count[: rows.n_groups].reshape(layout.n_visits, layout.n_detectors).astype(np.int32)


def _all_patches(solution: Solution, config: FgcmConfig) -> tuple[Bools, Floats, Floats]:
    """Return which visits have patches, their variances (V, D) and polynomials (V, D, K).

    K is the number of terms of the largest order that was used, or of the star flat if that has
    more.
    """
    problem = solution.problem
    rows, layout = problem.rows, problem.model.layout
    detectors = problem.model.detectors
    v, d = layout.n_visits, layout.n_detectors
    patchy, variance = np.zeros(v, np.bool_), np.zeros((v, d))
    z = config.zero_points
    degree = max(layout.flat_order, z.patch_order)
    local = np.zeros((v, d, n_terms(degree)))
    most = layout.n_local
    used, value, noise = _left_out_residuals(solution)
    visit = rows.group[used] // d
    order = np.argsort(visit, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(visit, minlength=v))[:-1])
    for number, part in enumerate(parts):
        if part.size < 3 * z.min_stars:
            continue
        row = used[part]
        stars = StarResiduals(
            rows.group[row] % d,
            rows.u[row].astype(np.float64),
            rows.v[row].astype(np.float64),
            value[part],
            noise[part],
        )
        clear = bool(solution.clouds.clear[number] > 0.5)
        found = visit_patches(stars, detectors, degree, config, clear=clear)
        if found is not None:
            patchy[number] = True
            terms = found.local.shape[1]
            most = max(most, terms)
            local[number, :, :terms], variance[number] = found.local, found.variance
    return patchy, variance, local[:, :, :most]


def _left_out_residuals(solution: Solution) -> tuple[NDArray[np.intp], Floats, Floats]:
    """Return rows, star less observation with the star's magnitude from its other rows, variance.

    The extra scatter of its visit is left out of an observation's variance: what neighbours share
    is what is looked for.
    """
    rows, noise = solution.problem.rows, solution.noise
    reference = rows.is_reference
    kind = rows.band[rows.pair] + noise.factor.size // 2 * reference
    own = (noise.factor[kind] * rows.err) ** 2 + noise.floor[kind] ** 2
    visit = np.where(reference, 0, rows.group // solution.problem.model.layout.n_detectors)
    shared = np.where(reference, 0.0, (noise.extra + noise.shared)[visit])
    weight = np.where(solution.weight > 0, 1 / (own + shared), 0.0)
    value = solution.residuals.calibrated
    total = np.bincount(rows.pair, weight, minlength=rows.n_pairs)[rows.pair]
    sums = np.bincount(rows.pair, weight * value, minlength=rows.n_pairs)[rows.pair]
    used = np.flatnonzero((weight > 0) & ~reference & (weight < (1 - 1e-6) * total))
    rest = total[used] - weight[used]
    left = (sums[used] - weight[used] * value[used]) / rest - value[used]
    return used, left, own[used] + 1 / rest


def _variances(
    solution: Solution, group: Ints, slope: Floats, standard: Floats
) -> tuple[Floats, Floats]:
    """Return variances of zero points about their group's mean (V, D), and of those means (V,)."""
    model, layout = solution.problem.model, solution.problem.model.layout
    v, d, k = layout.n_visits, layout.n_detectors, layout.n_local
    state = solution.state
    i10 = state.i10[: v * d].reshape(v, d)
    kappa = state.kappa[model.visits.band][:, None]
    by_i10 = (_A * slope / (1 + slope * i10)).ravel()
    by_kappa = _A * slope / kappa * (i10 / (1 + slope * i10) - standard / (1 + slope * standard))
    transfer = state.transfer[: v * d, :, : layout.offset[Block.REGION]]
    vector = transfer[:, 0] + by_i10[:, None] * transfer[:, k]
    vector += by_kappa.ravel()[:, None] * transfer[:, k + 1]
    widths = layout.widths[: Block.REGION]
    column = np.concatenate(
        [model.starts[: v * d, j, None] + np.arange(w) for j, w in enumerate(widths)], axis=1
    )
    covariance = solution.covariance
    flat = np.empty(v * d)
    for begin in range(0, v * d, _CHUNK):
        part = slice(begin, begin + _CHUNK)
        c = column[part]
        block = covariance[c[:, :, None], c[:, None, :]]
        flat[part] = np.einsum("ga,gab,gb->g", vector[part], block, vector[part])
    own = flat.reshape(v, d)
    common = np.zeros(v)
    seen = _count(solution) > 0
    clear = solution.clouds.clear > 0.5
    for label in np.unique(group):
        members = np.flatnonzero(group == label)
        basis = seen[members] & clear[members, None]
        basis = basis if basis.any() else seen[members]
        if not basis.any():
            continue
        mean = np.zeros(layout.size)
        chosen = (members[:, None] * d + np.arange(d))[basis]
        np.add.at(mean, column[chosen], vector[chosen] / chosen.size)
        times = covariance @ mean
        every = (members[:, None] * d + np.arange(d)).ravel()
        cross = (vector[every] * times[column[every]]).sum(axis=1).reshape(-1, d)
        common[members] = mean @ times
        own[members] += mean @ times - 2 * cross
    return np.maximum(own, 0.0), common


def _without_own_polynomial(variance: Floats, patchy: Bools, solution: Solution) -> Floats:
    """Return the variances, in patchy visits those of the stars' system alone, (V, D).

    What the polynomial of such a visit has wrong is in the residuals, and the patches mend it; it
    would count twice. What remains is what the visit shares with clear ones of its band.
    """
    out = variance.copy()
    band = solution.problem.model.visits.band
    clear = (solution.clouds.clear > 0.5) & ~patchy & (_count(solution).sum(axis=1) > 0)
    for visit in np.flatnonzero(patchy):
        like = clear & (band == band[visit])
        if like.any():
            out[visit] = np.minimum(variance[visit], np.median(variance[like], axis=0))
    return out


def _flags(
    solution: Solution, error: Floats, gray: Floats, n_star: Ints, config: FgcmConfig
) -> Ints:
    """Return the flags, (V, D)."""
    layout, z = solution.problem.model.layout, config.zero_points
    photometric = solution.clouds.photometric(config.gray)
    seen = n_star.sum(axis=1) > 0
    per_night = np.bincount(layout.night[photometric & seen], minlength=layout.nights.size)
    fit = (per_night >= config.air.min_visits)[layout.night]
    flag = np.select(
        [photometric & fit, photometric, fit],
        [Flag.PHOTOMETRIC, Flag.PHOTOMETRIC_NOT_FIT, Flag.NOT_PHOTOMETRIC],
        Flag.NOT_PHOTOMETRIC_NOT_FIT,
    )
    flags = np.repeat(flag[:, None], layout.n_detectors, axis=1)
    impossible = ~seen[:, None] | ~(error <= z.max_error_mag) | (gray < -z.max_cloud_mag)
    flags = np.where(impossible, int(Flag.IMPOSSIBLE), flags)
    return (flags | np.where(n_star < z.min_stars, int(Flag.FEW_STARS), 0)).astype(np.int32)
