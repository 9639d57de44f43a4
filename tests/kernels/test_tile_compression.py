"""Quantising and coding of tiles, against the standard's way back written out in Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from drpflow.data.tiled_plane import dither_table
from drpflow.kernels import tile_compression as k


def decode(code: bytes, count: int) -> np.ndarray:
    """RICE_1 with blocks of 32 (FITS Standard 4.0, section 10.4.1), bit by bit."""
    bits = "".join(f"{byte:08b}" for byte in code)
    at = 0

    def take(n: int) -> int:
        nonlocal at
        at += n
        return int(bits[at - n : at], 2) if n else 0

    last, values = take(32), []
    while len(values) < count:
        parameter = take(5)
        for _ in range(min(32, count - len(values))):
            if parameter == 0:
                folded = 0
            elif parameter == 26:
                folded = take(32)
            else:
                unary = bits.index("1", at) - at
                at += unary + 1
                folded = (unary << (parameter - 1)) | take(parameter - 1)
            difference = ~(folded >> 1) if folded & 1 else folded >> 1
            last = (last + difference) & 0xFFFFFFFF
            values.append(last)
    assert len(bits) - at < 8
    return np.array(values, np.uint32).view(np.int32)


def encode(values: np.ndarray) -> bytes:
    out = np.zeros(k.MAX_BYTES_PER_PIXEL * values.size + 16, np.uint8)
    return out[: k.rice_encode(values, out)].tobytes()


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(np.int32, st.integers(1, 100))
    | hnp.arrays(np.int32, st.integers(1, 100), elements=st.integers(-40, 40))
    | hnp.arrays(np.int32, st.integers(1, 100), elements=st.sampled_from([0, k.NULL, 2**31 - 1]))
)
def test_any_integers_come_back(values):
    assert np.array_equal(decode(encode(values), values.size), values)


def test_noise_takes_the_bits_that_theory_says():
    # Integers of standard deviation 16 have an entropy of log2(16 √(2 π e)) = 6.05 bits; their
    # differences 0.5 bits more, and the code loses a quarter of a bit to its blocks.
    rng = np.random.default_rng(1)
    values = np.rint(rng.normal(0, 16, 2**15)).astype(np.int32)
    assert 6.55 < 8 * len(encode(values)) / values.size < 6.9


def test_a_constant_takes_next_to_nothing():
    assert len(encode(np.full(3200, 7, np.int32))) < 4 + 3200 / 32


def quantize(tile: np.ndarray, step: float, start: int) -> tuple[np.ndarray, float, bool]:
    out = np.zeros(tile.size, np.int32)
    zero, good = k.quantize_tile(tile.astype(np.float32), step, dither_table(), start, out)
    return out, zero, good


def restore(integers: np.ndarray, zero: float, step: float, start: int) -> np.ndarray:
    """The reader's side: section 10.2 and appendix I of the standard."""
    table = dither_table().astype(np.float64)
    first, values = start % table.size, []
    at = int(table[first] * 500)
    for i in integers:
        value = (int(i) - table[at] + 0.5) * step + zero
        values.append({k.NULL: np.nan, k.ZERO: 0.0}.get(int(i), value))
        at += 1
        if at == table.size:
            first = (first + 1) % table.size
            at = int(table[first] * 500)
    return np.array(values)


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(
        np.float32,
        (7, 9),
        elements=st.sampled_from([0.0, np.nan]) | st.floats(-1e5, 1e5, width=32),
    ),
    st.floats(0.01, 1e4),
    st.integers(0, 30000),
)
def test_no_pixel_moves_by_more_than_half_a_step(tile, step, start):
    integers, zero, good = quantize(tile, step, start)
    assert good
    back = restore(integers, zero, step, start)
    flat = tile.ravel().astype(np.float64)
    assert np.array_equal(np.isnan(back), np.isnan(flat))
    assert (back[flat == 0] == 0).all()
    error = np.abs(back - flat)[np.isfinite(flat)]
    # Integers near -2³¹ cost nine digits of the sixteen that a float64 has.
    assert (error <= 0.5 * step * (1 + 1e-5) + 1e-9 * np.abs(flat[np.isfinite(flat)])).all()


def test_long_tiles_go_once_around_the_random_numbers():
    tile = np.random.default_rng(2).normal(0, 5, (150, 150))
    integers, zero, _ = quantize(tile, 1.0, 9999)
    error = restore(integers, zero, 1.0, 9999) - tile.astype(np.float32).ravel()
    assert np.abs(error).max() <= 0.5 + 1e-6


def test_errors_do_not_depend_on_the_value():
    """A faint constant far below a step has the right mean; rounding alone would lose it."""
    tile = np.full((100, 100), 10.03)
    tile[0] = 10.0 - 1e-4
    integers, zero, _ = quantize(tile, 1.0, 5)
    back = restore(integers, zero, 1.0, 5).reshape(tile.shape)[1:]
    assert abs(back.mean() - 10.03) < 4 / np.sqrt(12 * back.size)
    assert back.std() == pytest.approx(1 / np.sqrt(12), rel=0.05)


@pytest.mark.parametrize("worst", [np.inf, -np.inf, 3e38])
def test_what_does_not_fit_is_said(worst):
    tile = np.ones((4, 4))
    tile[2, 2] = worst
    assert not quantize(tile, 1e-3, 0)[2]
