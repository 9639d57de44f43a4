"""Scores of artifact masks of simulated stacks (:mod:`warp_stacks`) against their truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import binary_dilation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warp_stacks import Truth

    from drpflow.data.geometry import Box
    from drpflow.data.warp_masks import WarpMask

Counts = dict[str, list[int]]
# So near to a cosmic ray or an asteroid what is masked of those may reach a source.
_BESIDE_PIX = 12.0


def artifact_counts(masks: Mapping[int, WarpMask], truth: Truth, box: Box, limit: int) -> Counts:
    """Return, by name, how many there are and how many are masked.

    ``trails`` are pixels with more than 1.5 noises of trail light, ``trails_faint`` those with 0.5
    to 1.5; ``rays`` cosmic rays above 10 sigma of which 70 % of the pixels are masked;
    ``ghosts`` pixels with more than 1 noise of ghost light, ``ghosts_faint`` with 0.5 to 1;
    ``asteroids`` those above 10 sigma whose central pixel is masked; ``clean`` pixels far from
    everything; ``variables`` and ``transients`` central pixels of variable stars, and of transients
    that shine in more visits than `limit`, in each visit.
    """
    counts: Counts = {}

    def add(name: str, number: int, masked: int) -> None:
        found = counts.setdefault(name, [0, 0])
        found[0] += int(number)
        found[1] += int(masked)

    for visit, mask in masks.items():
        marked = mask.paint(box)
        for name, light in (("trails", truth.trails), ("ghosts", truth.ghosts)):
            if visit in light:
                level = 1.5 if name == "trails" else 1.0
                strong = light[visit] > level
                faint = (light[visit] > 0.5) & ~strong
                add(name, strong.sum(), marked[strong].sum())
                add(name + "_faint", faint.sum(), marked[faint].sum())
        for snr, rows, columns in truth.rays[visit]:
            if snr > 10:
                y = np.clip(np.round(rows).astype(int), 0, box.height - 1)
                x = np.clip(np.round(columns).astype(int), 0, box.width - 1)
                add("rays", 1, marked[y, x].mean() >= 0.7)
        for snr, x, y in truth.asteroids[visit]:
            if snr > 10:
                add("asteroids", 1, marked[round(y), round(x)])
        add("clean", truth.clean[visit].sum(), (marked & truth.clean[visit]).sum())
        _sources(add, visit, marked, truth, limit)
    return counts


def _sources(add: object, visit: int, marked: np.ndarray, truth: Truth, limit: int) -> None:
    """Count variable stars and transients; those under anything that is masked are left out."""
    covered = np.zeros(marked.shape, bool)
    for light in (truth.trails, truth.ghosts):
        if visit in light:
            covered |= light[visit] > 0.05
    covered = binary_dilation(covered, iterations=20)
    spots = [(r.mean(), c.mean()) for _, r, c in truth.rays[visit]]
    spots += [(y, x) for _, x, y in truth.asteroids[visit]]
    places = np.array(spots).reshape(-1, 2)
    for name, sources in (("variables", truth.variables), ("transients", truth.transients)):
        for x, y, flux in sources:
            there = np.count_nonzero(flux) > limit
            j, i = round(y), round(x)
            beside = np.hypot(places[:, 0] - y, places[:, 1] - x).min(initial=np.inf)
            if there and not covered[j, i] and beside > _BESIDE_PIX:
                add(name, 1, marked[j, i])  # type: ignore[operator]
