"""A smooth field comes out of noisy means to the noise of its few degrees of freedom."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.visit_background.smooth_field import SmoothField, fit_smooth_field

LENGTHS = (60.0, 120.0, 250.0, 500.0)
SIDE = 1000.0


def places(number: int = 15) -> np.ndarray:
    """Middles of a grid of bins, off by a little, as means of masked bins are."""
    rng = np.random.default_rng(3)
    middle = (np.arange(number) + 0.5) * SIDE / number
    x, y = np.meshgrid(middle, middle)
    return np.column_stack([x.ravel(), y.ravel()]) + rng.uniform(-8, 8, (number**2, 2))


def blob(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A plane and scattered light of 170 pixels."""
    plane = 1 + 1e-5 * x - 2e-5 * y
    return plane + 0.01 * np.exp(-((x - 300) ** 2 + (y - 650) ** 2) / (2 * 170**2))


def fit(values: np.ndarray, sigma: float, at: np.ndarray) -> SmoothField:
    return fit_smooth_field(at, values, np.full(len(at), sigma**2), LENGTHS)


def edge_to_edge() -> tuple[np.ndarray, np.ndarray]:
    side = np.linspace(0, SIDE, 21)
    return tuple(np.meshgrid(side, side))  # type: ignore[return-value]


def test_a_field_without_noise_is_followed():
    at = places()
    field = fit(blob(*at.T), 1e-7, at)
    x, y = edge_to_edge()
    assert np.abs(field(x, y) - blob(x, y)).max() < 3e-5
    assert field(x, y).shape == x.shape


def test_noise_is_smoothed_and_its_size_is_told():
    at, sigma = places(), 1e-3
    x, y = edge_to_edge()
    errors, told = [], []
    for seed in range(8):
        noise = sigma * np.random.default_rng(seed).normal(size=len(at))
        field = fit(blob(*at.T) + noise, sigma, at)
        errors.append(np.sqrt(np.mean((field(*at.T) - blob(*at.T)) ** 2)))
        told.append(field.error)
        assert np.abs(field(x, y) - blob(x, y)).max() < 3 * sigma
    assert np.mean(errors) < 0.45 * sigma
    assert np.mean(told) == pytest.approx(np.mean(errors), rel=0.25)


def test_noise_alone_gives_the_plane():
    at, sigma = places(), 1e-3
    found = []
    for seed in range(6):
        noise = sigma * np.random.default_rng(100 + seed).normal(size=len(at))
        field = fit(1 + 1e-5 * at[:, 0] + noise, sigma, at)
        found.append(field)
        assert np.ptp(field(*at.T) - 1 - 1e-5 * at[:, 0]) < 2 * sigma
    assert sum(field.amplitude < 0.3 * sigma for field in found) >= 4


def test_a_hole_is_bridged_along_the_plane():
    at = places()
    hole = np.hypot(*(at - 500).T) < 250
    field = fit(blob(*at.T)[~hole], 1e-4, at[~hole])
    inside = field(*at[hole].T)
    assert np.abs(inside - blob(*at[hole].T)).max() < 0.01


@pytest.mark.parametrize("number", [1, 3, 6])
def test_few_places_give_a_level_or_a_plane(number):
    at = places()[:: 225 // number][:number]
    field = fit(np.full(number, 1.02), 1e-3, at)
    assert field.amplitude == 0
    assert field(*at.T) == pytest.approx(1.02)
