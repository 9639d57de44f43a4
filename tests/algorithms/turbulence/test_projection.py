import numpy as np
import pytest

from drpflow.algorithms.turbulence.projection import FittedField
from drpflow.algorithms.turbulence.spectrum import Spectrum, modes
from tests.algorithms.turbulence.fields import drawn, polynomial_design

SPECTRUM = Spectrum(5.0, 0.05, 0.4, 0.2, curl_fraction=0.1)
LAGS = 0.02 * np.arange(-3, 4)


def test_a_polynomial_takes_what_it_takes_of_drawn_fields() -> None:
    """Correlations of fields on a grid, less a quadratic, at some separations."""
    width, height, n = 0.16, 0.12, 13
    x, y = np.meshgrid(
        np.linspace(-width / 2, width / 2, n), np.linspace(-height / 2, height / 2, n)
    )
    design = polynomial_design(x.ravel() / 0.08, y.ravel() / 0.06, 2)
    change = np.zeros(2)
    for seed in range(150):
        values = drawn(SPECTRUM, 0.3, seed).at(x.ravel(), y.ravel())
        left = values - (design @ np.linalg.lstsq(design, values.T, rcond=None)[0]).T
        for k, (a, b) in enumerate(((0, 0), (0, 3))):
            pairs = [
                (w[:, a : n - b or None].ravel() @ w[:, b:].ravel()) / w[:, a : n - b or None].size
                for v in (values, left)
                for w in [v[0].reshape(n, n)]
            ]
            change[k] += (pairs[1] - pairs[0]) / 150
    table = FittedField((width, height), 2).taken(SPECTRUM, np.array([-0.04, 0.0, 0.04]))
    assert table[0, 1, 1] == pytest.approx(change[0], rel=0.12)
    assert table[0, 1, 2] == pytest.approx(change[1], rel=0.15, abs=0.8)


def test_the_variance_left_is_that_of_a_factorisation() -> None:
    side, n = 0.12, 15
    place = (np.arange(n) + 0.5) / n * side
    x, y = (w.ravel() for w in np.meshgrid(place, place))
    spacing, size = 0.002, 512
    table = np.fft.fftshift(modes(SPECTRUM, (size, size), spacing).correlation()[1])
    at = np.stack([y[:, None] - y, x[:, None] - x]) / spacing + size / 2
    from scipy.ndimage import map_coordinates

    k = map_coordinates(table, at, order=1)
    q = np.linalg.qr(polynomial_design(2 * x / side - 1, 2 * y / side - 1, 3))[0]
    left = k - q @ (q.T @ k)
    left -= (left @ q) @ q.T
    taken = FittedField((side, side), 3).taken(SPECTRUM, LAGS)
    assert taken[1, 3, 3] == pytest.approx(np.trace(left - k) / n**2, rel=0.05)
    assert np.allclose(taken, taken[:, ::-1, ::-1])


def test_nothing_is_taken_without_polynomial_or_in_a_large_field() -> None:
    assert not FittedField((0.12, 0.12), -1).taken(SPECTRUM, LAGS).any()
    assert not FittedField((2.0, 2.0), 3).taken(SPECTRUM, LAGS).any()
    assert FittedField((0.12, 0.12), 0).taken(SPECTRUM, LAGS)[0, 3, 3] < 0
