"""The exposure in memory: agreement of its planes, components by name, parts and changes."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drpflow.data.exposure import Exposure, LazyComponents
from drpflow.data.geometry import Box
from drpflow.data.mask import Mask
from drpflow.data.provenance import Provenance
from drpflow.data.psf import GaussianPsf
from drpflow.errors import MissingDatasetError


def make(shape=(6, 8), **options) -> Exposure:
    ny, nx = shape
    image = np.arange(ny * nx, dtype=np.float32).reshape(shape)
    mask = Mask(np.arange(ny * nx, dtype=np.int32).reshape(shape))
    return Exposure(image, mask, image + 1, **{"unit": "electron", **options})


def test_arrays_are_kept_not_copied():
    image, variance = np.zeros((4, 5), np.float32), np.ones((4, 5), np.float32)
    mask = Mask.zeros((4, 5))
    exposure = Exposure(image, mask, variance, unit="adu")
    assert exposure.image is image
    assert exposure.mask is mask
    assert exposure.variance is variance
    assert (exposure.shape, exposure.box, exposure.unit) == ((4, 5), Box(0, 5, 0, 4), "adu")


@pytest.mark.parametrize(
    ("image", "mask", "variance", "error", "message"),
    [
        (np.zeros((4, 5)), (4, 5), np.zeros((4, 5), "f4"), TypeError, "image .* not float64"),
        (
            np.zeros((4, 5), "f4"),
            (4, 5),
            np.zeros((4, 5), "i4"),
            TypeError,
            "variance .* not int32",
        ),
        (np.zeros((4, 5), "f4"), (4, 6), np.zeros((4, 5), "f4"), ValueError, r"\(4, 5\).*\(4, 6\)"),
        (np.zeros(5, "f4"), (4, 5), np.zeros((4, 5), "f4"), ValueError, "has 2 axes, not 1"),
    ],
)
def test_planes_that_do_not_agree_are_refused(image, mask, variance, error, message):
    with pytest.raises(error, match=message):
        Exposure(image, Mask.zeros(mask), variance, unit="adu")


def test_unknown_units_and_components_are_refused():
    with pytest.raises(ValueError, match="adu, electron, nJy, 1, not 'counts'"):
        make(unit="counts")
    with pytest.raises(KeyError, match="did you mean 'psf'"):
        make(components={"pfs": GaussianPsf(1.0)})
    with pytest.raises(KeyError, match="did you mean 'wcs'"):
        make(missing={"wsc": "no stars"})


def test_components_by_name():
    psf = GaussianPsf(1.5)
    exposure = make(components={"psf": psf, "wcs": None}, missing={"wcs": "no match", "psf": "?"})
    assert exposure.psf is psf
    assert exposure.wcs is None
    assert exposure.missing == {"wcs": "no match"}  # what is there is not missing
    assert list(exposure.components) == ["psf"]
    assert exposure.require("psf") == (psf,)
    with pytest.raises(MissingDatasetError, match="has no wcs: no match"):
        exposure.require("psf", "wcs")
    with pytest.raises(MissingDatasetError, match="has no ap_corr: it was never made"):
        exposure.require("ap_corr")
    with pytest.raises(AttributeError, match="did you mean 'photo_calib'"):
        exposure.photo_calb  # noqa: B018
    assert "photo_calib" in dir(exposure)


@given(st.data())
def test_a_cutout_holds_the_pixels_of_its_box(data):
    x0, y0 = data.draw(st.integers(-20, 20)), data.draw(st.integers(-20, 20))
    exposure = make(xy0=(x0, y0))
    xa, xb = sorted(data.draw(st.lists(st.integers(0, 8), min_size=2, max_size=2, unique=True)))
    ya, yb = sorted(data.draw(st.lists(st.integers(0, 6), min_size=2, max_size=2, unique=True)))
    box = Box(x0 + xa, x0 + xb, y0 + ya, y0 + yb)
    cut = exposure.cutout(box)
    assert cut.box == box
    np.testing.assert_array_equal(cut.image, exposure.image[ya:yb, xa:xb])
    np.testing.assert_array_equal(cut.mask.array, exposure.mask.array[ya:yb, xa:xb])
    corner = Box(box.x0, box.x0 + 1, box.y0, box.y0 + 1)
    assert cut.cutout(corner).variance[0, 0] == exposure.variance[ya, xa]


def test_a_cutout_of_memory_shares_the_pixels():
    exposure = make()
    exposure.cutout((2, 4, 1, 3)).image[:] = -1
    assert (exposure.image[1:3, 2:4] == -1).all()


@pytest.mark.parametrize("box", [(0, 9, 0, 3), (-1, 3, 0, 3), (2, 2, 0, 3), (0, 3, 5, 7)])
def test_boxes_that_are_no_part_are_refused(box):
    with pytest.raises(ValueError, match=r"is no part of \(0, 8, 0, 6\)"):
        make().cutout(box)


def test_replace_exchanges_what_is_given_and_shares_the_rest():
    exposure = make(components={"psf": GaussianPsf(1.0)}, missing={"wcs": "no match"})
    image = exposure.image * 2
    other = exposure.replace(
        image=image, unit="nJy", psf=None, missing={"psf": "too few"}, provenance=Provenance("2")
    )
    assert other.image is image
    assert other.variance is exposure.variance
    assert other.unit == "nJy"
    assert other.psf is None
    assert other.missing == {"wcs": "no match", "psf": "too few"}
    assert other.provenance.version == "2"
    assert exposure.psf == GaussianPsf(1.0)
    again = other.replace(psf=GaussianPsf(3.0))
    assert again.missing == {"wcs": "no match"}


def test_lazy_components_are_loaded_once_and_only_when_wanted():
    loaded = []
    components = LazyComponents(("psf", "wcs"), lambda name: loaded.append(name) or name.upper())
    assert "psf" in components
    assert len(components) == 2
    assert list(components) == ["psf", "wcs"]
    assert loaded == []
    assert (components["psf"], components["psf"]) == ("PSF", "PSF")
    assert loaded == ["psf"]
    assert components.get("ap_corr") is None
    with pytest.raises(KeyError):
        components["ap_corr"]


def test_copies_and_pickles():
    exposure = make(components={"psf": GaussianPsf(1.0)}, xy0=(3, 4))
    for other in (copy.deepcopy(exposure), pickle.loads(pickle.dumps(exposure))):
        np.testing.assert_array_equal(other.image, exposure.image)
        assert other.psf == exposure.psf
        assert other.xy0 == (3, 4)
        assert other.image is not exposure.image


def test_repr_says_what_it_is():
    text = repr(make(components={"psf": GaussianPsf(1.0)}, xy0=(3, 4)))
    assert text == "<Exposure 8 x 6 from (3, 4), electron, components: psf>"
