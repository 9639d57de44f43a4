"""The composed WCS: what it says, and that it can be undone, anywhere on the sky."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drpflow.data.geometry import Box
from drpflow.data.plane_maps import AffineMap, PolynomialMap
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.tan_projection import TanProjection, separation_deg
from tests.data.wcs_cases import NX, NY, camera, pixels, visit_map, wcs_at

POINTINGS = [
    *((0.0, 0.0), (359.999, -30.0), (0.0001, 60.0)),
    *((150.0, 89.9), (20.0, 90.0), (5.0, -90.0)),
]


@pytest.mark.parametrize(("ra", "dec"), POINTINGS)
def test_round_trip_in_pixels(ra: float, dec: float) -> None:
    wcs = wcs_at(ra, dec)
    x, y = pixels(margin=100)
    sky = wcs.pixel_to_world_values(x, y)
    assert np.abs(np.array(wcs.world_to_pixel_values(*sky)) - [x, y]).max() < 1e-7
    assert ((sky[0] >= 0) & (sky[0] < 360)).all()


@settings(max_examples=50, deadline=None)
@given(
    st.floats(0, 360),
    st.floats(-90, 90),
    st.floats(-180, 180),
    st.floats(-0.5, NX - 0.5),
    st.floats(-0.5, NY - 0.5),
)
def test_round_trip_of_a_scalar(ra: float, dec: float, rotation: float, x: float, y: float) -> None:
    wcs = wcs_at(ra, dec, rotation)
    found = wcs.world_to_pixel_values(*wcs.pixel_to_world_values(x, y))
    assert all(isinstance(value, float) for value in found)
    assert found == pytest.approx((x, y), abs=1e-7)


@pytest.mark.parametrize("x_axis", ["west", "east"])
def test_chain_is_the_formula_of_the_conventions(x_axis: str) -> None:
    """Every step written out for one pixel, as docs/conventions.md states it."""
    cam = camera(x_axis)
    ra0, dec0, t = 40.0, 12.0, np.radians(25.0)
    wcs = SkyWcs.from_camera(cam, 1, ra0, dec0, 25.0)
    x, y = 123.0, 3456.0
    # Detector 1 is turned by 90 degrees: +x runs along focal-plane +y.
    u, v = 0.015 * (x - (NX - 1) / 2), 0.015 * (y - (NY - 1) / 2)
    x_mm, y_mm = 100.0 - v, -150.0 + u
    dx, dy = x_mm - 0.3, y_mm + 0.2
    q = (dx**2 + dy**2) / 220.0**2
    scale = 17.6 / 3600 * (1 + 0.012 * q - 0.003 * q**2)
    fx, fy = scale * dx, scale * dy
    sign = -1 if x_axis == "west" else 1
    xi = sign * fx * np.cos(t) + fy * np.sin(t)
    eta = -sign * fx * np.sin(t) + fy * np.cos(t)
    # Inverse gnomonic projection in angles, Calabretta & Greisen (2002) style.
    xi, eta, d0 = np.radians(xi), np.radians(eta), np.radians(dec0)
    ra = ra0 + np.degrees(np.arctan2(xi, np.cos(d0) - eta * np.sin(d0)))
    dec = np.degrees(
        np.arctan2(
            np.sin(d0) + eta * np.cos(d0),
            np.hypot(xi, np.cos(d0) - eta * np.sin(d0)),
        )
    )
    found = wcs.pixel_to_world_values(x, y)
    assert 3600 * separation_deg(*found, ra, dec) < 1e-9
    assert wcs.stage_input("optics", x, y) == pytest.approx((x_mm, y_mm), abs=1e-12)


def test_boresight_pixel_is_the_pointing() -> None:
    wcs = SkyWcs.from_camera(camera(), 0, 200.0, -40.0, 77.0)
    x, y = (NX - 1) / 2 + 0.3 / 0.015, (NY - 1) / 2 - 0.2 / 0.015
    assert wcs.pixel_to_world_values(x, y) == pytest.approx((200.0, -40.0), abs=1e-12)


@pytest.mark.parametrize(("ra", "dec"), POINTINGS[:4])
def test_linearize_is_the_limit_of_differences(ra: float, dec: float) -> None:
    wcs = wcs_at(ra, dec)
    x, y = pixels(15)
    jacobian = wcs.linearize(x, y)
    assert jacobian.shape == (15, 2, 2)
    h = 0.01
    for j, (hx, hy) in enumerate(((h, 0), (0, h))):
        for k in range(15):
            here = wcs.pixel_to_world_values(x[k], y[k])
            there = wcs.pixel_to_world_values(x[k] + hx, y[k] + hy)
            offset = np.array(TanProjection(*here).from_sky(*there)) * 3600 / h
            assert jacobian[k, :, j] == pytest.approx(offset, abs=2e-6)


def test_pixel_scale_is_that_of_the_optics() -> None:
    wcs = SkyWcs.from_camera(camera(), 0, 10.0, 10.0)
    assert wcs.pixel_scale_arcsec(NX / 2, NY / 2) == pytest.approx(17.6 * 0.015, rel=1e-4)
    assert wcs.pixel_area_arcsec2([0.0, 9.0], 5.0).shape == (2,)
    # At the rim the distortion stretches both directions and the gnomonic plane a little more.
    rim = SkyWcs.from_camera(camera(), 1, 10.0, 10.0)
    assert rim.pixel_scale_arcsec(0, 0) > 17.6 * 0.015 * 1.005


def test_jacobian_after_and_design_give_the_derivatives_of_a_fit() -> None:
    wcs = wcs_at(30.0, -20.0)
    x, y = pixels(20)
    visit = wcs.stage("visit")
    assert isinstance(visit, PolynomialMap)
    design = visit.basis.design(*wcs.stage_input("visit", x, y))
    after = wcs.jacobian_after("visit", x, y)
    here = wcs.pixel_to_world_values(x, y)
    step = 1e-5
    for row in (0, 1):
        for term in (0, 4, 17):
            c = np.array(visit.coefficients)
            c[row, term] += step
            there = wcs.with_visit_map(PolynomialMap(visit.basis, c)).pixel_to_world_values(x, y)
            east = (there[0] - here[0]) * np.cos(np.radians(here[1])) * 3600 / step
            north = (there[1] - here[1]) * 3600 / step
            expected = after[:, :, row] * design[:, term, None]
            assert np.stack([east, north], axis=1) == pytest.approx(expected, abs=2e-2)


def test_cut_out_shows_the_same_sky() -> None:
    wcs = wcs_at(10.0, 10.0)
    cut = wcs.shifted(100, 200, pixel_shape=(50, 60))
    assert cut.pixel_shape == (50, 60)
    assert cut.pixel_to_world_values(3, 4) == pytest.approx(wcs.pixel_to_world_values(103, 204))
    again = cut.shifted(-100, -200, pixel_shape=wcs.pixel_shape)
    assert again == wcs, "moving back leaves no trace"
    assert cut.shifted(1, 2).pixel_to_world_values(0, 0) == pytest.approx(
        wcs.pixel_to_world_values(101, 202)
    )


def test_replacing_a_stage_leaves_the_others() -> None:
    wcs = wcs_at(10.0, 10.0)
    assert wcs.stage_names == ("detector", "optics", "visit")
    other = wcs.with_visit_map(visit_map(9))
    assert other.stage_names == wcs.stage_names
    assert other.stage("detector") is wcs.stage("detector")
    basis = Basis2D(3, Domain.of_box(Box(0, NX, 0, NY)))
    x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(0, NX, 6), np.linspace(0, NY, 6)))
    polynomial = PolynomialMap.fit(basis, x, y, *wcs.stage("detector").forward(x, y))
    same = wcs.with_stage("detector", polynomial)
    sky, expected = same.pixel_to_world_values(5, 6), wcs.pixel_to_world_values(5, 6)
    assert separation_deg(*sky, *expected) * 3600 < 1e-8
    with pytest.raises(KeyError, match="did you mean 'visit'"):
        wcs.stage("visits")


def test_pointing_elsewhere_turns_the_sky_as_a_whole() -> None:
    wcs = wcs_at(10.0, 10.0, rotation=20.0)
    moved = wcs.with_pointing(200.0, -70.0)
    assert moved.projection.rotation_deg == 20.0
    assert moved.with_pointing(10.0, 10.0) == wcs
    x, y = pixels(30)
    a, b = wcs.pixel_to_world_values(x, y), moved.pixel_to_world_values(x, y)
    assert separation_deg(a[0], a[1], a[0][0], a[1][0]) == pytest.approx(
        separation_deg(b[0], b[1], b[0][0], b[1][0]), abs=1e-12
    )
    assert wcs.with_pointing(10.0, 10.0, 0.0).projection.rotation_deg == 0.0


def test_sky_corners_are_the_outer_corners() -> None:
    wcs = wcs_at(0.0, 5.0)
    corners = wcs.sky_corners()
    assert corners.shape == (4, 2)
    assert tuple(corners[2]) == pytest.approx(wcs.pixel_to_world_values(NX - 0.5, NY - 0.5))
    assert np.array_equal(wcs.sky_corners(Box(0, NX, 0, NY)), corners)
    with pytest.raises(ValueError, match="give a box"):
        SkyWcs((), TanProjection(0, 0)).sky_corners()


def test_far_positions_have_no_pixel() -> None:
    wcs = wcs_at(10.0, 10.0)
    x, y = wcs.world_to_pixel_values(np.array([190.0, 100.0, np.nan]), np.array([-10.0, 10.0, 0.0]))
    assert np.isnan(x).all()
    assert np.isnan(y).all()


def test_stages_have_distinct_names() -> None:
    shift = AffineMap.translation(1, 2)
    with pytest.raises(ValueError, match="distinct"):
        SkyWcs((("a", shift), ("a", shift)), TanProjection(0, 0))
