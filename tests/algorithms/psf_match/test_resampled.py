"""A detector resampled and then matched, as for a coadd: stars against the target on the tract."""

from __future__ import annotations

from functools import cache

import numpy as np

from drpflow.algorithms.psf_match.match import MatchedPsf, match_psf
from drpflow.algorithms.warp.resample import WarpedDetector, warp_exposure
from drpflow.config.make_warp import ResamplingConfig
from drpflow.data.double_gaussian_psf import DoubleGaussianPsf
from drpflow.data.exposure import Exposure
from drpflow.data.geometry import Box
from drpflow.data.mask import Mask
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.plane_maps import AffineMap
from drpflow.data.psf_moments import adaptive_moments
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.tan_projection import TanProjection
from tests.algorithms.psf_match.test_match import FLUX, SHAPE, STARS, model, stars

TARGET = DoubleGaussianPsf.from_sigma(2.9)
EVERYWHERE = Box(-200, 800, -200, 800)
HALF = 24


def wcs(turn_deg: float = 0.0, scale: float = 1.0) -> SkyWcs:
    """A WCS turned about pixel (300, 300)."""
    t = np.radians(turn_deg)
    matrix = scale * 0.2 / 3600 * np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
    offset = -matrix @ np.array([300.0, 300.0])
    return SkyWcs((("detector", AffineMap(matrix, offset)),), TanProjection(30, -20), SHAPE)


@cache
def detector() -> Exposure:
    """Stars of a PSF that varies by 20 %, on a detector turned by 25 degrees."""
    return Exposure(
        stars().astype(np.float32),
        Mask.zeros(SHAPE),
        np.full(SHAPE, 4.0, np.float32),
        unit="nJy",
        components={"psf": model(), "wcs": wcs(25.0, 0.97), "photo_calib": PhotoCalib(1.0)},
    )


def warped(box: Box) -> WarpedDetector:
    made = warp_exposure(detector(), wcs(), box, ResamplingConfig(), visit=1, detector=2)
    assert made is not None
    return made


@cache
def matched(box: Box = EVERYWHERE) -> MatchedPsf:
    made = warped(box)
    return match_psf(made.exposure, TARGET, domain=made.footprint)


def test_stars_are_like_the_target_on_the_tract() -> None:
    result = matched().exposure
    x0, y0 = result.xy0
    found, wanted = [], []
    for star in STARS:
        if min(star) > 60 and max(star) < 540:
            x, y = wcs().world_to_pixel_values(*wcs(25.0, 0.97).pixel_to_world_values(*star))
            row, column = int(np.floor(y + 0.5)) - y0, int(np.floor(x + 0.5)) - x0
            found.append(
                result.image[row - HALF : row + HALF + 1, column - HALF : column + HALF + 1]
            )
            image = TARGET.compute_image(float(x), float(y))[0]
            cut = slice(image.shape[0] // 2 - HALF, image.shape[0] // 2 + HALF + 1)
            wanted.append(image[cut, cut])
    images, targets = np.array(found, float), np.array(wanted)
    m, t = adaptive_moments(images)[0], adaptive_moments(targets)[0]
    assert np.abs(m.determinant_radius / t.determinant_radius - 1).max() < 0.004
    assert np.hypot(m.e1 - t.e1, m.e2 - t.e2).max() < 0.003
    profile = np.abs(images / FLUX - targets).max(axis=(1, 2)) / targets.max(axis=(1, 2))
    assert profile.max() < 0.012  # 0.8 % of the light is beyond the images of the model
    # Within 49 pixels; a Kolmogorov disc has 1 % beyond.
    np.testing.assert_allclose(images.sum(axis=(1, 2)) / FLUX, 0.99, atol=0.01)


def test_corners_without_the_detector_have_no_cells() -> None:
    made = matched()
    assert made.cells.n_left_out > 5
    assert made.numbers["order"] == 4
    assert made.numbers["size_error"] < 0.003
    assert made.numbers["profile_error"] < 0.004


def test_variance_knows_that_the_warp_correlates_noise() -> None:
    rng = np.random.default_rng(2)
    noisy = detector().replace(image=rng.normal(0, 2, SHAPE).astype(np.float32))
    made = warp_exposure(noisy, wcs(), EVERYWHERE, ResamplingConfig(), visit=1, detector=2)
    assert made is not None
    result = match_psf(made.exposure, TARGET, domain=made.footprint).exposure
    ratio = np.square(result.image) / result.variance
    good = np.isfinite(ratio)
    # Some 600² pixels of which 15² hang together: the mean is known to 1.3 %.
    assert abs(ratio[good].mean() - 1) < 0.05


def test_neighbouring_patches_have_the_same_pixels() -> None:
    left, right = matched(Box(-200, 420, 0, 600)), matched(Box(180, 800, 0, 600))
    assert left.kernel == right.kernel
    # 30 pixels from the edges that only one of them has.
    inner = Box(215, 385, 40, 560)
    a, b = (m.exposure.cutout(inner).image for m in (left, right))
    assert np.isfinite(a).all()
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-3)
