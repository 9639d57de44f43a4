"""What stars have beside a PSF model that is known to be wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest

from drpflow.algorithms.psf_residual import (
    HALF_SIZE_PIX,
    ResidualStack,
    joined_meta,
    stack_residuals,
)
from drpflow.data.geometry import Box
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.psf import GaussianPsf, PixelGridPsf
from tests.algorithms.star_fields import add_stars, observed

TRUE_SIGMA, MODEL_SIGMA = 2.0, 1.9
MIDDLE = HALF_SIZE_PIX
SKY = 300.0


def field(seed: int, number: int = 81) -> tuple[np.ndarray, ...]:
    """Return an image, its variance, and places and fluxes of its stars, on a grid of 44 pixels."""
    rng = np.random.default_rng(seed)
    side = int(np.sqrt(number))
    grid = 22.0 + 44 * np.arange(side)
    x, y = (v.ravel() + rng.uniform(-0.5, 0.5, number) for v in np.meshgrid(grid, grid))
    flux = rng.uniform(2e4, 2e5, number)
    image = np.full((44 * side, 44 * side), SKY)
    add_stars(image, x, y, flux, TRUE_SIGMA)
    pixels, variance = observed(image, rng)
    return pixels - np.float32(SKY), variance, x, y, flux


def stacked(seed: int, sigma: float, **changed: np.ndarray) -> ResidualStack:
    image, variance, x, y, flux = field(seed)
    given = {"x": x, "y": y, "flux": flux, "color": np.full(len(x), np.nan)} | changed
    spoiled = given.pop("spoiled", np.zeros(image.shape, bool))
    return stack_residuals(image, variance, spoiled, GaussianPsf(sigma), **given)


def expected() -> np.ndarray:
    """Return the difference of both Gaussians, in the mean over places in a pixel."""
    fine = (np.arange(20) + 0.5) / 20 - 0.5
    offset = np.arange(-HALF_SIZE_PIX, HALF_SIZE_PIX + 1)

    def profile(sigma: float) -> np.ndarray:
        along = np.exp(-0.5 * ((offset[:, None] - fine) / sigma) ** 2)
        mean = along.mean(axis=1) / (sigma * np.sqrt(2 * np.pi))
        return np.outer(mean, mean)

    return profile(TRUE_SIGMA) - profile(MODEL_SIGMA)


def test_a_model_too_narrow_leaves_the_difference_of_both_profiles() -> None:
    found = stacked(1, MODEL_SIGMA)
    assert found.stars == 81
    assert found.mean[MIDDLE, MIDDLE] == pytest.approx(expected()[MIDDLE, MIDDLE], rel=0.05)
    # Of some 0.004; 0.04 is the peak.
    assert np.abs(found.mean - expected()).max() < 3e-4
    assert found.peak == pytest.approx(1 / (2 * np.pi * MODEL_SIGMA**2), rel=0.05)


def test_errors_are_those_of_a_right_model() -> None:
    stacks = [stacked(seed, TRUE_SIGMA) for seed in (2, 3, 4)]
    pulls = np.concatenate([(s.mean / s.error).ravel() for s in stacks])
    assert np.std(pulls) == pytest.approx(1, abs=0.06)
    assert abs(pulls.mean()) < 4 / np.sqrt(pulls.size)


def test_what_is_spoiled_or_unknown_does_not_count() -> None:
    image, _, x, _, flux = field(5)
    spoiled = np.zeros(image.shape, bool)
    spoiled[:, : image.shape[1] // 2] = True
    found = stacked(5, TRUE_SIGMA, spoiled=spoiled)
    assert found.error[MIDDLE, MIDDLE] > 1.2 * stacked(5, TRUE_SIGMA).error[MIDDLE, MIDDLE]
    everything = stacked(5, TRUE_SIGMA, spoiled=np.ones(image.shape, bool))
    assert np.isinf(everything.error).all()
    assert not everything.mean.any()
    assert everything.stars == 0
    some = flux.copy()
    some[:40] = np.nan
    assert stacked(5, TRUE_SIGMA, flux=some).stars == 41
    off = x.copy()
    off[:10] = np.nan
    assert stacked(5, TRUE_SIGMA, x=off).stars == 71
    assert stacked(5, TRUE_SIGMA, flux=-flux).stars == 0
    at_edge = stacked(5, TRUE_SIGMA, x=np.where(np.arange(81) == 0, 3.0, x))
    assert np.isfinite(at_edge.mean).all()


def test_stacks_add_up_and_pass_through_json() -> None:
    parts = [stacked(k, MODEL_SIGMA) for k in (6, 7)]
    both = ResidualStack.added([*parts, ResidualStack.empty()])
    assert both.stars == 162
    assert np.allclose(both.error, parts[0].error / np.sqrt(2), rtol=0.1)
    assert np.abs(both.mean - expected()).max() < 3e-4
    blank = ResidualStack.empty()
    for stack in (both, blank, ResidualStack.added([blank, blank])):
        again = ResidualStack.from_meta(json.loads(json.dumps(stack.to_meta(), allow_nan=False)))
        assert again.stars == stack.stars
        assert np.allclose(again.mean, stack.mean, rtol=1e-3, atol=0)
        assert np.array_equal(np.isinf(again.error), np.isinf(stack.error))
        assert again.peak == pytest.approx(stack.peak, rel=1e-3, nan_ok=True)


def test_detectors_are_joined_by_name() -> None:
    used, blank = stacked(6, MODEL_SIGMA), ResidualStack.empty()
    meta = joined_meta([{"used": used, "reserved": blank}, {}, {"used": used}])
    assert list(meta) == ["used"]
    both = ResidualStack.from_meta(meta["used"])
    assert both.stars == 162
    np.testing.assert_allclose(both.mean, used.mean, rtol=1e-3)


def test_colors_choose_the_model() -> None:
    image, variance, x, y, flux = field(8)
    spoiled = np.zeros(image.shape, bool)
    wide, narrow = (gaussian_grid(sigma) for sigma in (2.2, 1.8))
    basis = Basis2D(0, Domain.of_box(Box(0, image.shape[1], 0, image.shape[0])))
    psf = PixelGridPsf(
        basis, (wide + narrow)[None] / 2, color_ref=1.0,
        color_basis=basis, color_coefficients=(narrow - wide)[None] / 2,
    )  # fmt: skip

    def middle(color: float) -> float:
        colors = np.full(len(x), color)
        found = stack_residuals(image, variance, spoiled, psf, x, y, colors, flux)
        return float(found.mean[MIDDLE, MIDDLE])

    assert middle(np.nan) == pytest.approx(middle(1.0), abs=1e-12)
    # The narrow model, of red stars, has more in the middle than the stars have.
    assert middle(2.0) < -5e-3
    assert middle(0.0) > 3e-3


def gaussian_grid(sigma: float) -> np.ndarray:
    along = np.exp(-0.5 * (np.arange(-12, 13) / sigma) ** 2)
    grid = np.outer(along, along)
    return grid / grid.sum()
