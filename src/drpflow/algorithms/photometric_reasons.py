"""Why visits and detectors have no zero point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.algorithms.photometric_input import usable

if TYPE_CHECKING:
    from drpflow.algorithms.fgcm import FgcmResult
    from drpflow.config.fgcm import FgcmConfig
    from drpflow.data.photometric_tables import Observations, Stars


NO_FLUX = "no isolated star has a usable flux on it"
RESERVED = "all its stars with a usable flux are reserved"
FAINT = "the errors of all its stars are above noise.max_error_mag = {limit:g}"
ALONE = "none of its stars is on another visit or in the reference catalogue"
ODD = "all its stars vary, or disagree with what is known of them"


def reasons(
    result: FgcmResult, observations: Observations, stars: Stars, config: FgcmConfig
) -> dict[tuple[int, int], str]:
    """Return why detectors have no zero point, by rows of visit and detector.

    Parameters
    ----------
    result
        The calibration.
    observations, stars
        What it was made from.
    config
        Limits.
    """
    without = _of_visits(result, observations, stars, config)
    cloud, limits = -result.gray, config.zero_points
    found = {}
    for visit, detector in np.argwhere(~np.isfinite(result.zero_point)).tolist():
        if visit in without:
            why = without[visit]
        elif cloud[visit, detector] > limits.max_cloud_mag:
            lost, most = cloud[visit, detector], limits.max_cloud_mag
            why = f"{lost:.2f} mag of cloud, more than zero_points.max_cloud_mag = {most:g}"
        else:
            most = limits.max_error_mag
            why = f"it would be too uncertain, more than zero_points.max_error_mag = {most:g}"
        found[visit, detector] = why
    return found


def _of_visits(
    result: FgcmResult, o: Observations, stars: Stars, config: FgcmConfig
) -> dict[int, str]:
    """Return why visits have no stars that count, by row."""
    n_visits, limit = len(result.zero_point), config.noise.max_error_mag
    good = usable(o)
    free = good & ~stars.reserved[o.star]
    precise = free & (o.mag_err <= limit)
    number = [np.bincount(o.visit[rows], minlength=n_visits) for rows in (good, free, precise)]
    found = {}
    for visit in np.flatnonzero(~result.n_star.any(axis=1)).tolist():
        with_flux, unreserved, told = (int(n[visit]) for n in number)
        steps = (
            (with_flux, NO_FLUX),
            (unreserved, RESERVED),
            (told, FAINT.format(limit=limit)),
            (int(result.n_fit[visit].sum()), ALONE),
            (0, ODD),
        )
        found[visit] = next(why for count, why in steps if count == 0)
    return found


def of_whole_visits(
    found: dict[tuple[int, int], str], n_visits: int, n_detectors: int
) -> dict[int, str]:
    """Return why visits have no zero point on any detector, by row: what holds for most of them."""
    by_visit: dict[int, list[str]] = {visit: [] for visit in range(n_visits)}
    for (visit, _), why in found.items():
        by_visit[visit].append(why)
    return {
        visit: _usual(texts)
        for visit, texts in by_visit.items()
        if len(texts) == n_detectors and texts
    }


def _usual(texts: list[str]) -> str:
    """Return the text whose kind, numbers aside, is the most frequent."""
    kinds = ["".join(c for c in text if not c.isdigit()) for text in texts]
    most = max(sorted(set(kinds)), key=kinds.count)
    same = [text for text, kind in zip(texts, kinds, strict=True) if kind == most]
    return sorted(same)[len(same) // 2]
