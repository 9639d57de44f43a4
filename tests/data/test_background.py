"""Named background layers: what they are, and that each can be undone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline, RegularGridInterpolator

from drpflow.data.background import Background, MeshLayer, PolynomialLayer
from drpflow.data.geometry import Box
from drpflow.data.polynomial import Basis2D, Domain, Polynomial2D

BOX = Box(0, 96, 0, 320)


def mesh(interpolation: str = "spline", seed: int = 0) -> MeshLayer:
    values = np.random.default_rng(seed).normal(500, 20, (10, 6))
    return MeshLayer.on_box(BOX, values, interpolation=interpolation)  # type: ignore[arg-type]


def tilt() -> PolynomialLayer:
    basis = Basis2D(2, Domain.of_box(BOX))
    return PolynomialLayer(Polynomial2D(basis, np.array([10.0, 3.0, -2.0, 1.0, 0.5, 0.2])))


def background() -> Background:
    return (
        Background()
        .add_layer("initial", mesh())
        .add_layer("tilt", tilt())
        .add_layer("pedestal", PolynomialLayer.constant(-3.25))
    )


def image(seed: int = 3, scale: float = 100.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(500, scale, BOX.shape).astype(np.float32)


def test_mesh_bins_divide_the_box() -> None:
    layer = mesh()
    assert layer.x.tolist() == [7.5 + 16 * k for k in range(6)]
    assert layer.y[0] == 15.5
    assert layer.weights.tolist() == np.ones((10, 6)).tolist()


def test_bilinear_mesh_is_scipys() -> None:
    layer = mesh("bilinear")
    interpolate = RegularGridInterpolator(
        (layer.y, layer.x), layer.values, bounds_error=False, fill_value=None
    )
    y, x = np.meshgrid(BOX.y, BOX.x, indexing="ij")
    assert layer.image(BOX) == pytest.approx(interpolate((y, x)), abs=1e-9)


def test_spline_mesh_is_two_splines() -> None:
    layer = mesh()
    inner = Box(8, 88, 16, 304)
    along_y = CubicSpline(layer.y, layer.values, axis=0, bc_type="natural")(inner.y)
    expected = CubicSpline(layer.x, along_y, axis=1, bc_type="natural")(inner.x)
    assert layer.image(inner) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("interpolation", ["bilinear", "spline"])
def test_mesh_goes_through_its_bins_and_follows_planes(interpolation: str) -> None:
    x, y = np.meshgrid(mesh().x, mesh().y)
    layer = MeshLayer.on_box(BOX, 3 + 0.5 * x - 0.25 * y, interpolation=interpolation)  # type: ignore[arg-type]
    columns, rows = np.meshgrid(BOX.x, BOX.y)
    assert layer.image(BOX) == pytest.approx(3 + 0.5 * columns - 0.25 * rows, abs=1e-9)
    uneven = mesh(interpolation)
    assert uneven.evaluate_grid(uneven.x, uneven.y) == pytest.approx(uneven.values, abs=1e-9)


def test_layers_add_up() -> None:
    total = background().image(BOX)
    parts = [background().image(BOX, [name]) for name in background().names]
    assert total == pytest.approx(sum(parts), abs=1e-9)
    assert total.dtype == np.float64
    assert parts[2].tolist() == np.full(BOX.shape, -3.25).tolist()
    assert not Background().image(BOX).any()
    part = Box(10, 30, 100, 150)
    assert background().image(part) == pytest.approx(total[part.slices()], abs=1e-9)


def rounding(*images: np.ndarray) -> np.ndarray:
    """One unit in the last place of the largest of several float32 images."""
    return np.spacing(np.max(np.abs(images), axis=0).astype(np.float32))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 1e6))
def test_subtracted_layers_come_back_to_rounding(seed: int, scale: float) -> None:
    before = image(seed, scale)
    subtracted = background().subtract(before)
    assert subtracted.dtype == np.float32
    after = background().undo(subtracted)
    assert (np.abs(after - before) <= rounding(before, subtracted)).all()


def test_each_layer_is_undone_by_itself() -> None:
    before = image()
    subtracted = background().subtract(before)
    undone = background().undo(subtracted, names=["tilt"])
    expected = background().without("tilt").subtract(before)
    assert (np.abs(undone - expected) <= 2 * rounding(before, subtracted)).all()
    assert background().without("tilt").names == ("initial", "pedestal")
    assert background().names == ("initial", "tilt", "pedestal"), "the original is unchanged"


def test_cut_out_loses_the_same_background() -> None:
    part = Box(17, 60, 3, 300)
    whole = background().subtract(image())
    cut = background().subtract(image()[part.slices()], xy0=part.xy0)
    assert np.abs(cut - whole[part.slices()]).max() <= np.spacing(np.float32(1000))


def test_names_are_distinct_and_known() -> None:
    with pytest.raises(ValueError, match="distinct"):
        background().add_layer("tilt", tilt())
    with pytest.raises(KeyError, match="did you mean 'initial'"):
        background().without("initials")
    with pytest.raises(KeyError, match="no background layer"):
        background().image(BOX, ["sky"])
    assert background().layer("tilt") == tilt()


@pytest.mark.parametrize(
    "change",
    [
        {"values": np.full((2, 2), np.nan)},
        {"values": np.zeros((2, 3))},
        {"weights": np.zeros((3, 2))},
        {"x": np.array([1.0, 1.0])},
        {"interpolation": "cubic"},
    ],
)
def test_impossible_meshes_are_refused(change: dict) -> None:
    good = {"values": np.zeros((2, 2)), "weights": np.ones((2, 2)), "x": [0.0, 1], "y": [0.0, 1]}
    with pytest.raises(ValueError):
        MeshLayer(**{**good, **change})
