"""Adaptive moments against GalSim and against Gaussians, whose moments are known."""

from __future__ import annotations

import galsim
import numpy as np
import pytest

from drpflow.data.psf_moments import Moments, adaptive_moments


def gaussian(xx: float, yy: float, xy: float, x0: float = 0.0, y0: float = 0.0) -> np.ndarray:
    grid = np.arange(41) - 20.0
    x, y = np.meshgrid(grid - x0, grid - y0)
    det = xx * yy - xy**2
    return np.exp(-0.5 * (yy * x**2 - 2 * xy * x * y + xx * y**2) / det)


@pytest.mark.parametrize("moments", [(4.0, 4.0, 0.0), (9.0, 3.0, 1.5), (2.5, 6.0, -2.0)])
@pytest.mark.parametrize("offset", [(0.0, 0.0), (1.3, -2.2)])
def test_moments_of_a_gaussian(moments: tuple, offset: tuple) -> None:
    found, x, y = adaptive_moments(gaussian(*moments, *offset))
    assert tuple(found) == pytest.approx(moments, abs=1e-5)
    assert (x, y) == pytest.approx(offset, abs=1e-6)


@pytest.mark.parametrize(
    "profile",
    [
        galsim.Moffat(2.5, fwhm=3.2).shear(g1=0.1, g2=-0.05),
        galsim.Kolmogorov(fwhm=4.0).shear(g1=-0.2, g2=0.1),
        galsim.Airy(lam_over_diam=2.5, obscuration=0.5),
        galsim.Moffat(2.0, fwhm=3.0) + 0.3 * galsim.Gaussian(sigma=3).shift(1.5, 0.5),
    ],
    ids=["moffat", "kolmogorov", "airy", "asymmetric"],
)
def test_agrees_with_galsim(profile: galsim.GSObject) -> None:
    image = profile.drawImage(nx=51, ny=51, scale=1.0, dtype=float)
    expected = galsim.hsm.FindAdaptiveMom(image)
    found, x, y = adaptive_moments(image.array)
    assert found.determinant_radius == pytest.approx(expected.moments_sigma, rel=1e-5)
    assert found.e1 == pytest.approx(expected.observed_e1, abs=1e-5)
    assert found.e2 == pytest.approx(expected.observed_e2, abs=1e-5)
    assert x == pytest.approx(expected.moments_centroid.x - 26, abs=1e-5)
    assert y == pytest.approx(expected.moments_centroid.y - 26, abs=1e-5)


def test_definition_holds_at_the_answer() -> None:
    image = galsim.Moffat(2.0, fwhm=3.0).shear(g1=0.15).drawImage(nx=41, ny=41, scale=1).array
    (xx, yy, xy), x0, y0 = adaptive_moments(image)
    weight = gaussian(xx, yy, xy, x0, y0)
    grid = np.arange(41) - 20.0
    x, y = np.meshgrid(grid - x0, grid - y0)
    total = (weight * image).sum()
    for a, b, expected in ((x, x, xx), (y, y, yy), (x, y, xy)):
        assert 2 * (weight * image * a * b).sum() / total == pytest.approx(expected, abs=1e-7)
    assert (weight * image * x).sum() / total == pytest.approx(0, abs=1e-7)


def test_stack_is_its_images() -> None:
    empty = np.zeros((41, 41))
    images = np.array([gaussian(4, 5, 1), gaussian(2, 2, 0), empty, gaussian(9, 4, -1)])
    found, x, _ = adaptive_moments(images.reshape(2, 2, 41, 41))
    assert found.xx.shape == x.shape == (2, 2)
    for k in (0, 1, 3):
        alone, _, _ = adaptive_moments(images[k])
        assert np.array(found)[:, k // 2, k % 2] == pytest.approx(np.array(alone), abs=1e-12)
    assert np.isnan(np.array(found)[:, 1, 0]).all(), "an empty image has no moments"


def test_failures_are_nan() -> None:
    for image in (-gaussian(4, 4, 0), np.full((21, 21), np.nan)):
        found, x, y = adaptive_moments(image)
        assert np.isnan([*found, x, y]).all()


def test_radii_and_ellipticities() -> None:
    moments = Moments(5.0, 3.0, 1.0)
    assert moments.trace_radius == pytest.approx(2.0)
    assert moments.determinant_radius == pytest.approx(14**0.25)
    assert (moments.e1, moments.e2) == (0.25, 0.25)
