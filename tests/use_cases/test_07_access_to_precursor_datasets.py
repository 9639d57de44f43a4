"""Use case 7: what a coadd was made of, fetched through the data IDs that it records."""

import numpy as np
import pytest

from drpflow.data.coadd_inputs import CoaddInput, CoaddInputs
from drpflow.data.exposure import Exposure
from drpflow.data.mask import Mask
from drpflow.errors import MissingDatasetError

ID = {"tract": 5, "patch": 2, "band": "r"}


@pytest.fixture
def coadd(survey):
    inputs = CoaddInputs(
        tuple(
            CoaddInput("recalibrated_pvi", {"visit": v, "detector": d}, weight)
            for v, d, weight in ((12, 0, 1.0), (12, 3, 0.5), (15, 3, 0.25))
        )
    )
    pixels = np.random.default_rng(1).normal(0, 1, (32, 32)).astype(np.float32)
    variance = np.ones((32, 32), np.float32)
    exposure = Exposure(
        pixels,
        Mask.zeros(pixels.shape),
        variance,
        unit="nJy",
        xy0=(400, 800),
        components={"coadd_inputs": inputs},
    )
    survey.store.put(exposure, "coadd", **ID)
    return survey


def test_components_of_the_inputs_through_the_coadd(coadd, no_pixels):
    store = coadd.fresh()
    inputs = store.precursors("coadd", **ID)
    assert [p.weight for p in inputs] == [1.0, 0.5, 0.25]
    assert [dict(p.ref.data_id) for p in inputs][2] == {"visit": 15, "detector": 3}
    for item in inputs:
        key = item.ref.data_id["visit"], item.ref.data_id["detector"]
        assert item.get("psf") == coadd.truth[key].final["psf"]
        assert item.get("psf") is store.get(f"{item.ref.name}.psf", **item.ref.data_id)


def test_nothing_of_the_inputs_is_copied_into_the_coadd(coadd):
    assert set(coadd.fresh().get("coadd", **ID).components) == {"coadd_inputs"}


def test_an_input_itself(coadd):
    item = coadd.fresh().precursors("coadd", **ID)[1]
    np.testing.assert_allclose(item.get().image, coadd.truth[12, 3].final_njy, rtol=1e-6, atol=1e-3)


def test_an_input_that_has_gone(coadd):
    store = coadd.fresh()
    store.path("initial_pvi", visit=15, detector=3).unlink()
    item = store.precursors("coadd", **ID)[2]
    with pytest.raises(MissingDatasetError, match="no initial_pvi for visit=15, detector=3"):
        item.get()
    # Components that stand elsewhere outlive the pixels.
    assert item.get("psf") == coadd.truth[15, 3].final["psf"]


def test_an_exposure_that_records_no_inputs(coadd):
    with pytest.raises(MissingDatasetError, match="coadd_inputs"):
        coadd.fresh().precursors("initial_pvi", visit=12, detector=0)
