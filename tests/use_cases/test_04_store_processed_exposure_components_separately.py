"""Use case 4: a coadd before and after detection share everything but background and mask."""

import numpy as np
import pytest

from drpflow.data.background import Background, PolynomialLayer
from drpflow.data.exposure import Exposure
from drpflow.data.mask import Mask
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.psf import GaussianPsf

DETECTION = """
datasets:
  detected_mask:
    dimensions: [tract, patch, band]
    format: mask
    path: detected_mask/tract={tract}/patch={patch}/detected_mask_{tract}_{patch}_{band}.fits
    task: compareWarpAssembleCoadd
    keep: kept
    doc: Mask of a coadd after detection.
  detected_background:
    dimensions: [tract, patch, band]
    format: component
    path: detected_background/tract={tract}/patch={patch}/{band}.fits
    task: compareWarpAssembleCoadd
    keep: kept
    doc: Background that detection took off a coadd.
views:
  detected_coadd:
    base: coadd
    replace: {mask: detected_mask, background: detected_background}
    doc: Coadd after detection.
"""
ID = {"tract": 5, "patch": 2, "band": "r"}
XY0 = (1000, 2000)


@pytest.fixture
def coadd(make_survey, extended_table):
    survey = make_survey(extended_table(DETECTION))
    rng = np.random.default_rng(3)
    image = rng.normal(50, 10, (60, 70)).astype(np.float32)
    image[30:33, 20:23] += 500
    exposure = Exposure(
        image,
        Mask.zeros(image.shape),
        np.full(image.shape, 100, np.float32),
        unit="nJy",
        xy0=XY0,
        components={"psf": GaussianPsf(2.0), "photo_calib": PhotoCalib(1.0)},
    )
    survey.store.put(exposure, "coadd", **ID)
    before = survey.fresh().get("coadd", **ID)  # as compression left it
    mask = before.mask.copy()
    mask.set("DETECTED", before.image > 200)
    background = Background((("local", PolynomialLayer.constant(50.0)),), "nJy")
    survey.store.put(mask, "detected_mask", **ID)
    survey.store.put(background, "detected_background", **ID)
    return survey


def test_both_stages_can_be_read(coadd):
    store = coadd.fresh()
    before, after = store.get("coadd", **ID), store.get("detected_coadd", **ID)
    assert before.mask.count()["DETECTED"] == 0
    assert after.mask.count()["DETECTED"] == 9
    np.testing.assert_allclose(after.image, before.image - 50, atol=1e-5)
    np.testing.assert_allclose(after.variance, before.variance)
    assert after.background.names == ("local",)
    assert before.background is None
    assert after.psf is before.psf


def test_a_part_of_the_later_stage_is_cut_at_the_same_place(coadd):
    store = coadd.fresh()
    box = (1015, 1030, 2025, 2040)
    after = store.get("detected_coadd", box=box, **ID)
    whole = store.get("detected_coadd", **ID)
    assert after.mask.count()["DETECTED"] == 9
    np.testing.assert_array_equal(after.image, whole.image[25:40, 15:30])


def test_what_is_shared_is_on_disk_once(coadd):
    store = coadd.fresh()
    pixels = store.path("coadd", **ID).stat().st_size
    added = sum(
        store.path(name, **ID).stat().st_size for name in ("detected_mask", "detected_background")
    )
    assert added < 25_000 < pixels
