"""A resampled detector against the stars and the noise that were put in."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.warp.inverse_map import footprint
from drpflow.algorithms.warp.resample import missing_parts, own_bits, warp_exposure
from drpflow.config.make_warp import ResamplingConfig
from drpflow.data.geometry import Box, ValidPolygon
from drpflow.data.mask import Mask
from drpflow.data.plane_maps import AffineMap
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.tan_projection import TanProjection
from drpflow.errors import AlgorithmError
from tests.algorithms.warp.scenes import (
    SCALE_DEG,
    detector_wcs,
    draw,
    exposure,
    measure,
    stars,
    tract_wcs,
)

N = 400
BOX = Box(700, 1300, 700, 1300)
CONFIG = ResamplingConfig()


@pytest.mark.parametrize("scale", [1.0, 0.8])
@pytest.mark.parametrize(
    ("order", "fwhm_pix", "rms_mmag"),
    [(3, 5.0, 0.1), (3, 4.0, 0.3), (5, 3.2, 0.5), (3, 3.2, 0.8)],
)
def test_stars_keep_place_and_flux(order, fwhm_pix, rms_mmag, scale):
    """0.01 pixels and 0.5 mmag are asked for.

    A grid that is turned meets each star at other phases, between which the response of the kernel
    differs: stars of 3.2 pixels scatter by 0.6 mmag with order 3. Their mean is right.
    """
    found, wcs, tract = stars(N), detector_wcs(N), tract_wcs(scale)
    sigma = fwhm_pix / 2.3548
    image = draw(found, (N, N), sigma)
    box = Box(600, 1400, 600, 1400)
    warped = warp_exposure(exposure(image, wcs), tract, box, ResamplingConfig(kernel_order=order))
    assert warped is not None
    x, y = tract.world_to_pixel_values(*wcs.pixel_to_world_values(found.x, found.y))
    radius = int(np.ceil(5.5 * sigma / scale))
    got = measure(warped.exposure.image, warped.exposure.box, x, y, radius, sigma / scale)
    off = np.hypot(got[0] - x, got[1] - y)
    assert np.median(off) < 3e-3
    assert off.max() < 0.01
    mmag = 1085.7 * (got[2] / found.flux - 1)
    assert abs(mmag.mean()) < 0.1
    assert np.sqrt(np.mean(mmag**2)) < rms_mmag
    assert abs(mmag).max() < 2.5 * rms_mmag


def test_the_psf_is_that_of_the_warped_stars():
    sigma, wcs, tract = 1.6, detector_wcs(N), tract_wcs()
    found = stars(N)
    warped = warp_exposure(
        exposure(draw(found, (N, N), sigma), wcs, sigma_pix=sigma), tract, BOX, CONFIG
    )
    assert warped is not None
    x, y = tract.world_to_pixel_values(*wcs.pixel_to_world_values(found.x, found.y))
    models, x0, y0 = warped.exposure.psf.compute_images(x, y)
    half = warped.exposure.psf.half_size_pix
    residuals = []
    for k in range(x.size):
        box = Box(x0[k], x0[k] + 2 * half + 1, y0[k], y0[k] + 2 * half + 1)
        part = warped.exposure.image[box.slices(warped.exposure.xy0)] / found.flux[k]
        residuals.append((part - models[k]) / models[k].max())
    assert np.abs(residuals).max() < 1e-2  # of one star, by its phase
    assert np.abs(np.mean(residuals, axis=0)).max() < 2e-3


def test_noise_is_what_the_variance_says_with_the_correlation_stated():
    """Within 2 %: of single pixels, of apertures, of the flux by a PSF."""
    rng = np.random.default_rng(11)
    wcs, tract, n_frames = detector_wcs(N), tract_wcs(), 10
    rho = None
    pixels, apertures, fluxes = [], [], []
    v, u = np.mgrid[-8:9, -8:9]
    psf = np.exp(-(u * u + v * v) / (2 * 1.7**2))
    disc = (u * u + v * v <= 36).astype(float)
    for _ in range(n_frames):
        warped = warp_exposure(
            exposure(rng.normal(scale=10.0, size=(N, N)), wcs), tract, BOX, CONFIG
        )
        assert warped is not None
        rho = warped.exposure.noise_covariance
        there = Box(860, 1150, 860, 1150).slices(warped.exposure.xy0)
        image = warped.exposure.image[there].astype(np.float64)
        variance = warped.exposure.variance[there].astype(np.float64)
        assert np.isfinite(image).all()
        pixels.append((image**2).mean() / variance.mean())
        for weights, kept in ((disc, apertures), (psf, fluxes)):
            kept.append(_sum(image, weights) ** 2 / _sum(variance, weights**2))
    assert rho is not None
    assert np.mean(pixels) == pytest.approx(1.0, abs=0.02)
    assert np.mean(fluxes) == pytest.approx(rho.factor(psf), rel=0.02)
    # 290² pixels hold 740 apertures each: 7,400 in all tell a variance to 1.7 %.
    assert np.mean([a.mean() for a in apertures]) == pytest.approx(rho.factor(disc), rel=0.05)
    assert rho.factor(disc) > 1.15  # white noise would be 15 % off


def _sum(image: np.ndarray, weights: np.ndarray) -> np.ndarray | float:
    """Weighted sums about all pixels, those of the variance all alike."""
    from scipy.signal import fftconvolve

    return fftconvolve(image, weights, mode="valid")


def test_fluxes_per_area_and_constant_surface_brightness():
    """A sky of constant surface brightness: flux per pixel goes with the area of pixels."""
    wcs, tract = detector_wcs(N, distortion=0.01), tract_wcs(1.3)
    y, x = np.mgrid[:N, :N].astype(float)
    area = wcs.pixel_area_arcsec2(x, y)
    warped = warp_exposure(exposure(7000 * area, wcs), tract, Box(0, 2000, 0, 2000), CONFIG)
    assert warped is not None
    expected = 7000 * tract.pixel_area_arcsec2(1000.0, 1000.0)
    values = warped.exposure.image[warped.good]
    np.testing.assert_allclose(values, expected, rtol=3e-5)
    ratio = warped.exposure.variance[warped.good] / 100
    assert ratio.max() < 1.1 * 1.3**4  # variance per pixel goes with the square of the area


def test_the_same_grid_gives_the_same_pixels():
    tract = tract_wcs()
    rng = np.random.default_rng(5)
    image = rng.normal(size=(120, 150)).astype(np.float32)
    own = tract.shifted(870, 910)
    warped = warp_exposure(exposure(image, own), tract, BOX, CONFIG)
    assert warped is not None
    inside = Box(870, 870 + 150, 910, 910 + 120).slices(warped.exposure.xy0)
    # The inverse map is right to some 1e-11 pixels, not exactly whole.
    np.testing.assert_allclose(warped.exposure.image[inside], image, atol=1e-6)
    assert warped.good.sum() == image.size
    assert warped.exposure.noise_covariance.aperture_factor(5.0) == pytest.approx(1.0, abs=1e-6)


def test_neighbouring_boxes_agree_in_what_they_share():
    wcs, tract = detector_wcs(N), tract_wcs()
    data = exposure(draw(stars(N), (N, N), 1.5), wcs)
    one = warp_exposure(data, tract, Box(700, 1010, 700, 1300), CONFIG)
    two = warp_exposure(data, tract, Box(953, 1300, 700, 1300), CONFIG)
    assert one is not None
    assert two is not None
    common = one.exposure.box.intersect(two.exposure.box)
    assert common.width == 57
    for name in ("image", "variance"):
        a, b = (getattr(w.exposure, name)[common.slices(w.exposure.xy0)] for w in (one, two))
        np.testing.assert_array_equal(a, b)
    assert one.exposure.noise_covariance == two.exposure.noise_covariance


def test_a_cutout_is_a_part_of_the_whole():
    wcs, tract = detector_wcs(N), tract_wcs()
    image = draw(stars(N), (N, N), 1.5)
    part = Box(100, 300, 50, 250)
    whole = warp_exposure(exposure(image, wcs), tract, BOX, CONFIG)
    cut = warp_exposure(exposure(image, wcs).cutout(part), tract, BOX, CONFIG)
    made = exposure(image[part.slices()], wcs, xy0=part.xy0)
    again = warp_exposure(made, tract, BOX, CONFIG)
    assert whole is not None
    assert cut is not None
    assert again is not None
    np.testing.assert_array_equal(cut.exposure.image, again.exposure.image)
    there = whole.exposure.image[cut.exposure.box.slices(whole.exposure.xy0)]
    interior = np.isfinite(cut.exposure.image) & (cut.exposure.mask.array == 0)
    assert interior.sum() > 190**2
    # Another step of the map may have been chosen.
    np.testing.assert_allclose(cut.exposure.image[interior], there[interior], rtol=1e-3, atol=30)


def test_pixels_outside_the_polygon_and_without_data_leave_no_trace():
    wcs, tract = detector_wcs(N), tract_wcs()
    image = np.full((N, N), 50.0)
    image[:, 250:] = 1e9
    polygon = ValidPolygon.from_box(Box(0, 250, 0, N))
    data = exposure(image, wcs, valid_polygon=polygon)
    data.image[100:110, 100:110] = 1e9
    data.mask.set("NO_DATA", (slice(100, 110), slice(100, 110)))
    warped = warp_exposure(data, tract, BOX, CONFIG)
    assert warped is not None
    assert np.nanmax(warped.exposure.image) < 60
    x, y = tract.world_to_pixel_values(*wcs.pixel_to_world_values([105.0, 300.0], [105.0, 200.0]))
    lost = warped.exposure.mask.any("NO_DATA")
    x0, y0 = warped.exposure.xy0
    for u, v in zip(np.round(x).astype(int) - x0, np.round(y).astype(int) - y0, strict=True):
        assert lost[v, u]
    assert (lost == ~warped.good).all()
    edge = ~lost & warped.exposure.mask.any("EDGE")
    assert 500 < edge.sum() < 8000  # a rim of a pixel or two, on all sides


def test_masks_and_masked_fraction():
    wcs, tract = detector_wcs(N), tract_wcs()
    data = exposure(np.ones((N, N)), wcs)
    data.mask.set("CR", (slice(200, 201), slice(200, 201)))
    data.mask.set("DETECTED", (slice(0, 50), slice(0, N)))
    warped = warp_exposure(data, tract, BOX, CONFIG)
    assert warped is not None
    hit = warped.exposure.mask.any("CR")
    assert 16 <= hit.sum() <= 36
    assert 0.2 < warped.masked_fraction.max() <= 1
    assert not warped.masked_fraction[~hit & ~warped.exposure.mask.any("CR")].max() > 0.02
    assert warped.exposure.mask.any("DETECTED").sum() == pytest.approx(50 * N, rel=0.1)


def test_planes_with_other_bits():
    array = np.array([[1, 2, 3, 4]], np.int32)
    mask = Mask(array, {"SAT": 0, "BAD": 1, "MINE": 2})
    bits = Mask(own_bits(mask))
    np.testing.assert_array_equal(bits.any("SAT"), [[True, False, True, False]])
    np.testing.assert_array_equal(bits.any("BAD"), [[False, True, True, False]])
    assert bits.array[0, 3] == 0


@pytest.mark.parametrize("name", ["wcs", "psf", "photo_calib", "background"])
def test_missing_components_are_named(name):
    data = exposure(np.ones((50, 50)), detector_wcs(50))
    broken = data.replace(missing={name: "the fit failed"}, **{name: None})
    assert missing_parts(broken) == f"{name}: the fit failed"
    assert missing_parts(data) == ""
    with pytest.raises(AlgorithmError, match=f"{name}: the fit failed"):
        warp_exposure(broken, tract_wcs(), BOX, CONFIG)


def test_other_units_are_refused():
    data = exposure(np.ones((50, 50)), detector_wcs(50)).replace(unit="electron")
    with pytest.raises(AlgorithmError, match="nJy"):
        warp_exposure(data, tract_wcs(), BOX, CONFIG)


def test_what_does_not_reach_the_box_gives_nothing():
    data = exposure(np.ones((N, N)), detector_wcs(N, away_deg=1.0))
    assert warp_exposure(data, tract_wcs(), BOX, CONFIG) is None
    behind = exposure(np.ones((N, N)), detector_wcs(N, away_deg=180.0))
    assert footprint(tract_wcs(), behind.wcs, behind.box) is None
    assert warp_exposure(behind, tract_wcs(), BOX, CONFIG) is None
    # The corner of the bounding box, but not the detector itself.
    corner = Box(*footprint(tract_wcs(), detector_wcs(N), Box(0, N, 0, N)))
    near = Box(corner.x0, corner.x0 + 9, corner.y0, corner.y0 + 9)
    assert (
        warp_exposure(exposure(np.ones((N, N)), detector_wcs(N)), tract_wcs(), near, CONFIG) is None
    )


def test_a_mirrored_detector():
    matrix = SCALE_DEG * np.array([[-1.0, 0.0], [0.0, 1.0]])
    wcs = SkyWcs(
        (("detector", AffineMap(matrix, -matrix @ [200.0, 200.0])),), TanProjection(150.0, 2.0)
    )
    image = np.random.default_rng(1).normal(size=(401, 401))
    warped = warp_exposure(exposure(image, wcs), tract_wcs(), Box(800, 1201, 800, 1201), CONFIG)
    assert warped is not None
    np.testing.assert_allclose(warped.exposure.image, image[:, ::-1], atol=1e-5)
