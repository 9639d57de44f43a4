"""compareWarpAssembleCoadd: products, and what is said where something is lacking."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drpflow.algorithms.coadd.artifacts import farthest_look_pix
from drpflow.algorithms.coadd.components import sharpness_of
from drpflow.config.compare_warp_assemble_coadd import CompareWarpAssembleCoaddConfig
from drpflow.config.plan_coaddition import TargetConfig
from drpflow.config.sky_map import SkyMapConfig
from drpflow.data.ap_corr import ApCorr
from drpflow.data.bright_objects import BrightObject
from drpflow.data.coadd_inputs import CoaddInput, CoaddInputs
from drpflow.data.coadd_psf import CoaddPsf, CoaddPsfInput
from drpflow.data.exposure import Exposure
from drpflow.data.geometry import Box, ValidPolygon
from drpflow.data.mask import Mask
from drpflow.data.noise_covariance import NoiseCovariance
from drpflow.data.plane_maps import AffineMap
from drpflow.data.polynomial import Domain, Polynomial2D
from drpflow.data.psf import GaussianPsf
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.tan_projection import TanProjection
from drpflow.data.warps import Warp
from drpflow.errors import AlgorithmError
from drpflow.tasks.compare_warp_assemble_coadd import (
    CoaddOf,
    compare_warp_assemble_coadd,
    nothing,
)

CONFIG = CompareWarpAssembleCoaddConfig()
CANVAS = Box(-64, 256, 64, 320)
BOX = CANVAS.grow(-32)
PIXEL_DEG = 0.2 / 3600
DOMAIN = Domain(-100.0, 500.0, -100.0, 500.0)
OWN_SIGMA, MATCHED_SIGMA = 1.8, 3.0
STARS = ((40.3, 150.8), (150.2, 220.4), (90.0, 250.0))
FLASH = (100, 180)


def _wcs(shift: float = 0.0) -> SkyWcs:
    matrix = PIXEL_DEG * np.eye(2)
    stage = AffineMap(matrix, -matrix @ np.array([100.0 + shift, 200.0]))
    return SkyWcs((("detector", stage),), TanProjection(150.0, -12.0), (400, 400))


def _image(sigma: float, visit: int, noise: float) -> np.ndarray:
    rng = np.random.default_rng([visit, round(10 * sigma)])
    y, x = np.mgrid[CANVAS.y0 : CANVAS.y1, CANVAS.x0 : CANVAS.x1].astype(float)
    image = rng.normal(0, noise, y.shape)
    sources = [(u, v, 2000.0) for u, v in STARS]
    if visit == 3:
        sources.append((*FLASH, 3000.0))
    for u, v, flux in sources:
        r2 = (x - u) ** 2 + (y - v) ** 2
        image += flux * np.exp(-0.5 * r2 / sigma**2) / (2 * np.pi * sigma**2)
    return image.astype(np.float32)


def _exposure(sigma: float, visit: int, noise: float, psf) -> Exposure:
    inputs = CoaddInputs((CoaddInput("recalibrated_pvi", {"visit": visit, "detector": 2}),))
    return Exposure(
        _image(sigma, visit, noise), Mask.zeros(CANVAS.shape),
        np.full(CANVAS.shape, noise**2, np.float32), unit="nJy", xy0=CANVAS.xy0,
        components={"wcs": _wcs(), "psf": psf, "coadd_inputs": inputs,
                    "noise_covariance": NoiseCovariance.white()},
    )  # fmt: skip


def _warp(visit: int, *, matched: bool = True) -> Warp:
    # The detector lies 40 pixels to the left of the tract's pixels.
    frame = ValidPolygon.from_box(CANVAS.shifted(40, 0))
    correction = ApCorr(Polynomial2D.constant(1 - 0.01 * visit, DOMAIN), 0.002)
    item = CoaddPsfInput(GaussianPsf(OWN_SIGMA), _wcs(40.0), frame, 1.0, visit, 2, correction)
    direct = _exposure(OWN_SIGMA, visit, 2.0, CoaddPsf(_wcs(), (item,)))
    smooth = _exposure(MATCHED_SIGMA, visit, 0.4, GaussianPsf(MATCHED_SIGMA))
    area_pix = 4 * np.pi * OWN_SIGMA**2
    return Warp(visit, 0.25 * visit, direct, smooth if matched else None, area_pix)


def _of(warps, **more) -> CoaddOf:
    of = CoaddOf(_wcs(), BOX, warps, [w.visit for w in warps], 2.355 * MATCHED_SIGMA)
    return replace(of, **more)


@pytest.fixture(scope="module")
def warps() -> list[Warp]:
    return [_warp(k) for k in (1, 2, 3, 4)]


@pytest.fixture(scope="module")
def made(warps):
    circle = BrightObject.circle(150.0, -12.0, 10 * PIXEL_DEG)
    return compare_warp_assemble_coadd(_of(warps, bright_objects=(circle,)), CONFIG)


def test_sharpness_is_that_of_the_central_pixels(warps) -> None:
    found = sharpness_of([*warps[:3], replace(warps[3], psf_area_pix=float("nan"))])
    own, target = (
        GaussianPsf(s).compute_kernel_image(0, 0).max() for s in (OWN_SIGMA, MATCHED_SIGMA)
    )
    assert found == pytest.approx(dict.fromkeys((1, 2, 3), own / target), rel=0.02)
    assert sharpness_of([_warp(1, matched=False)]) == {}


def test_aperture_correction_is_that_of_the_weighted_mean(made) -> None:
    weights, factors = np.array([1, 2, 3, 4]), np.array([0.99, 0.98, 0.97, 0.96])
    expected = weights.sum() / (weights / factors).sum()
    ap_corr = made.coadd.ap_corr
    x, y = BOX.center
    assert ap_corr.evaluate("psfFlux", x, y) == pytest.approx(expected, rel=1e-6)
    spread = np.hypot.reduce(0.002 * weights) / weights.sum()
    assert ap_corr.error("psfFlux") == pytest.approx(spread, rel=0.05)


def test_flash_is_masked_on_patch_and_detector_and_not_in_the_coadd(made) -> None:
    x, y = FLASH
    mask = made.masks[3]
    assert mask.kind == ("transient",)
    assert mask.snr[0] > 50
    assert mask.paint(Box(x, x + 1, y, y + 1)).all()
    assert mask.paint(Box(x + 40, x + 41, y, y + 1), 2).all()
    assert mask.detectors == [2]
    assert all(len(made.masks[k]) == 0 for k in (1, 2, 4))
    coadd = made.coadd
    here = np.s_[y - BOX.y0, x - BOX.x0]
    assert coadd.mask.any("CLIPPED")[here]
    assert coadd.mask.any("INEXACT_PSF")[here]
    assert abs(coadd.image[here]) < 5 * np.sqrt(coadd.variance[here])
    assert made.n_image.image[here] == 3
    assert made.numbers["n_transient"] == 1


def test_stars_are_whole_and_the_psf_is_theirs(made) -> None:
    for x, y in STARS:
        psf, box = made.coadd.psf.compute_image(x, y)
        window = box.slices(BOX.xy0)
        flux = (psf * made.coadd.image[window]).sum() / (psf**2).sum()
        assert flux == pytest.approx(2000.0, rel=0.02)
        assert not made.coadd.mask.any("CLIPPED")[window].any()
    assert made.coadd.psf.compute_sigma(100.0, 200.0) == pytest.approx(OWN_SIGMA, rel=2e-3)


def test_components_and_planes(made) -> None:
    coadd = made.coadd
    assert [(i.data_id["visit"], i.weight) for i in coadd.coadd_inputs] == [
        (k, 0.25 * k) for k in (1, 2, 3, 4)
    ]
    assert coadd.valid_polygon.area_pix == pytest.approx(BOX.area, rel=1e-6)
    inner = coadd.psf.inputs[0].polygon.vertices
    assert inner[:, 0].min() == pytest.approx(BOX.x0 + 40 - 0.5, abs=1e-3)
    bright = coadd.mask.any("BRIGHT_OBJECT")
    assert bright.sum() == pytest.approx(np.pi * 100, rel=0.05)
    assert bright[200 - BOX.y0, 100 - BOX.x0]
    assert coadd.components["noise_covariance"].total == pytest.approx(1.0)
    assert (made.n_image.unit, coadd.unit) == ("1", "nJy")
    assert coadd.xy0 == BOX.xy0


def test_one_visit_is_a_coadd_and_says_so(warps) -> None:
    alone = compare_warp_assemble_coadd(_of(warps[2:3], visits=[3, 9]), CONFIG)
    assert "nothing to compare" in str(alone.problem)
    np.testing.assert_array_equal(alone.coadd.image, warps[2].direct.cutout(BOX).image)
    assert sorted(alone.masks) == [3, 9]


def test_visits_without_matched_warps_are_in_the_coadd(warps) -> None:
    bare = [_warp(k, matched=False) for k in (1, 2, 3)]
    none = compare_warp_assemble_coadd(_of(bare), CONFIG)
    assert "no visit has a PSF-matched warp" in str(none.problem)
    mixed = compare_warp_assemble_coadd(_of([*warps[:2], bare[2], warps[3]]), CONFIG)
    assert mixed.problem is None
    assert mixed.numbers["visits_compared"] == 3
    x, y = FLASH
    assert mixed.masks[3].paint(Box(x, x + 1, y, y + 1)).all()


def test_no_visit_is_a_declared_failure() -> None:
    with pytest.raises(AlgorithmError, match="no visit has data"):
        compare_warp_assemble_coadd(_of([]), CONFIG)
    made = nothing(_wcs(), BOX, [1, 2], "no visit has data")
    assert np.isnan(made.coadd.image).all()
    assert made.coadd.mask.any("NO_DATA").all()
    assert made.coadd.missing["psf"] == "no visit has data"
    assert [len(made.masks[k]) for k in (1, 2)] == [0, 0]


def test_a_psf_too_wide_for_the_margin_is_said_where_patches_share_pixels(warps, made) -> None:
    assert made.problem is None
    shared = compare_warp_assemble_coadd(_of(warps, shared=True), CONFIG)
    assert shared.problem is not None
    assert "too wide for the margin" in str(shared.problem)
    assert shared.problem.numbers["margin_pix"] == 32
    assert shared.problem.numbers["needed_pix"] == farthest_look_pix(2.355 * MATCHED_SIGMA, CONFIG)
    np.testing.assert_array_equal(shared.coadd.image, made.coadd.image)


def test_the_usual_margin_serves_the_widest_target() -> None:
    target, margin = TargetConfig().max_fwhm_pix, SkyMapConfig().warp_margin_pix
    assert farthest_look_pix(target, CONFIG) <= margin < farthest_look_pix(target + 1, CONFIG)
