"""Weights of resampling against what makes them, and against stars."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drpflow.data import resampling_kernel as m
from drpflow.data.resampling_kernel import resampling_kernel, star_weights

PHASES = np.arange(32) / 32


def lanczos(order: int, phase: np.ndarray) -> np.ndarray:
    t = np.arange(1 - order, order + 1) - phase[:, None]
    weights = np.sinc(t) * np.sinc(t / order)
    return weights / weights.sum(axis=1, keepdims=True)


def loss(weights: np.ndarray, phase: float, order: int) -> float:
    """The integral of the module's head, on frequencies."""
    nu = np.linspace(-3, 3, 6001)
    power = m.WHITE * (abs(nu) <= 0.5)
    for fwhm_pix, amplitude in m.STARS:
        sigma = fwhm_pix / 2.3548200450309493
        gaussian = np.exp(-((2 * np.pi * nu * sigma) ** 2))
        power = power + amplitude * 2 * np.sqrt(np.pi) * sigma * gaussian
    t = np.arange(1 - order, order + 1) - phase
    response = np.exp(2j * np.pi * nu[:, None] * t) @ weights
    return float((abs(response - 1) ** 2 * power).sum() * (nu[1] - nu[0]))


@settings(deadline=None, max_examples=40)
@given(st.floats(0, 1), st.sampled_from([3, 4, 5]), st.integers(0, 2**32 - 1))
def test_weights_are_the_best_of_those_that_keep_constants_and_slopes(phase, order, seed):
    (weights,) = star_weights(order, np.array([phase]))
    t = np.arange(1 - order, order + 1) - phase
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    assert (weights * t).sum() == pytest.approx(0, abs=1e-12)
    # Any other that does has a larger loss.
    change = np.random.default_rng(seed).normal(size=2 * order)
    basis = np.linalg.qr(np.stack([np.ones_like(t), t], axis=1))[0]
    change -= basis @ (basis.T @ change)
    change *= 0.05 / np.linalg.norm(change)
    least = loss(weights, phase, order)
    assert loss(weights + change, phase, order) > least
    assert loss(weights - change, phase, order) > least


@settings(deadline=None, max_examples=40)
@given(st.floats(0, 1), st.sampled_from([3, 4, 5]))
def test_the_table_holds_the_weights(phase, order):
    table = resampling_kernel(order).table
    at = phase * m.N_PHASES
    i = min(int(at), m.N_PHASES - 1)
    found = table[i] + (at - i) * (table[i + 1] - table[i])
    np.testing.assert_allclose(found, star_weights(order, np.array([phase]))[0], atol=2e-6)


@pytest.mark.parametrize("order", [3, 4, 5])
def test_pixels_are_copied_and_directions_are_alike(order):
    table = resampling_kernel(order).table
    assert table[0, order - 1] == table[-1, order] == 1
    assert np.count_nonzero(table[[0, -1]]) == 2
    np.testing.assert_allclose(table, table[::-1, ::-1], atol=1e-12)


def shifts(weights: np.ndarray, fwhm_pix: float) -> np.ndarray:
    """Shift of a star at each phase: centroid with a window of its own width, pixels."""
    order = weights.shape[1] // 2
    sigma = fwhm_pix / 2.3548
    n = np.arange(-20, 21)
    taps = np.arange(1 - order, order + 1)
    found = []
    for row, phase in zip(weights, PHASES, strict=True):
        star = np.exp(-((n[:, None] + taps) ** 2) / (2 * sigma**2)) @ row
        x, center = n + phase, 0.0
        for _ in range(20):
            window = star * np.exp(-((x - center) ** 2) / (2 * sigma**2))
            center += 2 * (window * (x - center)).sum() / window.sum()
        found.append(center)
    return np.array(found)


@pytest.mark.parametrize("fwhm_pix", [2.5, 3.2, 4.0, 6.0, 8.0])
def test_stars_stay_in_place_on_grids_that_run_along(fwhm_pix):
    """All pixels of a star at one phase: nothing averages, as it does on turned grids."""
    own = abs(shifts(star_weights(3, PHASES), fwhm_pix)).max()
    assert own < 0.0015
    assert own < 0.9 * abs(shifts(lanczos(3, PHASES), fwhm_pix)).max()


@pytest.mark.parametrize("scale", [0.99, 0.995, 1.005])
def test_stars_keep_their_flux_on_grids_of_nearly_one_scale(scale):
    """Sum over the pixels of an output grid, at every phase, flux being per pixel."""
    sigma = 4.0 / 2.3548
    n = np.arange(-40, 41)
    lost = {star_weights: [], lanczos: []}
    for phase in PHASES:
        places = scale * n + phase
        first = np.floor(places).astype(int)
        taps = first[:, None] + np.arange(-2, 4)
        star = np.exp(-(taps**2) / (2 * sigma**2)) / np.sqrt(2 * np.pi * sigma**2)
        for weights, values in lost.items():
            values.append((star * weights(3, places - first)).sum() * scale - 1)
    own, other = (abs(np.array(values)).max() for values in lost.values())
    # Most at the phase where the taps change by a pixel in the middle of the star.
    assert own < 0.04 * abs(1 - scale)
    assert own < 0.25 * other


@pytest.mark.parametrize("fwhm_pix", [2.5, 3.2, 4.4, 6.0, 8.0])
def test_stars_keep_their_profile(fwhm_pix):
    """Flux by the true profile, on both axes, at the worst phase."""
    sigma = fwhm_pix / 2.3548
    n = np.arange(-40, 41)

    def worst(weights: np.ndarray) -> float:
        errors = []
        for row, phase in zip(weights, PHASES, strict=True):
            star = np.exp(-((n[:, None] + np.arange(-2, 4)) ** 2) / (2 * sigma**2)) @ row
            model = np.exp(-((n + phase) ** 2) / (2 * sigma**2))
            errors.append(2 * ((star * model).sum() / (model**2).sum() - 1))
        return float(abs(np.array(errors)).max())

    own = worst(star_weights(3, PHASES))
    assert own < 0.7e-3
    assert fwhm_pix > 6 or own < 0.75 * worst(lanczos(3, PHASES))
