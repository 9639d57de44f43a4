import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drpflow.sim.saturation import bleed

WELL = 1000.0


def wells(shape: tuple[int, int]) -> np.ndarray:
    return np.full(shape, WELL, np.float32)


def test_what_fits_stays() -> None:
    charge = np.random.default_rng(1).uniform(0, WELL, (20, 5)).astype(np.float32)
    before = charge.copy()
    assert not bleed(charge, wells(charge.shape), split_at_midline=True).any()
    np.testing.assert_array_equal(charge, before)


def test_bleeds_evenly_up_and_down_the_column() -> None:
    charge = np.zeros((41, 3), np.float32)
    charge[20, 1] = 5 * WELL
    full = bleed(charge, wells(charge.shape), split_at_midline=False)
    np.testing.assert_allclose(charge[18:23, 1], WELL)
    assert charge[[17, 23], 1].tolist() == [0, 0]
    np.testing.assert_array_equal(np.flatnonzero(full[:, 1]), np.arange(18, 23))
    assert not charge[:, [0, 2]].any()


@given(st.integers(0, 2**31), st.booleans())
def test_conserves_charge_where_there_is_room(seed: int, split: bool) -> None:
    rng = np.random.default_rng(seed)
    charge = rng.uniform(0, 0.6 * WELL, (40, 7)).astype(np.float32)
    charge[rng.integers(0, 40, 3), rng.integers(0, 7, 3)] += np.float32(4 * WELL)
    well = (WELL * rng.uniform(0.95, 1.05, charge.shape)).astype(np.float32)
    before = charge.copy()
    full = bleed(charge, well, split_at_midline=split)
    for half in (slice(0, 20), slice(20, 40)) if split else (slice(0, 40),):
        capacity = well[half].sum(axis=0, dtype=float)
        arrived = before[half].sum(axis=0, dtype=float)
        np.testing.assert_allclose(
            charge[half].sum(axis=0, dtype=float), np.minimum(arrived, capacity), rtol=1e-5
        )
    assert np.all(charge <= well * (1 + 1e-6))
    np.testing.assert_array_equal(full, charge >= well * (1 - 1e-6))


def test_midline_blocks_the_flow() -> None:
    charge = np.zeros((20, 1), np.float32)
    charge[8, 0] = 7 * WELL
    joined = charge.copy()
    bleed(charge, wells(charge.shape), split_at_midline=True)
    assert not charge[10:].any()
    # What the midline reflects goes down: seven pixels next to it are full.
    np.testing.assert_allclose(charge[3:10, 0], WELL)
    assert charge.sum() == pytest.approx(7 * WELL)
    bleed(joined, wells(joined.shape), split_at_midline=False)
    assert joined[10:].sum() > WELL


def test_a_full_column_spills_into_the_register() -> None:
    charge = np.full((10, 1), 2 * WELL, np.float32)
    full = bleed(charge, wells(charge.shape), split_at_midline=True)
    np.testing.assert_allclose(charge, WELL)
    assert full.all()
