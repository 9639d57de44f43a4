"""Boxes and polygons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drpflow.data.geometry import Box, ValidPolygon
from tests.data.component_strategies import boxes


def star_polygon(seed: int, corners: int = 9, center: float = 20.0) -> ValidPolygon:
    """A polygon seen whole from its centre, usually concave."""
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
    radius = rng.uniform(3, 18, corners)
    return ValidPolygon(
        np.stack([center + radius * np.cos(angle), center + radius * np.sin(angle)], axis=1)
    )


def pixels_of(box: Box) -> set[tuple[int, int]]:
    return {(x, y) for x in range(box.x0, box.x1) for y in range(box.y0, box.y1)}


@given(boxes, boxes)
def test_intersection_and_union_hold_the_right_pixels(a: Box, b: Box) -> None:
    assert pixels_of(a.intersect(b)) == pixels_of(a) & pixels_of(b)
    assert pixels_of(a.union(b)) >= pixels_of(a) | pixels_of(b)
    assert a.covers(b) == (pixels_of(b) <= pixels_of(a))
    assert a.area == len(pixels_of(a))
    assert a.is_empty == (a.area == 0)


@given(boxes, st.integers(-60, 60), st.integers(-60, 60))
def test_contains_agrees_with_the_pixels(box: Box, x: int, y: int) -> None:
    inside = (x, y) in pixels_of(box)
    for dx, dy in ((0.0, 0.0), (-0.5, -0.5), (0.49, -0.3)):
        assert bool(box.contains(x + dx, y + dy)) == inside


@given(boxes, st.integers(-20, 20), st.integers(-9, 9))
def test_box_moves_and_grows(box: Box, margin: int, shift: int) -> None:
    grown = box.grow(margin)
    if margin >= 0:
        assert grown.shape == (box.height + 2 * margin, box.width + 2 * margin)
        assert grown.grow(-margin) == box
    assert box.shifted(shift, -shift).shifted(-shift, shift) == box
    assert Box(*box) == box
    assert Box.from_shape(box.shape, box.xy0) == box


def test_box_slices_arrays() -> None:
    image = np.arange(60).reshape(6, 10)
    part = Box(3, 7, 1, 4)
    assert image[part.slices()].shape == part.shape
    assert image[part.slices()][0, 0] == image[1, 3]
    assert image[part.slices(xy0=(2, 1))][0, 0] == image[0, 1]
    with pytest.raises(ValueError, match="before the first pixel"):
        part.slices(xy0=(4, 0))


def test_box_geometry() -> None:
    box = Box(2, 7, -1, 3)
    assert (box.width, box.height, box.shape) == (5, 4, (4, 5))
    assert box.center == (4.0, 0.5)
    assert box.extent == (1.5, 6.5, -1.5, 2.5)
    assert box.x.tolist() == [2, 3, 4, 5, 6]
    assert box.y.tolist() == [-1, 0, 1, 2]
    assert Box.around(10.5, -3.2, 2) == Box(9, 14, -5, 0)


@pytest.mark.parametrize("limits", [(1, 0, 0, 1), (0, 1, 1, 0)])
def test_inverted_box_is_refused(limits: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="x0 <= x1"):
        Box(*limits)


def test_box_takes_whole_numbers_only() -> None:
    assert Box(np.int64(1), 2, 3, 4).x0 == 1
    with pytest.raises(TypeError):
        Box(0.5, 2, 3, 4)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(20))
def test_rasterize_is_contains_at_the_pixel_centres(seed: int) -> None:
    polygon = star_polygon(seed)
    box = Box(-3, 41, 4, 37)
    x, y = np.meshgrid(box.x, box.y)
    assert np.array_equal(polygon.rasterize(box), polygon.contains(x, y))


@pytest.mark.parametrize("seed", range(20))
def test_area_is_the_fraction_of_points_inside(seed: int) -> None:
    polygon = star_polygon(seed)
    step = 0.05
    grid = np.arange(0, 40, step) + step / 2
    inside = polygon.contains(*np.meshgrid(grid, grid))
    assert polygon.area_pix == pytest.approx(inside.sum() * step**2, abs=0.5)


@pytest.mark.parametrize("seed", range(20))
def test_clipped_parts_add_up(seed: int) -> None:
    polygon = star_polygon(seed)
    tiles = [Box(x, x + 11, y, y + 7) for x in range(0, 44, 11) for y in range(0, 42, 7)]
    parts = [polygon.clipped(tile) for tile in tiles]
    total = sum(part.area_pix for part in parts if part is not None)
    assert total == pytest.approx(polygon.area_pix, rel=1e-12)
    for tile, part in zip(tiles, parts, strict=True):
        if part is not None:
            assert part.area_pix <= tile.area + 1e-9
            assert np.array_equal(part.rasterize(tile), polygon.rasterize(tile))


def test_polygon_of_a_box_is_the_box() -> None:
    box = Box(3, 9, 2, 7)
    polygon = ValidPolygon.from_box(box)
    assert polygon.area_pix == box.area
    assert np.array_equal(polygon.rasterize(box.grow(3)), np.pad(np.ones(box.shape, bool), 3))
    assert polygon.clipped(Box(20, 30, 20, 30)) is None
    assert polygon.clipped(Box(9, 12, 2, 7)) is None, "they touch, without a common area"


def test_polygons_share_a_side_without_sharing_points() -> None:
    left = ValidPolygon(np.array([(0, 0), (4, 0), (6, 8), (0, 8)]))
    right = ValidPolygon(np.array([(4, 0), (12, 0), (12, 8), (6, 8)]))
    x, y = np.meshgrid(np.arange(0, 12, 0.25), np.arange(0, 8, 0.25))
    assert np.array_equal(left.contains(x, y) ^ right.contains(x, y), np.ones(x.shape, bool))


def test_sense_and_shift_do_not_matter() -> None:
    polygon = star_polygon(3)
    other = ValidPolygon(polygon.vertices[::-1])
    assert other.area_pix == pytest.approx(polygon.area_pix)
    assert np.array_equal(other.rasterize(Box(0, 40, 0, 40)), polygon.rasterize(Box(0, 40, 0, 40)))
    moved = polygon.shifted(1000, -1000)
    assert np.array_equal(
        moved.rasterize(Box(1000, 1040, -1000, -960)), polygon.rasterize(Box(0, 40, 0, 40))
    )


@pytest.mark.parametrize("vertices", [np.zeros((2, 2)), np.zeros((3, 3)), np.full((3, 2), np.nan)])
def test_impossible_polygons_are_refused(vertices: np.ndarray) -> None:
    with pytest.raises(ValueError, match="polygon"):
        ValidPolygon(vertices)
