import numpy as np
import pytest

from drpflow.sim.random_field import Field, displacement_field, scalar_field

COHERENCE_DEG = 0.05
DIAMETER_DEG = 0.2
FIELDS = 60


def many(draw: str, seed: int = 1) -> list[Field]:
    rng = np.random.default_rng(seed)
    if draw == "scalar":
        return [scalar_field(rng, COHERENCE_DEG, DIAMETER_DEG) for _ in range(FIELDS)]
    return [displacement_field(rng, COHERENCE_DEG, DIAMETER_DEG, 0.1) for _ in range(FIELDS)]


def correlation(fields: list[Field], distance_deg: float) -> float:
    """Return the correlation of all components, averaged over places and directions."""
    x, y = np.random.default_rng(2).uniform(-0.2, 0.2, (2, 400))
    angle = np.random.default_rng(3).uniform(0, 2 * np.pi, 400)
    here = np.array([f(x, y) for f in fields])
    moved = (x + distance_deg * np.cos(angle), y + distance_deg * np.sin(angle))
    there = np.array([f(*moved) for f in fields])
    return float((here * there).mean() / (here**2).mean())


@pytest.mark.parametrize("draw", ["scalar", "displacement"])
def test_unit_variance_and_coherence_length(draw: str) -> None:
    fields = many(draw)
    x, y = np.random.default_rng(4).uniform(-0.2, 0.2, (2, 500))
    values = np.array([f(x, y) for f in fields])
    assert values.var() == pytest.approx(1.0, rel=0.12)
    assert correlation(fields, COHERENCE_DEG) == pytest.approx(np.exp(-1), abs=0.07)
    assert correlation(fields, COHERENCE_DEG / 10) > 0.9


def test_displacements_are_mostly_free_of_curl() -> None:
    step = 1e-3
    axis = np.linspace(-0.2, 0.2, 41)
    x, y = np.meshgrid(axis, axis)
    curl2 = divergence2 = 0.0
    for field in many("displacement"):
        ddx = (field(x + step, y) - field(x - step, y)) / (2 * step)
        ddy = (field(x, y + step) - field(x, y - step)) / (2 * step)
        curl2 += np.mean((ddx[1] - ddy[0]) ** 2)
        divergence2 += np.mean((ddx[0] + ddy[1]) ** 2)
    assert curl2 / (curl2 + divergence2) == pytest.approx(0.1, abs=0.02)


def test_both_coordinates_have_the_same_power() -> None:
    x, y = np.random.default_rng(5).uniform(-0.2, 0.2, (2, 500))
    values = np.array([f(x, y) for f in many("displacement")])
    assert values[:, 0].var() == pytest.approx(values[:, 1].var(), rel=0.2)


def test_points_and_grids_give_the_same_values() -> None:
    field = scalar_field(np.random.default_rng(6), COHERENCE_DEG, DIAMETER_DEG, components=2)
    x, y = np.meshgrid(np.linspace(-0.1, 0.1, 3), np.linspace(-0.1, 0.1, 4))
    grid = field(x, y)
    assert grid.shape == (2, 4, 3)
    np.testing.assert_array_equal(field(x[1, 2], y[1, 2]), grid[:, 1, 2])
    assert field(np.zeros(0), np.zeros(0)).shape == (2, 0)
