import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drpflow.sim.cti import transfer


def test_no_loss_is_no_change() -> None:
    rows = np.random.default_rng(1).uniform(0, 1e4, (3, 50)).astype(np.float32)
    assert transfer(rows, 0.0) is rows


@given(st.integers(0, 2**31), st.floats(1e-7, 1e-4))
def test_conserves_charge(seed: int, loss: float) -> None:
    rows = np.random.default_rng(seed).uniform(0, 1e4, (4, 500)).astype(np.float32)
    rows[:, -3:] = 0
    arrived = transfer(rows, loss)
    np.testing.assert_allclose(
        arrived.sum(axis=1, dtype=float), rows.sum(axis=1, dtype=float), rtol=1e-6
    )


@pytest.mark.parametrize("column", [10, 500, 1990])
def test_trail_grows_with_the_number_of_transfers(column: int) -> None:
    loss, charge = 1e-5, 1e6
    row = np.zeros((1, 2048), np.float32)
    row[0, column] = charge
    arrived = transfer(row, loss)[0].astype(float)
    n = column + 1
    assert arrived[column] == pytest.approx(charge * (1 - loss) ** n, rel=1e-6)
    assert arrived[column + 1] == pytest.approx(charge * n * loss * (1 - loss) ** n, rel=1e-5)
    second = charge * n * (n + 1) / 2 * loss**2 * (1 - loss) ** n
    assert arrived[column + 2] == pytest.approx(second, rel=1e-5)
    assert not arrived[:column].any()
    assert not arrived[column + 4 :].any()


def test_input_is_left_alone() -> None:
    rows = np.ones((2, 30), np.float32)
    transfer(rows, 1e-4)
    assert np.all(rows == 1)
