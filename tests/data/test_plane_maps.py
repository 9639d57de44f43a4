"""Maps of the plane: forward, derivative and inverse belong together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drpflow.data.plane_maps import AffineMap, PlaneMap, PolynomialMap, RadialMap
from drpflow.data.polynomial import Basis2D, Domain

DOMAIN = Domain(-0.5, 2047.5, -0.5, 4095.5)


def distorted(
    seed: int = 0, order: int = 5, kind: str = "chebyshev", size: float = 5.0
) -> PolynomialMap:
    """The identity on a detector with a few pixels of distortion."""
    basis = Basis2D(order, DOMAIN, kind)  # type: ignore[arg-type]
    noise = np.random.default_rng(seed).normal(0, size, (2, basis.n_terms)) / basis.n_terms
    return PolynomialMap(basis, PolynomialMap.identity(basis).coefficients + noise)


MAPS: dict[str, PlaneMap] = {
    "affine": AffineMap(np.array([[0.3, -2.0], [1.5, 0.1]]), np.array([100.0, -7.0])),
    "chebyshev": distorted(),
    "power": distorted(1, 3, "power"),
    "barrel": RadialMap(0.005, 4000.0, (-0.05,), (1000.0, 2000.0)),
    "pincushion": RadialMap(0.005, 4000.0, (0.05, 0.01, 0.002), (1000.0, 2000.0)),
    "mixed": RadialMap(2.0, 3000.0, (0.08, -0.03, 0.004)),
    "undistorted": RadialMap(2.0),
}


def detector_points(n: int = 500) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.uniform(-20, 2068, n), rng.uniform(-20, 4116, n)


@pytest.mark.parametrize("name", MAPS)
def test_inverse_undoes_forward(name: str) -> None:
    x, y = detector_points()
    x_again, y_again = MAPS[name].inverse(*MAPS[name].forward(x, y))
    assert np.abs(x_again - x).max() < 1e-9
    assert np.abs(y_again - y).max() < 1e-9


@pytest.mark.parametrize("name", MAPS)
def test_jacobian_is_the_limit_of_differences(name: str) -> None:
    x, y = detector_points(50)
    u, v, jacobian = MAPS[name].forward_with_jacobian(x, y)
    assert np.array_equal([u, v], MAPS[name].forward(x, y))
    h = 1e-2
    for j, (hx, hy) in enumerate(((h, 0), (0, h))):
        ahead = np.array(MAPS[name].forward(x + hx, y + hy))
        behind = np.array(MAPS[name].forward(x - hx, y - hy))
        assert pytest.approx((ahead - behind) / (2 * h), rel=1e-6, abs=1e-8) == jacobian[:, :, j].T


@pytest.mark.parametrize("name", MAPS)
def test_scalars_arrays_and_nan(name: str) -> None:
    item = MAPS[name]
    u, v = item.forward(3.0, 4.0)
    assert np.shape(u) == np.shape(v) == ()
    x, y = item.inverse(np.array([[u, np.nan]]), np.array([[v, v]]))
    assert x.shape == (1, 2)
    assert (x[0, 0], y[0, 0]) == pytest.approx((3.0, 4.0), abs=1e-9)
    assert np.isnan(x[0, 1])
    assert item.inverse(np.empty(0), np.empty(0))[0].shape == (0,)


def test_polynomial_inverse_is_nan_where_there_is_no_solution() -> None:
    # u = x + x²/4 on [-1, 1] never falls below -1.
    basis = Basis2D(2, Domain(-1, 1, -1, 1), "power")
    coefficients = np.array(PolynomialMap.identity(basis).coefficients)
    coefficients[0, 3] = 0.25
    fold = PolynomialMap(basis, coefficients)
    x, y = fold.inverse(np.array([-2.0, 0.0, 1.25]), np.zeros(3))
    assert np.isnan(x[0])
    assert np.isnan(y[0])
    assert x[1:] == pytest.approx([0.0, 1.0], abs=1e-12)


def test_polynomial_inverse_keeps_to_its_sheet() -> None:
    basis = Basis2D(2, Domain(-1, 1, -1, 1), "power")
    coefficients = np.array(PolynomialMap.identity(basis).coefficients)
    coefficients[0, 3] = 0.25
    fold = PolynomialMap(basis, coefficients)
    targets = np.linspace(-0.99, 1.25, 50)
    x, _ = fold.inverse(targets, np.zeros(50))
    assert (x > -2).all(), "x = -2 is where the sheets meet"
    assert x == pytest.approx(2 * (np.sqrt(1 + targets) - 1), abs=1e-8)


def test_radial_inverse_ends_where_the_distortion_folds() -> None:
    # h(z) = z (1 - z²/3) is largest at z = 1, where it is 2/3.
    barrel = RadialMap(1.0, 1.0, (-1 / 3,))
    x, y = barrel.inverse(np.array([0.0, 0.5, 0.6666, 0.667, 5.0]), np.zeros(5))
    assert x[0] == 0
    assert (x[1] < 1, x[2] < 1) == (True, True)
    assert np.isnan(x[3:]).all()
    assert np.isnan(y[3:]).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-0.1, 0.2), max_size=4),
    st.floats(0, 2 * np.pi),
    st.floats(0, 1),
)
def test_radial_round_trip_before_the_fold(a: list[float], angle: float, fraction: float) -> None:
    item = RadialMap(0.3, 2.0, tuple(a), (0.1, -0.2))
    # Close to the fold the inverse is ill-conditioned.
    r = fraction * min(0.9 * item._turning, 1.5) * 2.0
    x, y = 0.1 + r * np.cos(angle), -0.2 + r * np.sin(angle)
    assert np.array(item.inverse(*item.forward(x, y))) == pytest.approx([x, y], abs=1e-9)


def test_identity_of_any_basis() -> None:
    x, y = detector_points(20)
    for kind in ("chebyshev", "power"):
        identity = PolynomialMap.identity(Basis2D(3, DOMAIN, kind))  # type: ignore[arg-type]
        assert np.array(identity.forward(x, y)) == pytest.approx(np.array([x, y]), abs=1e-9)


def test_fit_recovers_a_map() -> None:
    x, y = detector_points()
    truth = distorted(3)
    found = PolynomialMap.fit(truth.basis, x, y, *truth.forward(x, y))
    assert found.coefficients == pytest.approx(truth.coefficients, abs=1e-8)


def test_impossible_maps_are_refused() -> None:
    with pytest.raises(ValueError, match="no inverse"):
        AffineMap(np.ones((2, 2)), np.zeros(2))
    with pytest.raises(ValueError, match="no inverse"):
        AffineMap(np.eye(2), np.array([np.nan, 0.0]))
    with pytest.raises(ValueError, match="shapes"):
        AffineMap(np.eye(3), np.zeros(2))
    with pytest.raises(ValueError, match="coefficients"):
        PolynomialMap(Basis2D(1, DOMAIN), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="positive"):
        RadialMap(-1.0)
    with pytest.raises(ValueError, match="finite"):
        RadialMap(1.0, 1.0, (np.inf,))
