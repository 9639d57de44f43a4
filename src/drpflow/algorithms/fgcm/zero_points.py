"""The last pass: a zero point, an error and a flag for each detector of each visit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.fgcm.groups import tied
from drpflow.algorithms.fgcm.layout import Block
from drpflow.algorithms.fgcm.patches import Patches, StarResiduals, visit_patches
from drpflow.algorithms.fgcm.second_flux import CloudRows, SecondFlux, first_flux

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
        Error of that, by visit, NaN without stars, (V,).
    flag
        (V, D).
    gray
        Gain by clear sky, negative for clouds [mag], NaN in visits without stars, (V, D).
    n_star
        Observations that count, (V, D).
    n_fit
        Observations in the fit, whether they count or not, (V, D).
    local
        Legendre coefficients over the detectors of the polynomial over the field and the star
        flat, (V, D, K).
    patches
        Of the clouds beyond them, by visit: (D, K'), K' as the order that was used.
    tied
        Whether there are reference stars in the visit's group, (V,).
    cloud_flux_offset
        First less second flux, NaN where that was not used [mag], (V, D).
    """

    zero_point: Floats
    error: Floats
    offset_error: Floats
    flag: Ints
    gray: Floats
    n_star: Ints
    n_fit: Ints
    local: Floats
    patches: dict[int, Floats]
    tied: Bools
    cloud_flux_offset: Floats


def zero_points(
    solution: Solution,
    group: Ints,
    reference_slope: Floats,
    config: FgcmConfig,
    second: SecondFlux | None = None,
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
    second
        What another flux tells of the clouds.
    """
    model, layout = solution.problem.model, solution.problem.model.layout
    v, d, k = layout.n_visits, layout.n_detectors, layout.n_local
    patches = _all_patches(solution, second, config)
    patchy = np.isin(np.arange(v), list(patches))
    even = (solution.clouds.clear > 0.5) & ~patchy
    beyond, beyond_variance = _beyond(solution, patches, even)
    local = solution.state.local[: v * d].reshape(v, d, k)
    own = layout.block(Block.GRAY, solution.parameters)
    n_fit, n_star = _count(solution, solution.weight >= 0), _count(solution, solution.weight > 0)
    seen = n_star.sum(axis=1) > 0
    gray = np.where(
        seen[:, None], np.einsum("dt,vt->vd", model.gray_maps[:, 0], own) + beyond, np.nan
    )
    band = model.visits.band
    slope, standard = reference_slope[band][:, None], model.i10_std[band][:, None]
    i10 = solution.state.i10[: v * d].reshape(v, d)
    color = _A * (np.log1p(slope * i10) - np.log1p(slope * standard))
    variance, common = _variances(solution, group, slope, standard)
    of_images = np.where(even, _left_by_images(solution), 0.0)[:, None]
    variance = _without_own_polynomial(variance, patchy, solution) + of_images
    error = np.sqrt(np.maximum(variance, 0.0) + beyond_variance)
    flag = _flags(solution, error, gray, n_star, config)
    impossible = (flag & Flag.IMPOSSIBLE) > 0
    rows = solution.problem.rows
    return ZeroPoints(
        np.where(impossible, np.nan, local[:, :, 0] + beyond + color),
        np.where(impossible, np.nan, error),
        np.where(seen, np.sqrt(common), np.nan),
        flag,
        gray,
        n_star,
        n_fit,
        local,
        {visit: found.local for visit, found in patches.items()},
        tied(rows, group, solution.weight, d),
        np.full((v, d), np.nan) if second is None else second.offset,
    )


def _beyond(solution: Solution, patches: dict[int, Patches], even: Bools) -> tuple[Floats, Floats]:
    """Return what detector images have beyond the model of their visit, and its variance, (V, D).

    That is what patches of clouds tell, and in even visits what the stars of an image share; what
    the latter leaves in the variance is :func:`_left_by_images`.
    """
    v, d = solution.problem.model.layout.n_visits, solution.problem.model.layout.n_detectors
    beyond, variance = np.zeros((v, d)), np.zeros((v, d))
    for visit, found in patches.items():
        beyond[visit], variance[visit] = found.local[:, 0], found.variance
    beyond[even] -= solution.shared.offset[: v * d].reshape(v, d)[even]
    return beyond, variance


def _count(solution: Solution, wanted: Bools) -> Ints:
    """Return how many of the wanted observations each detector image has, (V, D)."""
    layout, rows = solution.problem.model.layout, solution.problem.rows
    count = np.bincount(rows.group[wanted], minlength=rows.n_groups)
    return count[: rows.n_groups].reshape(layout.n_visits, layout.n_detectors).astype(np.int32)


def _all_patches(
    solution: Solution, second: SecondFlux | None, config: FgcmConfig
) -> dict[int, Patches]:
    """Return the patches of the visits that have any.

    The second flux tells clouds; of clear visits it knows no more than the first, and less where
    the background is uneven.
    """
    layout, detectors = solution.problem.model.layout, solution.problem.model.detectors
    z = config.zero_points
    degree = max(layout.flat_order, z.patch_order)
    is_clear = solution.clouds.clear > 0.5
    none = np.zeros((layout.n_visits, layout.n_detectors))
    by_first = _by_visit(first_flux(solution), none)
    clouds = by_first if second is None else _by_visit(second.rows, second.offset_variance)
    patches = {}
    for visit, clear in enumerate(is_clear.tolist()):
        stars = by_first[visit] if clear else clouds[visit]
        if stars.value.size < 3 * z.min_stars:
            continue
        found = visit_patches(stars, detectors, degree, config, clear=clear)
        if found is not None:
            patches[visit] = found
    return patches


def _by_visit(rows: CloudRows, shared: Floats) -> list[StarResiduals]:
    """Return the residuals of each visit's stars; `shared` is (V, D), NaN for none."""
    v, d = shared.shape
    used, value, variance = rows.left_out(v * d)
    visit = rows.group[used] // d
    order = np.argsort(visit, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(visit, minlength=v))[:-1])
    return [
        StarResiduals(
            (rows.group[used[part]] % d).astype(np.int32),
            rows.u[used[part]],
            rows.v[used[part]],
            value[part],
            variance[part],
            np.nan_to_num(shared[number]),
        )
        for number, part in enumerate(parts)
    ]


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
    seen = _count(solution, solution.weight > 0) > 0
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
    seen = _count(solution, solution.weight > 0).any(axis=1)
    clear = (solution.clouds.clear > 0.5) & ~patchy & seen
    for visit in np.flatnonzero(patchy):
        like = clear & (band == band[visit])
        if like.any():
            out[visit] = np.minimum(variance[visit], np.median(variance[like], axis=0))
    return out


def _left_by_images(solution: Solution) -> Floats:
    """Return what is to be added to variances for what the stars of an image share, (V,).

    A zero point z is the mean over its detector of a smooth model ẑ and of b with the variance s².
    With the most probable b, the error has the variance of ẑ and ``s² (1 - 2 h - s² H_gg)``, with
    ``h = ∂ẑ/∂b`` and the second part what the residuals tell of b; the mean of the clear images of
    a band. Under clouds, and where a visit has patches, the process follows b.
    """
    visits = solution.problem.model.visits
    left = solution.shared.left[: solution.problem.rows.n_groups].reshape(len(visits), -1)
    out = np.zeros(len(visits))
    for label in np.unique(visits.band):
        mine = left[visits.band == label]
        if np.isfinite(mine).any():
            out[visits.band == label] = np.nanmean(mine)
    return solution.noise.shared * out


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
