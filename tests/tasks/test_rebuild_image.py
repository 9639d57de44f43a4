"""rebuildImage: the final pixels again, or a refusal that says why."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.compression.quantize import compress_pixels
from drpflow.config.compress_image import CompressImageConfig
from drpflow.data.background import Background, PolynomialLayer
from drpflow.data.exposure import Exposure
from drpflow.errors import AlgorithmError
from drpflow.tasks.compress_image import failed_exposure
from drpflow.tasks.rebuild_image import rebuild_image
from tests.algorithms.compression.test_quantize import read_back
from tests.algorithms.isr.cameras import two_by_two
from tests.tasks.compressed_run import NX, NY, Images, layers, make_images

CONFIG = CompressImageConfig(tile_pix=64)


@pytest.fixture(scope="module")
def images() -> Images:
    return make_images()


@pytest.fixture(scope="module")
def kept(images) -> tuple[Exposure, dict]:
    """Return what compressImage keeps, and its steps."""
    pixels = compress_pixels(images.pvi, {"image": 5, "variance": 6}, CONFIG)
    image, variance = (plane.astype(np.float32) for plane in read_back(pixels))
    steps = {name: (plane.steps, plane.tile_shape) for name, plane in pixels.planes.items()}
    return images.pvi.replace(image=image, variance=variance), steps


def test_the_final_pixels_come_back(images, kept):
    compressed, steps = kept
    result = rebuild_image(images.detrended, compressed, images.background, steps)
    pvi, rebuilt = images.pvi, result.exposure
    for plane in ("image", "variance"):
        one, two = getattr(pvi, plane), getattr(rebuilt, plane)
        assert np.array_equal(np.isnan(one), np.isnan(two))
        tolerance = 2 * np.spacing(np.abs(one))
        if plane == "image":
            tolerance = np.maximum(tolerance, 1e-5 * np.sqrt(pvi.variance))
        assert (np.abs(one.astype(float) - two) <= tolerance)[np.isfinite(one)].all()
    # It is no copy of what was compressed: those pixels are farther away.
    assert np.nanstd(compressed.image - pvi.image) > 100 * np.nanstd(rebuilt.image - pvi.image)
    assert rebuilt.mask == pvi.mask
    assert rebuilt.unit == "nJy"
    assert rebuilt.psf == pvi.psf
    assert result.numbers["image_pixels_different"] == 0
    assert result.numbers["cosmic_ray_pixels"] == np.count_nonzero(pvi.mask.any("CR"))


def test_another_background_is_refused_with_its_difference(images, kept):
    sky = images.background.layer("sky")
    changed = Background((("sky", sky), ("late", PolynomialLayer.constant(1.5))))
    with pytest.raises(AlgorithmError, match=r"visit_background has changed .* 1\.5 electron"):
        rebuild_image(images.detrended, *_with(kept, changed))


def test_a_background_of_another_unit_is_refused(images, kept):
    changed = Background(images.background.layers, "nJy")
    with pytest.raises(AlgorithmError, match="is in nJy, but was in electron"):
        rebuild_image(images.detrended, *_with(kept, changed))


def _with(kept: tuple[Exposure, dict], background: Background) -> tuple:
    return kept[0], background, kept[1]


def test_another_detrended_image_is_refused(images, kept):
    image = images.detrended.image * np.float32(1.001)
    with pytest.raises(AlgorithmError, match=r"the detrended image is not the one .* image differ"):
        rebuild_image(images.detrended.replace(image=image), *_with(kept, images.background))


def test_another_variance_is_refused(images, kept):
    # A read noise of 6 instead of 5 electrons: 0.4 % of the variance, an eighth of a step.
    variance = images.detrended.variance + np.float32(11)
    changed = images.detrended.replace(variance=variance)
    with pytest.raises(AlgorithmError, match="of the variance differ"):
        rebuild_image(changed, *_with(kept, images.background))


def test_an_image_of_another_shape_is_refused(images, kept):
    part = images.detrended.cutout((0, NX, 0, NY - 1))
    with pytest.raises(AlgorithmError, match="shape"):
        rebuild_image(part, *_with(kept, images.background))


def test_what_never_was_is_not_made_again(images):
    failed = failed_exposure(two_by_two(NX, NY), None, "no PSF")
    with pytest.raises(AlgorithmError, match="there was no final image: no PSF"):
        rebuild_image(images.detrended, failed, layers(1.0, 0.0), {})


def test_without_a_calibration_it_says_so(images, kept):
    lost = kept[0].replace(photo_calib=None, missing={"photo_calib": "no zero point"})
    with pytest.raises(AlgorithmError, match="no zero point"):
        rebuild_image(images.detrended, lost, images.background, kept[1])
