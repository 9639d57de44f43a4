"""Point sources found by their size: a narrow locus in a broad distribution.

Stars of one exposure share one size, up to a few per cent across a detector; galaxies spread over
a factor of three, and what is left of cosmic rays and defects is smaller than stars. The
distribution of log σ therefore has a narrow peak, which is found as a maximum of its density,
and then followed as a smooth field over the detector.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.config.psf import StarSelectionConfig

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]
    Columns: TypeAlias = Mapping[str, NDArray]

_FIELD_ROUNDS = 5
# Stars per term that a polynomial of the locus needs.
_STARS_PER_TERM = 6
_MAX_FIELD_ORDER = 2


@dataclass(frozen=True, eq=False)
class StarSelection:
    """The sources that look like isolated stars.

    Parameters
    ----------
    selected
        Shape (N,).
    size_pix
        Size of the locus: median determinant radius √(√(Ixx Iyy - Ixy²)) of what is selected.
    reasons
        Number of sources refused, by the first reason that held.
    """

    selected: Bools
    size_pix: float
    reasons: dict[str, int] = field(default_factory=dict)


def select_stars(columns: Columns, flags: Bools, config: StarSelectionConfig) -> StarSelection:
    """Select isolated stars from measured shapes.

    Parameters
    ----------
    columns
        ``x``, ``y`` [pix], ``ixx``, ``iyy``, ``ixy`` [pix²] (adaptive moments), ``flux``,
        ``flux_err`` of every source found, faint ones too (they are neighbours); shape (N,).
    flags
        Sources not to use: saturated, on defects, at the edge, shape failed. Shape (N,).
    config
        Parameters.

    Returns
    -------
    StarSelection

    Raises
    ------
    AlgorithmError
        If no source qualifies.

    Notes
    -----
    0.05 s for 5,000 sources.
    """
    fate = _Fate(len(flags))
    fate.refuse(np.asarray(flags, bool), "flagged")
    size, shape_ok = _sizes(columns, config)
    fate.refuse(~shape_ok, "shape")
    snr = np.nan_to_num(columns["flux"] / columns["flux_err"], nan=0.0)
    limit = config.min_snr
    if (fate.alive & (snr >= limit)).sum() < config.min_stars:
        limit = min(config.fallback_snr, limit)
    fate.refuse(snr < limit, "faint")
    if not fate.alive.any():
        raise AlgorithmError(
            "no source is bright and clean enough to be a PSF star",
            {"sources": len(flags), **fate.counts},
            "Look at the image; lower star_selection.fallback_snr if it is short or cloudy.",
        )
    fate.refuse(~_on_locus(size, fate.alive, config), "size")
    fate.refuse(~_follows_field(columns, size, snr, fate.alive, config), "field")
    sigma = float(np.median(size[fate.alive]))
    fate.refuse(~_isolated(columns, sigma, fate.alive, config), "neighbor")
    fate.refuse(~_brightest(columns, fate.alive, config.max_stars), "surplus")
    return StarSelection(fate.alive, float(np.median(size[fate.alive])), fate.counts)


class _Fate:
    """Which sources are still in, and why the others are not."""

    def __init__(self, number: int) -> None:
        self.alive: Bools = np.ones(number, bool)
        self.counts: dict[str, int] = {}

    def refuse(self, refused: Bools, reason: str) -> None:
        self.counts[reason] = int((self.alive & refused).sum())
        self.alive = self.alive & ~refused


def _sizes(columns: Columns, config: StarSelectionConfig) -> tuple[Floats, Bools]:
    """Return determinant radii, NaN where there is none, and which are within the range."""
    determinant = columns["ixx"] * columns["iyy"] - columns["ixy"] ** 2
    valid = np.isfinite(determinant) & (determinant > 0) & np.isfinite(columns["flux"])
    size = np.where(valid, determinant, np.nan) ** 0.25
    with np.errstate(invalid="ignore"):
        valid &= (size >= config.min_sigma_pix) & (size <= config.max_sigma_pix)
    return size, valid


def _on_locus(size: Floats, alive: Bools, config: StarSelectionConfig) -> Bools:
    """Return what lies within `max_width` of the smallest size that is populous.

    The density of log σ is summed on a grid with a Gaussian kernel. Cosmic rays that survived
    have no common size; where a field is full of galaxies, their density is spread ten times
    wider than that of stars.
    """
    logs = np.log(size[alive])
    grid = np.arange(np.log(config.min_sigma_pix), np.log(config.max_sigma_pix), 0.005)
    counts, _ = np.histogram(logs, np.append(grid, grid[-1] + 0.005) - 0.0025)
    reach = np.arange(-4 * config.kernel_width, 4 * config.kernel_width + 0.0025, 0.005)
    density = np.convolve(counts, np.exp(-0.5 * (reach / config.kernel_width) ** 2), "same")
    inner = np.r_[density[0], density[:-1]], np.r_[density[1:], density[-1]]
    is_peak = (density >= inner[0]) & (density >= inner[1])
    populous = is_peak & (density >= config.peak_fraction * density.max())
    center = grid[np.flatnonzero(populous)[0]]
    # The mode is sharper than the kernel: a few steps of the mean shift refine it.
    for _ in range(10):
        near = np.abs(logs - center) < np.log1p(config.max_width)
        if near.any():
            center = float(np.median(logs[near]))
    with np.errstate(invalid="ignore"):
        return np.abs(np.log(size) - center) < np.log1p(config.max_width)


def _follows_field(
    columns: Columns, size: Floats, snr: Floats, alive: Bools, config: StarSelectionConfig
) -> Bools:
    """Return which sources follow smooth fields of size and ellipticity over the image."""
    trace = np.where(alive, columns["ixx"] + columns["iyy"], 1.0)
    values = np.array(
        [
            np.log(np.where(alive, size, 1.0)),
            (columns["ixx"] - columns["iyy"]) / trace,
            2 * columns["ixy"] / trace,
        ]
    )
    # Photon noise of log σ and of a component of the ellipticity of a Gaussian: 1 and √2 over
    # the signal-to-noise ratio; the latter serves for all.
    noise = np.hypot(np.sqrt(2) / np.maximum(snr, 1), config.width_floor)
    keep = alive.copy()
    for _ in range(_FIELD_ROUNDS):
        deviation = np.array([_deviation(columns, value, keep) for value in values])
        spread = 1.4826 * np.median(np.abs(deviation[:, keep]), axis=1)
        limit = config.clip_sigma * np.maximum(noise, np.minimum(spread, 0.1)[:, None])
        now = alive & (np.abs(deviation) <= limit).all(axis=0)
        if np.array_equal(now, keep) or not now.any():
            break
        keep = now
    return keep


def _deviation(columns: Columns, values: Floats, keep: Bools) -> Floats:
    """Return values minus a polynomial through those that are kept, robustly."""
    from drpflow.data.polynomial import Basis2D, Domain

    x, y = columns["x"], columns["y"]
    order = _MAX_FIELD_ORDER
    while order and (order + 1) * (order + 2) // 2 * _STARS_PER_TERM > keep.sum():
        order -= 1
    if order == 0:
        return values - np.median(values[keep])
    half_pixel = 0.5
    domain = Domain(
        x[keep].min() - half_pixel,
        x[keep].max() + half_pixel,
        y[keep].min() - half_pixel,
        y[keep].max() + half_pixel,
    )
    design = Basis2D(order, domain).design(x, y)
    residual = values - np.median(values[keep])
    for _ in range(10):
        scale = 1.4826 * np.median(np.abs(residual[keep])) + 1e-12
        # Weights of a Cauchy distribution: a few galaxies among the stars do not pull.
        weight = 1 / np.sqrt(1 + (residual[keep] / (2 * scale)) ** 2)
        solution = np.linalg.lstsq(
            design[keep] * weight[:, None], values[keep] * weight, rcond=None
        )[0]
        residual = values - design @ solution
    return residual


def _isolated(columns: Columns, sigma: float, alive: Bools, config: StarSelectionConfig) -> Bools:
    """Return which sources have faint neighbours only.

    In a crowded field the limit is doubled until enough stars pass: a model from somewhat
    contaminated stars, whose neighbours are masked, is better than none.
    """
    from scipy.spatial import cKDTree

    x, y, flux = columns["x"], columns["y"], np.nan_to_num(columns["flux"])
    usable = np.isfinite(x) & np.isfinite(y)
    tree = cKDTree(np.column_stack([x, y])[usable])
    rows = np.flatnonzero(usable)
    stars = np.flatnonzero(alive)
    share = np.zeros(len(x))
    near = tree.query_ball_point(
        np.column_stack([x, y])[stars], config.neighbor_radius * max(sigma, 0.5)
    )
    for star, neighbors in zip(stars, near, strict=True):
        others = rows[neighbors]
        others = others[others != star]
        share[star] = np.maximum(flux[others], 0).sum() / flux[star]
    limit = config.max_neighbor_fraction
    wanted = min(config.min_stars, len(stars))
    while (share[stars] <= limit).sum() < wanted:
        limit = max(2 * limit, 0.01)
    return share <= limit


def _brightest(columns: Columns, alive: Bools, number: int) -> Bools:
    """Return the brightest sources, the same number from each cell of an 8 × 8 grid if it can."""
    stars = np.flatnonzero(alive)
    if stars.size <= number:
        return alive
    x, y = columns["x"][stars], columns["y"][stars]
    cells = [np.minimum(((v - v.min()) / max(np.ptp(v), 1.0) * 8).astype(int), 7) for v in (x, y)]
    cell = cells[0] + 8 * cells[1]
    order = np.argsort(-columns["flux"][stars], kind="stable")
    rank = np.empty(stars.size, int)
    for key in range(64):
        members = order[cell[order] == key]
        rank[members] = np.arange(members.size)
    best = np.lexsort((-columns["flux"][stars], rank))[:number]
    kept = np.zeros(alive.shape, bool)
    kept[stars[best]] = True
    return kept
