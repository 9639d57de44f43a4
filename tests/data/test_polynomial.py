"""Two-dimensional polynomials."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.polynomial import chebyshev, polynomial

from drpflow.data.geometry import Box
from drpflow.data.polynomial import UNIT, Basis2D, Domain, Polynomial2D

DOMAIN = Domain(-10.0, 30.0, 5.0, 9.0)


def case(kind: str, order: int, m: int | None = None) -> tuple[Basis2D, np.ndarray]:
    rng = np.random.default_rng([order, len(kind)])
    basis = Basis2D(order, DOMAIN, kind)  # type: ignore[arg-type]
    shape = (basis.n_terms,) if m is None else (m, basis.n_terms)
    return basis, rng.normal(size=shape)


def points(n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.uniform(-12, 32, n), rng.uniform(4.5, 9.5, n)


@pytest.mark.parametrize("kind", ["chebyshev", "power"])
@pytest.mark.parametrize("order", [0, 1, 2, 5, 9])
def test_values_are_those_of_numpy(kind: str, order: int) -> None:
    basis, c = case(kind, order)
    x, y = points()
    u, v = DOMAIN.to_unit(x, y)
    evaluate = chebyshev.chebval2d if kind == "chebyshev" else polynomial.polyval2d
    expected = evaluate(u, v, basis.square(c).T)
    assert basis.evaluate(c, x, y) == pytest.approx(expected, rel=1e-11, abs=1e-11)
    assert basis.design(x, y) @ c == pytest.approx(expected, rel=1e-11, abs=1e-11)


@pytest.mark.parametrize("kind", ["chebyshev", "power"])
@pytest.mark.parametrize("order", [0, 1, 4])
def test_gradient_is_the_limit_of_differences(kind: str, order: int) -> None:
    basis, c = case(kind, order, m=2)
    x, y = points(50)
    value, dx, dy = basis.evaluate_with_gradient(c, x, y)
    assert value == pytest.approx(basis.evaluate(c, x, y))
    h = 1e-5
    for slope, (hx, hy) in ((dx, (h, 0)), (dy, (0, h))):
        difference = basis.evaluate(c, x + hx, y + hy) - basis.evaluate(c, x - hx, y - hy)
        assert slope == pytest.approx(difference / (2 * h), rel=1e-6, abs=1e-6)


def test_shapes() -> None:
    basis, c = case("chebyshev", 3, m=2)
    assert basis.evaluate(c, 1.0, 6.0).shape == (2,)
    assert basis.evaluate(c, np.zeros((4, 1)), np.full(3, 6.0)).shape == (2, 4, 3)
    assert basis.evaluate(c[0], [], []).shape == (0,)
    assert basis.design(np.zeros((4, 5)), 6.0).shape == (4, 5, basis.n_terms)
    with pytest.raises(ValueError, match="10 coefficients"):
        basis.evaluate(c[:, :-1], 0, 6)


def test_many_points_are_evaluated_as_few() -> None:
    basis, c = case("chebyshev", 4)
    x, y = points(40_000)
    whole = basis.evaluate(c, x, y)
    assert whole[20_000:20_010] == pytest.approx(
        basis.evaluate(c, x[20_000:20_010], y[20_000:20_010])
    )


@pytest.mark.parametrize("kind", ["chebyshev", "power"])
def test_grid_is_the_points(kind: str) -> None:
    basis, c = case(kind, 5)
    x, y = np.linspace(-10, 30, 7), np.linspace(5, 9, 4)
    grid = basis.evaluate_grid(c, x, y)
    assert grid == pytest.approx(basis.evaluate(c, *np.meshgrid(x, y)), rel=1e-12, abs=1e-12)


def test_terms_of_a_lower_order_come_first() -> None:
    low, high = Basis2D(2, DOMAIN), Basis2D(5, DOMAIN)
    assert np.array_equal(low.exponents, high.exponents[: low.n_terms])
    assert low.exponents.tolist() == [[0, 0], [1, 0], [0, 1], [2, 0], [1, 1], [0, 2]]
    for order in range(10):
        assert len(Basis2D(order, UNIT).exponents) == Basis2D(order, UNIT).n_terms


@pytest.mark.parametrize("kind", ["chebyshev", "power"])
def test_fit_recovers_coefficients(kind: str) -> None:
    basis, c = case(kind, 4, m=3)
    x, y = points(300)
    assert basis.fit(x, y, c @ basis.design(x, y).T) == pytest.approx(c, abs=1e-9)


def test_fit_obeys_weights() -> None:
    basis = Basis2D(0, UNIT)
    x = np.zeros(3)
    weights = np.array([1.0, 2.0, 0.0])
    found = basis.fit(x, x, np.array([1.0, 3.0, 99.0]), weights)
    assert found == pytest.approx([(1 * 1.0 + 4 * 3.0) / 5])


def test_fit_refuses_too_few_points() -> None:
    with pytest.raises(ValueError, match="determine 3 of the 6"):
        Basis2D(2, UNIT).fit([0.0, 0.5, 0.2], [0.0, 0.1, 0.9], [1.0, 2.0, 3.0])


def test_field_on_a_box_and_in_blocks() -> None:
    box = Box(3, 40, -5, 60)
    basis = Basis2D(3, Domain.of_box(box))
    field = Polynomial2D(basis, np.arange(10.0))
    image = field.on_box(box)
    assert image.shape == box.shape
    assert image[4, 7] == pytest.approx(float(field(10, -1)))
    blocks = np.concatenate([values for _, values in field.row_blocks(box, rows=17)])
    assert blocks == pytest.approx(image)
    assert field.scaled(2.0)(5, 5) == pytest.approx(2 * field(5, 5))
    assert Polynomial2D.constant(3.0)(1e9, -1e9) == 3.0


def test_domain_reaches_to_the_pixel_edges() -> None:
    domain = Domain.of_box(Box(0, 10, 0, 4))
    u, v = domain.to_unit([-0.5, 9.5, 4.5], [-0.5, 3.5, 1.5])
    assert u.tolist() == [-1, 1, 0]
    assert v.tolist() == [-1, 1, 0]


@pytest.mark.parametrize(
    "limits", [(0, 0, 0, 1), (1, 0, 0, 1), (0, np.inf, 0, 1), (0, 1, np.nan, 1)]
)
def test_impossible_domains_are_refused(limits: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="domain"):
        Domain(*limits)


def test_impossible_polynomials_are_refused() -> None:
    with pytest.raises(ValueError, match="order"):
        Basis2D(-1, UNIT)
    with pytest.raises(ValueError, match="chebyshev"):
        Basis2D(1, UNIT, "legendre")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="3 finite coefficients"):
        Polynomial2D(Basis2D(1, UNIT), np.zeros(4))
    with pytest.raises(ValueError, match="finite"):
        Polynomial2D(Basis2D(0, UNIT), np.array([np.nan]))
