"""The brighter-fatter correction against charge that was really pushed about.

The forward model moves charge in many small time steps across pixel borders, by the field that
the charge collected so far makes. It is the differential form of what the correction inverts
in one go.
"""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.isr.brighter_fatter import correct_brighter_fatter

STEPS = 20


def kernel(n: int = 9, scale: float = 5e-7) -> np.ndarray:
    y, x = np.mgrid[:n, :n] - n // 2
    return -scale / (1 + np.hypot(x, y)) ** 2


def divergence(current: np.ndarray, charge: np.ndarray, k: np.ndarray) -> np.ndarray:
    from scipy.signal import fftconvolve

    h = k.shape[0] // 2
    potential = fftconvolve(np.pad(charge, h, mode="edge"), k, mode="valid")
    out = np.zeros_like(current)
    for axis in (0, 1):
        c, p = np.moveaxis(current, axis, 0), np.moveaxis(potential, axis, 0)
        flux = 0.5 * (c[1:] + c[:-1]) * np.diff(p, axis=0)
        o = np.moveaxis(out, axis, 0)
        o[:-1] += flux
        o[1:] -= flux
    return out


def collect(light: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Expose: d(charge)/dt = light - div(light grad(K ⊗ charge))."""
    charge = np.zeros(light.shape)
    for _ in range(STEPS):
        middle = charge + light / STEPS / 2
        charge += (light - divergence(light, middle, k)) / STEPS
    return charge


def stars(sigma_pix: float = 1.8) -> np.ndarray:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:160, :200]
    image = np.full(x.shape, 400.0)
    for _ in range(12):
        y0, x0 = rng.uniform(15, 145), rng.uniform(15, 185)
        image += rng.uniform(1e4, 8e4) * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 2 / sigma_pix**2)
    return image


def test_stars_are_restored_and_charge_is_conserved() -> None:
    truth = stars()
    observed = collect(truth, kernel())
    image = observed.astype(np.float32)
    fit = correct_brighter_fatter(image, kernel())
    effect, left = observed - truth, image - truth
    assert np.abs(effect).max() > 100
    assert np.sqrt(np.mean(left**2)) < 0.05 * np.sqrt(np.mean(effect**2))
    assert np.abs(left).max() < 0.05 * np.abs(effect).max()
    assert image.sum(dtype=float) == pytest.approx(observed.sum(), rel=2e-8)
    assert fit.converged
    assert 2 <= fit.iterations <= 6


def test_widths_of_stars_no_longer_depend_on_flux() -> None:
    y, x = np.mgrid[:41, :41] - 20.0
    widths = {}
    for peak in (1e3, 8e4):
        star = peak * np.exp(-(x**2 + y**2) / 2 / 1.8**2)
        observed = collect(star, kernel())
        image = observed.astype(np.float32)
        correct_brighter_fatter(image, kernel())
        widths[peak] = [((x**2) * i).sum() / i.sum() for i in (observed, image)]
    growth = [widths[8e4][i] / widths[1e3][i] - 1 for i in (0, 1)]
    assert growth[0] > 0.008
    assert abs(growth[1]) < 0.05 * growth[0]


def test_flats_stay_flat() -> None:
    image = np.full((70, 80), 5e4, np.float32)
    correct_brighter_fatter(image, kernel())
    np.testing.assert_allclose(image, 5e4, rtol=1e-6)


def test_a_bright_sky_converges_to_its_rounding() -> None:
    """A unit in the last place of 55,000 electrons is 0.004, more than the threshold."""
    image = np.random.default_rng(5).poisson(55e3, (256, 256)).astype(np.float32)
    fit = correct_brighter_fatter(image, kernel())
    assert fit.converged
    assert image.mean() == pytest.approx(55e3, rel=1e-4)


def test_bad_and_lost_pixels_keep_their_value_and_do_no_harm() -> None:
    truth = stars()
    observed = collect(truth, kernel()).astype(np.float32)
    image = observed.copy()
    bad = np.zeros(image.shape, bool)
    bad[:, 50] = True
    image[:, 50] = 6e4  # a hot column, whose charge was not there
    image[80, 100] = np.nan
    correct_brighter_fatter(image, kernel(), bad=bad)
    assert (image[:, 50] == 6e4).all()
    assert np.isnan(image[80, 100])
    good = ~bad
    good[80, 100] = False
    left = (image - truth)[good]
    assert np.sqrt(np.mean(left**2)) < 0.08 * np.sqrt(np.mean((observed - truth)[good] ** 2))
    assert np.abs((image - truth)[:, 52:56]).max() < 30


def test_everything_bad_is_left_alone() -> None:
    image = np.full((20, 20), np.nan, np.float32)
    assert correct_brighter_fatter(image, kernel()).converged
    assert np.isnan(image).all()


def test_a_kernel_of_the_wrong_scale_does_not_converge() -> None:
    image = stars().astype(np.float32)
    fit = correct_brighter_fatter(image, kernel(scale=1e-3), max_iterations=5)
    assert not fit.converged
    assert fit.iterations == 5


def test_tiles_that_have_converged_are_as_if_all_were_computed() -> None:
    rng = np.random.default_rng(3)
    quiet = rng.normal(200, 14, (200, 600))
    quiet[20:25, 20:25] += 5e4
    once = quiet.astype(np.float32)
    correct_brighter_fatter(once, kernel(), threshold_electron=1e-4)
    full = quiet.astype(np.float32)
    correct_brighter_fatter(full, kernel(), threshold_electron=1e-9, max_iterations=30)
    assert np.abs(once - full).max() < 0.02
