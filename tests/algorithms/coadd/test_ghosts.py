"""Wide light of few visits is told from levels that wander."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from drpflow.algorithms.coadd.epochs import epoch_limit
from drpflow.algorithms.coadd.ghosts import count_uneven, few_squares, find_ghosts
from drpflow.config.compare_warp_assemble_coadd import CompareWarpAssembleCoaddConfig

CONFIG = CompareWarpAssembleCoaddConfig()
GHOSTS = CONFIG.ghosts


def _few(levels: np.ndarray, visit: int) -> np.ndarray:
    """Return the squares of a visit that are kept as ghosts."""
    counts = count_uneven(list(levels), GHOSTS)
    limit = epoch_limit(len(levels), CONFIG.epochs)
    return few_squares(find_ghosts(levels[visit], GHOSTS), levels[visit], counts, limit, GHOSTS)


@pytest.mark.parametrize("n", [2, 3, 5, 8, 15])
def test_the_lack_that_a_ghost_leaves_in_all_others_does_not_hide_it(n: int) -> None:
    """Seen against the mean of the others, in noises that differ by a factor of two."""
    rng = np.random.default_rng(n)
    noise = np.linspace(1.0, 2.0, n)[:, None, None]
    light = rng.normal(0, 0.02, (n, 20, 20))
    light[0, 5:12, 6:14] += 1.5
    others = (light.sum(axis=0) - light) / (n - 1)
    levels = np.clip((light - others) / noise, -0.7, 0.7).astype(np.float32)
    kept = _few(levels, 0)
    assert kept[5:12, 6:14].all()
    assert kept.sum() == 7 * 8
    for visit in range(1, n):
        assert not _few(levels, visit).any()


def test_places_whose_level_wanders_up_and_down_have_no_ghosts() -> None:
    rng = np.random.default_rng(3)
    n = 59
    wander = gaussian_filter(rng.normal(0, 1, (n, 40, 40)), (0, 2, 2))
    wander *= 0.15 / wander.std()
    # A quarter of the field is even, and has a ghost.
    wander[:, 20:, 20:] = rng.normal(0, 0.03, (n, 20, 20))
    wander[7, 26:34, 25:33] += 0.5
    levels = np.clip(wander, -0.7, 0.7).astype(np.float32)
    levels[4, :, :10] = np.nan
    marked = sum(int(find_ghosts(one, GHOSTS)[:18, :18].sum()) for one in levels)
    assert marked > 500
    kept = np.array([_few(levels, visit) for visit in range(n)])
    assert kept[7, 26:34, 25:33].all()
    # Without those that have less light, 4 % of them would be of few visits.
    assert kept[:, :18, :18].sum() < 0.01 * marked


def test_a_lack_of_light_is_found_where_others_are_even() -> None:
    levels = np.random.default_rng(1).normal(0, 0.03, (6, 15, 15)).astype(np.float32)
    levels[2, 4:9, 4:9] = -0.5
    assert _few(levels, 2)[4:9, 4:9].all()
    levels[:, :, 7:] = np.nan
    assert _few(levels, 2)[4:9, 4:7].all()
    assert not _few(levels, 2)[:, 7:].any()
