"""Stars that are held back, and what the model keeps when they are."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.psf_fit.reserve import reserve
from drpflow.config.psf import PsfConfig
from drpflow.data.geometry import Box
from drpflow.data.polynomial import Basis2D, Domain

BOX = Box.from_shape((1000, 1000))


def chosen(x: np.ndarray, y: np.ndarray, flux: np.ndarray, seed: int = 0) -> np.ndarray:
    return reserve(x, y, flux, BOX, PsfConfig(), np.random.default_rng(seed))


def scattered(number: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    x, y = random.uniform(0, 1000, (2, number))
    return x, y, 10 ** random.uniform(3, 5, number)


def test_the_wanted_share_of_well_spread_stars_is_held_back() -> None:
    x, y, flux = scattered(200, 1)
    held = chosen(x, y, flux)
    assert held.sum() == 30
    rank = np.sort(np.argsort(np.argsort(flux))[held])
    assert np.all(np.diff(rank) <= 13), "one of each seven"


@pytest.mark.parametrize("seed", range(20))
def test_the_one_bright_star_of_a_region_is_never_held_back(seed: int) -> None:
    x, y, flux = scattered(30, seed)
    x *= 0.5
    x[0], y[0], flux[0] = 980.0, 500.0, 1e5
    assert not any(chosen(x, y, flux, k)[0] for k in range(20))


@pytest.mark.parametrize("seed", range(10))
def test_what_is_held_back_costs_little_anywhere_in_the_fit(seed: int) -> None:
    x, y, flux = scattered(30, seed)
    held = chosen(x, y, flux, seed)
    design = Basis2D(2, Domain.of_box(BOX)).design(x, y)
    weight = flux**2 / (flux**2 + np.median(flux) ** 2)

    def variance(rows: np.ndarray) -> np.ndarray:
        normal = (design[rows] * weight[rows, None]).T @ design[rows]
        return np.einsum("ni,ij,nj->n", design, np.linalg.inv(normal), design)

    growth = variance(~held) / variance(np.ones(len(x), bool))
    assert growth[held].max() < 1 / (1 - 0.3) ** 2
    assert held.any()


def test_few_stars_are_all_used() -> None:
    assert not chosen(*scattered(12, 3)).any()


def test_scale_of_the_fluxes_does_not_matter() -> None:
    x, y, flux = scattered(60, 4)
    assert np.array_equal(chosen(x, y, flux), chosen(x, y, 1e-6 * flux))
