"""The choice of reserved stars."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.reserved_stars import is_reserved
from drpflow.config.associate_isolated_stars import ReserveConfig

CONFIG = ReserveConfig()


def sky(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("seed", [0, 7])
def test_the_share_is_as_wanted(fraction: float, seed: int) -> None:
    config = ReserveConfig(fraction=fraction, seed=seed)
    share = is_reserved(*sky(100_000, 1), config).mean()
    assert share == pytest.approx(fraction, abs=5 * np.sqrt(0.25 / 1e5))


def test_another_seed_is_another_choice() -> None:
    ra, dec = sky(100_000, 2)
    both = is_reserved(ra, dec, CONFIG) & is_reserved(ra, dec, ReserveConfig(seed=1))
    assert both.mean() == pytest.approx(0.01, abs=0.002)


def test_neighboring_cells_do_not_know_of_each_other() -> None:
    """Numbers in a row, as nested pixels of one field are, give no pattern."""
    x, y = np.meshgrid(np.arange(300), np.arange(300))
    reserved = is_reserved(150 + x.ravel() * 26 / 3600, y.ravel() * 26 / 3600, CONFIG)
    image = reserved.reshape(x.shape)
    assert image.mean() == pytest.approx(0.1, abs=0.01)
    # Some neighbours fall into one cell; two steps apart none do.
    assert (image[:, :-3] & image[:, 3:]).mean() == pytest.approx(0.01, abs=0.003)
    counts = image.reshape(10, 30, 10, 30).sum(axis=(1, 3))
    assert counts.std() < 2.5 * np.sqrt(900 * 0.09)


def test_positions_that_improve_keep_their_side() -> None:
    ra, dec = sky(100_000, 3)
    moved = is_reserved(ra, dec + 0.01 / 3600, CONFIG) != is_reserved(ra, dec, CONFIG)
    assert moved.mean() < 0.002
