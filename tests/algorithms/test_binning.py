from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from drpflow.algorithms.binning import bin_exposure, block_size
from drpflow.data.exposure import Exposure
from drpflow.data.mask import Mask


def make(ny: int, nx: int, seed: int = 1) -> Exposure:
    rng = np.random.default_rng(seed)
    image = rng.normal(100, 5, (ny, nx)).astype(np.float32)
    return Exposure(image, Mask.zeros((ny, nx)), np.full((ny, nx), 25, np.float32), unit="electron")


def test_mean_and_variance_of_blocks() -> None:
    binned = bin_exposure(make(400, 800), 100, ())
    assert binned.shape == (50, 100)
    # 64 pixels of sigma 5 a block: the mean scatters by 5/8, as its variance says.
    assert np.isclose(binned.image.std(), 0.625, rtol=0.05)
    np.testing.assert_allclose(binned.variance, 25 / 64, rtol=1e-6)
    assert binned.unit == "electron"


def test_ignored_pixels_do_not_count_but_show_in_the_mask() -> None:
    exposure = make(64, 64)
    exposure.image[:8, :4] = 1e6
    exposure.mask.set("SAT", (slice(0, 8), slice(0, 4)))
    exposure.image[8:16, 8:16] = np.nan
    binned = bin_exposure(exposure, 8, ("SAT",))
    assert abs(binned.image[0, 0] - 100) < 5
    assert binned.mask.any("SAT")[0, 0]
    assert np.isclose(binned.variance[0, 0], 25 / 32)
    assert np.isnan(binned.image[1, 1])
    assert binned.mask.any("NO_DATA")[1, 1]
    assert binned.mask.count()["NO_DATA"] == 1


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 300))
def test_block_size_is_the_smallest_that_fits(ny: int, nx: int, side: int) -> None:
    step = block_size((ny, nx), side)
    assert max(ny, nx) // step <= side
    assert step == 1 or -(-max(ny, nx) // (step - 1)) > side
