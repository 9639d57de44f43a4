"""Stars told from galaxies, cosmic rays and blends by size."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.star_selection import select_stars
from drpflow.config.psf import StarSelectionConfig
from drpflow.errors import AlgorithmError

SIZE = 1000


def sources(
    stars: int,
    galaxies: int,
    hits: int,
    *,
    sigma: float = 1.8,
    gradient: float = 0.0,
    seed: int = 0,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns, and which rows are stars."""
    rng = np.random.default_rng([7, seed])
    n = stars + galaxies + hits
    x, y = rng.uniform(0, SIZE, (2, n))
    kind = np.repeat([0, 1, 2], [stars, galaxies, hits])
    size = np.select(
        [kind == 0, kind == 1],
        [sigma * (1 + gradient * (x / SIZE - 0.5)), sigma * rng.lognormal(0.5, 0.35, n)],
        rng.uniform(0.5, 0.8, n) * sigma,
    )
    snr = 30 * 20 ** rng.uniform(0, 1, n)
    size = size * (1 + rng.normal(0, 1, n) / snr)
    e1, e2 = rng.normal(0, np.where(kind == 0, 0.01, 0.25), (2, n))
    e1, e2 = np.clip(e1, -0.6, 0.6), np.clip(e2, -0.6, 0.6)
    scale = size**2 / np.sqrt(1 - e1**2 - e2**2)
    columns = {
        "x": x,
        "y": y,
        "ixx": scale * (1 + e1),
        "iyy": scale * (1 - e1),
        "ixy": scale * e2,
        "flux": snr * 100.0,
        "flux_err": np.full(n, 100.0),
    }
    return columns, kind == 0


def select(columns: dict[str, np.ndarray], **parameters: float):
    flags = np.zeros(len(columns["x"]), bool)
    return select_stars(columns, flags, StarSelectionConfig(**parameters))


@pytest.mark.parametrize(
    ("stars", "galaxies", "hits", "gradient"),
    [(40, 100, 20, 0.0), (12, 150, 30, 0.05), (400, 300, 200, 0.12), (15, 0, 0, 0.0)],
)
def test_pure_and_complete(stars: int, galaxies: int, hits: int, gradient: float) -> None:
    columns, is_star = sources(stars, galaxies, hits, gradient=gradient)
    found = select(columns, max_neighbor_fraction=10)
    assert (found.selected & is_star).sum() >= 0.85 * stars
    assert (found.selected & ~is_star).sum() <= max(0.08 * stars, 2)
    assert found.size_pix == pytest.approx(1.8, rel=0.02)
    assert sum(found.reasons.values()) == len(is_star) - found.selected.sum()


def test_flagged_faint_and_failed_sources_are_out() -> None:
    columns, _ = sources(60, 0, 0)
    columns["ixx"][0] = np.nan
    columns["ixx"][1] = -1.0
    columns["flux"][2] = 500.0
    columns["flux"][3] = np.nan
    flags = np.zeros(60, bool)
    flags[4] = True
    found = select_stars(columns, flags, StarSelectionConfig())
    assert not found.selected[:5].any()
    assert found.reasons["flagged"] == 1
    assert found.reasons["shape"] == 3


def test_neighbours_count_unless_all_stars_have_them() -> None:
    columns, _ = sources(30, 0, 0, seed=3)
    near = {name: values.copy() for name, values in columns.items()}
    near["x"] = near["x"] + 6
    near["flux"] = near["flux"] * 0.1
    near["flux_err"] = near["flux_err"] * 10
    half = {n: np.concatenate([columns[n], near[n][:10]]) for n in columns}
    assert not select(half).selected[:10].any()
    crowded = {n: np.concatenate([columns[n], near[n]]) for n in columns}
    assert select(crowded).selected.sum() >= 12


def test_limit_of_brightness_falls_on_shallow_frames() -> None:
    columns, _ = sources(30, 0, 0)
    columns["flux"] = columns["flux"] * 25 / 30 / (columns["flux"] / 3000)
    assert select(columns).selected.sum() >= 25


def test_most_stars_are_the_brightest_of_each_region() -> None:
    columns, _ = sources(600, 0, 0)
    found = select(columns, max_stars=128, max_neighbor_fraction=10)
    assert found.selected.sum() == 128
    cells = np.histogram2d(
        columns["x"][found.selected], columns["y"][found.selected], bins=4, range=[[0, SIZE]] * 2
    )[0]
    assert cells.min() >= 5
    assert np.median(columns["flux"][found.selected]) > 1.3 * np.median(columns["flux"])


def test_nothing_to_select_is_a_declared_failure() -> None:
    columns, _ = sources(5, 0, 0)
    with pytest.raises(AlgorithmError, match="no source is bright and clean") as caught:
        select_stars(columns, np.ones(5, bool), StarSelectionConfig())
    assert caught.value.numbers["flagged"] == 5
