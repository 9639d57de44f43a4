"""Modes, their amplitudes, and the free pixels."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.psf_fit.modes import fit_modes
from drpflow.algorithms.psf_fit.pixels import back_project, update_pixels
from drpflow.algorithms.psf_fit.profile import (
    MODE_NAMES,
    Moffat,
    fit_moffat,
    grid_offsets,
    mode_images,
)
from drpflow.data.polynomial import UNIT, Basis2D
from drpflow.data.psf import adaptive_moments
from drpflow.errors import AlgorithmError


def test_profile_has_unit_flux_and_its_own_width() -> None:
    profile = Moffat(np.log(4.0), 0.1, -0.05, 3.0)
    x, y = grid_offsets(401, 0.5)
    assert profile(x, y).sum() * 0.25 == pytest.approx(1, abs=2e-3)
    round_ = Moffat(np.log(4.0), 0, 0, 3.0)
    half = round_(np.array(round_.fwhm_pix / 2), np.array(0.0)) / round_(np.array(0.0), np.array(0))
    assert half == pytest.approx(0.5, abs=1e-12)


def test_moffat_is_recovered_with_centre_and_pedestal() -> None:
    true = Moffat(np.log(2.5), 0.06, -0.04, 3.2)
    x, y = grid_offsets(41, 1.0)
    image = 5000 * true(x - 0.3, y + 0.2) + 1.0
    found = fit_moffat(image, np.ones_like(image), 3.0)
    assert found.fwhm_pix == pytest.approx(true.fwhm_pix, rel=1e-4)
    assert (found.e1, found.e2, found.beta) == pytest.approx((0.06, -0.04, 3.2), abs=2e-3)


def test_a_profile_far_from_the_guess_is_a_declared_failure() -> None:
    x, y = grid_offsets(41, 1.0)
    with pytest.raises(AlgorithmError, match="no star"):
        fit_moffat(Moffat(np.log(30.0), 0, 0, 3.0)(x, y), np.ones_like(x), 1.0)


def test_modes_are_what_their_names_say() -> None:
    profile = Moffat(np.log(3.0), 0.0, 0.0, 3.5)
    x, y = grid_offsets(61, 1.0)
    base = profile(x, y)
    modes = dict(zip(MODE_NAMES, mode_images(profile, x, y), strict=True))
    before, _, _ = adaptive_moments(base)

    def after(name: str, amplitude: float = 0.01) -> np.ndarray:
        moments, dx, dy = adaptive_moments(base + amplitude * modes[name])
        radius = np.log(moments.determinant_radius / before.determinant_radius)
        return np.array([radius, moments.e1, moments.e2, dx, dy])

    assert after("size") == pytest.approx([0.01, 0, 0, 0, 0], abs=3e-4)
    assert after("e1") == pytest.approx([0, 0.01, 0, 0, 0], abs=3e-4)
    assert after("e2") == pytest.approx([0, 0, 0.01, 0, 0], abs=3e-4)
    for name in ("coma1", "coma2", "trefoil1", "trefoil2"):
        assert after(name)[1:3] == pytest.approx(np.zeros(2), abs=3e-3), "second order only"
    assert abs(after("coma1")[3]) > 10 * abs(after("coma1")[4])


def make_amplitudes(n: int, scatter: float, slope: float) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(3)
    u, v = rng.uniform(-1, 1, (2, n))
    basis = Basis2D(2, UNIT)
    truth = np.zeros((6, 8))
    truth[0, :3] = 0.01, 0.03, -0.02
    truth[1, 0] = slope
    noise = rng.uniform(0.003, 0.03, n)
    precision = np.eye(8) / noise[:, None, None] ** 2
    design = basis.design(u, v)
    amplitude = design @ truth + rng.normal(0, 1, (n, 8)) * np.hypot(noise, scatter)[:, None]
    right = np.einsum("nab,nb->na", precision, amplitude)
    return right, precision, design, basis.exponents.sum(axis=1), truth


def test_amplitudes_scatter_and_gradient_are_found() -> None:
    right, precision, design, degree, truth = make_amplitudes(300, 0.01, 0.04)
    field = fit_modes(right, precision, design, degree)
    assert field.coefficients[0] == pytest.approx(truth[0], abs=4e-3)
    assert field.coefficients[1, 0] == pytest.approx(0.04, abs=4e-3)
    assert field.scatter == pytest.approx(np.full(8, 0.01), rel=0.25)
    pull = field.residual / field.residual_sigma
    assert pull.std() == pytest.approx(1, abs=0.07)


def test_terms_without_evidence_shrink() -> None:
    right, precision, design, degree, _ = make_amplitudes(25, 0.0, 0.0)
    field = fit_modes(right, precision, design, degree)
    amplitudes = np.linalg.solve(precision, right[:, :, None])[:, :, 0]
    free = np.linalg.lstsq(design, amplitudes, rcond=None)[0]
    assert np.square(field.coefficients[3:]).sum() < 0.6 * np.square(free[3:]).sum()


def test_modes_that_change_an_image_much_are_expected_to_be_small() -> None:
    """Coma is measured ten times better than size; its terms without evidence shrink as well."""
    units = np.array([1, 1, 1, 5, 0.1, 0.1, 0.05, 0.05])
    kept, free = [], []
    for n in (18, 22, 26, 30):
        right, precision, design, degree, _ = make_amplitudes(n, 0.0, 0.0)
        right, precision = right / units, precision / (units[:, None] * units)
        found = fit_modes(right, precision, design, degree).coefficients
        amplitudes = np.linalg.solve(precision, right[:, :, None])[:, :, 0]
        weight = np.sqrt(precision[:, 0, 0])[:, None]
        kept.append(found[1:, 4:] / units[4:])
        free.append(np.linalg.lstsq(design * weight, amplitudes * weight)[0][1:, 4:] / units[4:])
    assert np.square(kept).mean() < 0.4 * np.square(free).mean()


def test_a_mode_that_no_star_measures_is_no_fault() -> None:
    right, precision, design, degree, _ = make_amplitudes(20, 0.0, 0.0)
    right[:, 7] = 0
    precision[:, 7, :] = precision[:, :, 7] = 0
    precision[:, 7, 7] = 1e-12
    assert np.isfinite(fit_modes(right, precision, design, degree).coefficients).all()


def test_free_pixels_recover_what_is_common_and_leave_noise_out() -> None:
    rng = np.random.default_rng(5)
    n, n_stars = 21, 40
    y, x = np.mgrid[-10:11, -10:11]
    pattern = 1e-3 * np.exp(-(x**2 + y**2) / 8) * (x - y)
    sigma, flux = 20.0, np.full(n_stars, 1e5)
    same = np.broadcast_to(np.eye(n), (n_stars, n, n))
    residual = flux[:, None, None] * pattern + rng.normal(0, sigma, (n_stars, n, n))
    weight = np.full(residual.shape, sigma**-2)
    right, power = back_project(residual, weight, flux, same, same)
    assert power == pytest.approx(np.full(power.shape, 1e10 / 400))
    design = np.ones((n_stars, 1))
    found = update_pixels(np.zeros((1, n, n)), right, power, design)[0]
    noise = sigma / 1e5 / np.sqrt(n_stars)
    assert (found - pattern).std() < 0.7 * noise
    outside = np.hypot(x, y) > 8
    assert np.abs(found[outside]).max() < noise
