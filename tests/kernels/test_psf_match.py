"""Sums of pieces and growth of masks against numpy."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from drpflow.kernels.psf_match import add_weighted, reach_of, spread


def test_add_weighted() -> None:
    rng = np.random.default_rng(3)
    pieces = rng.normal(size=(4, 20, 22)).astype(np.float32)
    along_y = rng.normal(size=(4, 3, 9)).astype(np.float32)
    along_x = rng.normal(size=(3, 11)).astype(np.float32)
    out = np.full((9, 11), np.nan, np.float32)
    add_weighted(pieces, along_y, along_x, 5, 7, out)
    weights = np.einsum("rjy,jx->ryx", along_y, along_x)
    np.testing.assert_allclose(
        out, (weights * pieces[:, 5:14, 7:18]).sum(axis=0), rtol=1e-5, atol=1e-5
    )


def dilated(mask: np.ndarray, planes: int, reach: np.ndarray) -> np.ndarray:
    """Set bits offset by offset."""
    half = reach.size // 2
    padded = np.pad(mask & planes, 2 * half + 8)
    out = np.zeros_like(padded)
    for dy in range(-half, half + 1):
        for dx in range(-reach[half + dy], reach[half + dy] + 1):
            out |= np.roll(padded, (dy, dx), (0, 1))
    inner = slice(2 * half + 8, -(2 * half + 8))
    return out[inner, inner]


@given(
    hnp.arrays(np.int32, (9, 13), elements=st.sampled_from([0, 0, 0, 0, 1, 2, 3, 6])),
    hnp.arrays(np.int64, 5, elements=st.integers(-1, 4)),
)
@settings(max_examples=60, deadline=None)
def test_spread(mask: np.ndarray, reach: np.ndarray) -> None:
    out = np.full_like(mask, 8)
    spread(mask, np.int32(3), reach, out)
    np.testing.assert_array_equal(out, dilated(mask, 3, reach) | 8)


def test_reach_of_a_disc() -> None:
    y, x = np.mgrid[-4:5, -4:5]
    reach = reach_of(np.exp(-np.hypot(x, y)), np.exp(-3.0001))
    assert reach.tolist() == [-1, 0, 2, 2, 3, 2, 2, 0, -1]
    lopsided = np.zeros((3, 3))
    lopsided[1, 0] = 1.0
    assert reach_of(lopsided, 0.5).tolist() == [-1, 1, -1]
