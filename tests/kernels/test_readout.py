"""Linearity and charge-transfer kernels against numpy twins."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from drpflow.kernels import readout as k


def test_linearize_is_the_piecewise_cubic() -> None:
    rng = np.random.default_rng(1)
    nodes = np.array([0.0, 10.0, 25.0, 60.0])
    coefficients = rng.normal(0, 1e-3, (3, 4))
    signal = rng.uniform(-20, 80, (30, 40)).astype(np.float32)
    x = signal.astype(float)
    i = np.clip(np.searchsorted(nodes, x, side="right") - 1, 0, 2)
    d = x - nodes[i]
    value = sum(coefficients[i, p] * d**p for p in range(4))
    value = np.where(x < 0, coefficients[0, 0] + coefficients[0, 1] * x, value)
    end = sum(coefficients[2, p] * 35.0**p for p in range(4))
    value = np.where(x >= 60, end, value)
    k.linearize(signal, nodes, coefficients, 1.5)
    np.testing.assert_allclose(signal, 1.5 * (x - value), rtol=1e-6, atol=1e-5)


def transfer_matrix(n: int, loss: float) -> np.ndarray:
    """Charge of pixel j that is read in pixel i, all orders."""
    matrix = np.zeros((n, n))
    for j in range(n):
        for i in range(j, n):
            matrix[i, j] = comb(i, i - j) * loss ** (i - j) * (1 - loss) ** (j + 1)
    return matrix


@pytest.mark.parametrize("loss", [1e-6, 1e-5, 1e-4])
@pytest.mark.parametrize("before", [0, 10])
def test_restore_inverts_the_full_transfer_matrix(loss: float, before: int) -> None:
    rng = np.random.default_rng(2)
    charge = rng.uniform(0, 1000, (5, 200))
    charge[2, 50] = 50000
    matrix = transfer_matrix(200 + before, loss)[before:, before:]
    read = (charge @ matrix.T).astype(np.float32)
    k.restore_serial_charge(read, loss, before)
    # Third order in (transfers · loss) is kept: the rest is (0.02)^4 / 24 of the brightest pixel.
    np.testing.assert_allclose(read, charge, rtol=3e-7, atol=0.01)


def test_restore_lets_nan_pass() -> None:
    signal = np.full((1, 30), 100, np.float32)
    signal[0, 10] = np.nan
    k.restore_serial_charge(signal, 1e-4, 0)
    assert np.isnan(signal[0, 10])
    assert np.isfinite(np.delete(signal[0], 10)).all()
