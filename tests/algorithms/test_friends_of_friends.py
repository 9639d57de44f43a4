"""Groups on the sphere against scipy, wherever they lie."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from drpflow.algorithms.friends_of_friends import SkyGrid, renumbered
from drpflow.data.reference_stars import unit_vectors

ARCSEC = np.pi / 180 / 3600


def crowd(ra: float, dec: float, n: int, width_arcsec: float, seed: int) -> np.ndarray:
    """Unit vectors scattered about a place of the sky, poles included."""
    rng = np.random.default_rng(seed)
    vectors = unit_vectors(ra, dec) + rng.uniform(-0.5, 0.5, (n, 3)) * width_arcsec * ARCSEC
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def expected_groups(vectors: np.ndarray, radius_arcsec: float) -> np.ndarray:
    chord = 2 * np.sin(radius_arcsec * ARCSEC / 2)
    pairs = cKDTree(vectors).query_pairs(chord, output_type="ndarray")
    n = len(vectors)
    graph = coo_matrix((np.ones(len(pairs)), pairs.T), (n, n))
    return connected_components(graph, directed=False)[1]


@pytest.mark.parametrize("place", [(0.0, 0.0), (359.9999, -30.0), (10.0, 90.0), (77.0, -89.9999)])
@pytest.mark.parametrize("width_arcsec", [40.0, 90.0])
def test_groups_are_those_of_scipy(place: tuple[float, float], width_arcsec: float) -> None:
    vectors = crowd(*place, 2000, width_arcsec, 3)
    got = SkyGrid.build(vectors, 1.0).friends()
    expected = expected_groups(vectors, 1.0)
    pairs = set(zip(got, expected, strict=True))
    assert len(pairs) == len(set(got)) == len(set(expected))
    assert len(pairs) > 5


def test_groups_do_not_depend_on_what_else_there_is() -> None:
    vectors = crowd(150.0, 2.0, 3000, 200.0, 4)
    everywhere = SkyGrid.build(vectors, 1.0).friends()
    # Other points shift the grid, its tangent point and its cells.
    more = np.concatenate([vectors, crowd(153.0, -1.0, 500, 4e4, 5)])
    with_more = SkyGrid.build(more, 1.0).friends()[: len(vectors)]
    np.testing.assert_array_equal(renumbered(with_more), everywhere)


def test_wide_fields_and_points_on_top_of_each_other() -> None:
    corners = unit_vectors(np.array([0.0, 30.0, 15.0, 0.0]), np.array([0.0, 0.0, 20.0, 0.0]))
    assert SkyGrid.build(corners, 1.0).friends().tolist() == [0, 1, 2, 0]
    with pytest.raises(ValueError, match="more than 25 degrees"):
        SkyGrid.build(unit_vectors(np.array([0.0, 90.0]), np.zeros(2)), 1.0)


def test_nothing() -> None:
    grid = SkyGrid.build(np.zeros((0, 3)), 1.0)
    assert grid.friends().size == 0
    assert [p.size for p in grid.near(np.zeros((0, 3)), 2.0)] == [0, 0]


@pytest.mark.parametrize("radius_arcsec", [0.5, 2.0, 10.0])
def test_what_is_near_is_what_scipy_finds(radius_arcsec: float) -> None:
    vectors = crowd(200.0, 80.0, 4000, 60.0, 6)
    place, point = SkyGrid.build(vectors, 1.0).near(vectors[:100], radius_arcsec)
    chord = 2 * np.sin(radius_arcsec * ARCSEC / 2)
    expected = cKDTree(vectors).query_ball_point(vectors[:100], chord)
    assert set(zip(place.tolist(), point.tolist(), strict=True)) == {
        (i, j) for i, row in enumerate(expected) for j in row
    }
    with pytest.raises(ValueError, match="too large"):
        SkyGrid.build(vectors, 1.0).near(vectors[:2], 60.0)


def test_groups_are_numbered_as_they_appear() -> None:
    assert renumbered(np.array([7, 3, 7, 9, 3])).tolist() == [0, 1, 0, 2, 1]
