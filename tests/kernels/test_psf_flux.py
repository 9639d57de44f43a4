"""PSF fits against dense numpy."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.data.psf import GaussianPsf
from drpflow.kernels import psf_flux as k
from drpflow.kernels.stamps import Scene

PSF = GaussianPsf(1.7, half_size=12)


def one_star(
    x: float, y: float, flux: float, noise: float, excluded: np.ndarray | None = None
) -> Scene:
    rng = np.random.default_rng(11)
    image = rng.normal(0, noise, (50, 60))
    stamp, x0, y0 = PSF.compute_images([x], [y])
    for v in range(25):
        for u in range(25):
            if 0 <= y0[0] + v < 50 and 0 <= x0[0] + u < 60:
                image[y0[0] + v, x0[0] + u] += flux * stamp[0, v, u]
    none, ends = np.zeros(0, np.int32), np.zeros(2, np.int64)
    variance = np.full(image.shape, max(noise, 1e-3) ** 2, np.float32)
    variance += np.maximum(image, 0).astype(np.float32)
    excluded = np.zeros(image.shape, bool) if excluded is None else excluded
    return Scene(
        image.astype(np.float32),
        variance,
        excluded,
        none,
        none,
        none,
        ends,
        none.astype(np.float32),
        ends,
    )


ROW = np.zeros(1, np.int64)


def step(scene: Scene, x: float, y: float) -> np.ndarray:
    found = np.empty((1, 6))
    images, x0, y0 = PSF.compute_images([x], [y])
    k.fit_positions(
        scene, ROW, images, x0, y0, np.array([x]), np.array([y]), 4 * PSF.sigma_pix, found
    )
    return found[0]


def test_step_leads_to_the_source() -> None:
    scene = one_star(30.3, 24.8, 5000.0, 0.0)
    found = step(scene, 30.1, 25.0)
    assert found[0] == pytest.approx(0.2, abs=0.01)
    assert found[1] == pytest.approx(-0.2, abs=0.01)
    x, y = 30.1, 25.0
    for _ in range(4):
        found = step(scene, x, y)
        x, y = x + found[0], y + found[1]
    assert x == pytest.approx(30.3, abs=1e-5)
    assert y == pytest.approx(24.8, abs=1e-5)
    assert found[2] == pytest.approx(5000, rel=1e-4)


def test_errors_are_those_of_the_fisher_matrix() -> None:
    """In white noise both variances are 2 · 4πσ⁴ v / (2 f²) · … of the well-sampled Gaussian."""
    scene = one_star(30.0, 25.0, 1000.0, 20.0)._replace(
        variance=np.full((50, 60), 400.0, np.float32)
    )
    found = step(scene, 30.0, 25.0)
    flux = found[2]
    want = 400 * 8 * np.pi * PSF.sigma_pix**4 / flux**2
    assert found[3] == pytest.approx(want, rel=0.01)
    assert found[4] == pytest.approx(want, rel=0.01)
    assert abs(found[5]) < 0.02 * want


def test_excluded_pixels_do_not_enter() -> None:
    excluded = np.zeros((50, 60), bool)
    excluded[24:26, 29:33] = True
    scene = one_star(30.3, 24.8, 5000.0, 0.0, excluded)
    scene.image[excluded] = 1e6
    found = step(scene, 30.3, 24.8)
    assert np.hypot(found[0], found[1]) < 1e-4
    assert found[2] == pytest.approx(5000, rel=1e-4)


def test_nothing_is_found_where_there_is_nothing() -> None:
    scene = one_star(30.0, 25.0, 5000.0, 0.0)
    scene.image[:] *= -1
    assert np.isnan(step(scene, 30.0, 25.0)).all()
    scene.image[:] = np.nan
    assert np.isnan(step(scene, 30.0, 25.0)).all()


@pytest.mark.parametrize("place", [(30.3, 24.8), (3.4, 46.2)])
def test_psf_flux_equals_numpy(place: tuple[float, float]) -> None:
    excluded = np.zeros((50, 60), bool)
    excluded[25, 31] = True
    scene = one_star(*place, 3000.0, 5.0, excluded)
    images, x0, y0 = PSF.compute_images([place[0]], [place[1]])
    found, pixels = np.empty((1, 5)), np.empty(1, np.int32)
    k.psf_fluxes(scene, ROW, images, x0, y0, found, pixels)
    v, u = np.mgrid[y0[0] : y0[0] + 25, x0[0] : x0[0] + 25]
    ok = (v >= 0) & (u >= 0) & (v < 50) & (u < 60)
    ok[ok] &= ~excluded[v[ok], u[ok]]
    phi, value = images[0][ok], scene.image[v[ok], u[ok]].astype(float)
    noise = scene.variance[v[ok], u[ok]].astype(float)
    flux = (phi * value).sum() / (phi**2).sum()
    want = [
        flux,
        (phi**2 * noise).sum() / (phi**2).sum() ** 2,
        ((value - flux * phi) ** 2 / noise).sum(),
        1 / (images[0] ** 2).sum(),
        (phi**2).sum() / (images[0] ** 2).sum(),
    ]
    np.testing.assert_allclose(found[0], want, rtol=1e-6)
    assert pixels[0] == ok.sum()
    assert abs(flux - 3000) < 4 * np.sqrt(want[1])


def test_shift_of_images_is_right_to_second_order() -> None:
    images, _, _ = PSF.compute_images([30.0, 30.0], [25.0, 25.0])
    moved, _, _ = PSF.compute_images([30.01, 30.0], [24.995, 25.008])
    k.shift_images(images, np.array([0.01, 0.0]), np.array([-0.005, 0.008]))
    np.testing.assert_allclose(images, moved, atol=3e-5 * moved.max())


def test_response_to_shifts_equals_numpy() -> None:
    scene = one_star(30.3, 24.8, 3000.0, 5.0)
    images, x0, y0 = PSF.compute_images([30.3], [24.8])
    found = np.empty((1, 2))
    k.shift_responses(scene, ROW, images, x0, y0, found)
    phi = np.pad(images[0], 1)
    curvature = 4 * phi - sum(np.roll(phi, s, a) for s in (1, -1) for a in (0, 1))
    inner = np.s_[2:-2, 2:-2]
    part = scene.image[y0[0] : y0[0] + 25, x0[0] : x0[0] + 25].astype(float)[1:-1, 1:-1]
    want = [(curvature[inner] * part).sum(), (curvature[inner] * phi[inner]).sum()]
    np.testing.assert_allclose(found[0], want, rtol=1e-6)
    # Σ (∂φ/∂x)² + Σ (∂φ/∂y)² of a Gaussian is 1/(4πσ⁴).
    assert found[0, 1] == pytest.approx(1 / (4 * np.pi * PSF.sigma_pix**4), rel=0.08)
