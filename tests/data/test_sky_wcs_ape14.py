"""The shared interface for world coordinate systems, with and without astropy's classes."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs.wcsapi import BaseHighLevelWCS, BaseLowLevelWCS, HighLevelWCSWrapper

from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.tan_projection import TanProjection
from tests.data.wcs_cases import NX, NY, wcs_at


def test_every_attribute_of_the_interface_is_there() -> None:
    wcs = wcs_at(10.0, 10.0)
    for name in dir(BaseLowLevelWCS):
        if not name.startswith("_"):
            assert hasattr(wcs, name), name


def test_shapes_and_bounds() -> None:
    wcs = wcs_at(10.0, 10.0)
    assert wcs.pixel_shape == (NX, NY)
    assert wcs.array_shape == (NY, NX)
    assert wcs.pixel_bounds == [(-0.5, NX - 0.5), (-0.5, NY - 0.5)]
    bare = SkyWcs((), TanProjection(0, 0))
    assert bare.pixel_shape is bare.array_shape is bare.pixel_bounds is None


def test_array_indices_are_rows_first_and_rounded() -> None:
    wcs = wcs_at(10.0, 10.0)
    assert wcs.array_index_to_world_values(4, 3) == pytest.approx(wcs.pixel_to_world_values(3, 4))
    rows, columns = wcs.world_to_array_index_values(
        *wcs.pixel_to_world_values(np.array([2.6, 3.4]), np.array([0.4, 99.6]))
    )
    assert rows.tolist() == [0, 100]
    assert columns.tolist() == [3, 3]
    nowhere, _ = wcs.world_to_array_index_values(190.0, -10.0)
    assert nowhere == np.iinfo(np.intp).min


def test_astropy_takes_it_as_one_of_its_own() -> None:
    wcs = wcs_at(359.99, 10.0).to_astropy()
    assert isinstance(wcs, BaseLowLevelWCS)
    assert isinstance(wcs, BaseHighLevelWCS)
    sky = wcs.pixel_to_world(np.array([3.0, 500.0]), np.array([4.0, 4000.0]))
    assert isinstance(sky, SkyCoord)
    assert sky.frame.name == "icrs"
    expected = wcs.sky_wcs.pixel_to_world_values([3.0, 500.0], [4.0, 4000.0])
    assert sky.ra.deg == pytest.approx(expected[0])
    assert sky.dec.deg == pytest.approx(expected[1])
    assert np.array(wcs.world_to_pixel(sky)) == pytest.approx(
        np.array([[3.0, 500.0], [4.0, 4000.0]]), abs=1e-7
    )
    assert wcs.array_shape == (NY, NX)
    assert wcs.pixel_bounds == wcs.sky_wcs.pixel_bounds


def test_coordinates_of_other_frames_are_converted() -> None:
    wcs = wcs_at(10.0, 10.0).to_astropy()
    sky = wcs.pixel_to_world(10.0, 20.0)
    assert wcs.world_to_pixel(sky.galactic) == pytest.approx((10.0, 20.0), abs=1e-6)


def test_duck_attributes_are_enough_for_the_wrapper() -> None:
    """Astropy's high-level wrapper needs no base class of ours, only the attributes."""
    wcs = wcs_at(10.0, 10.0)
    BaseLowLevelWCS.register(type(wcs))
    sky = HighLevelWCSWrapper(wcs).pixel_to_world(1.0, 2.0)
    assert sky.ra.deg == pytest.approx(wcs.pixel_to_world_values(1.0, 2.0)[0])


def test_plots_take_it_as_their_axes() -> None:
    """WCSAxes asks for classes, not for their names."""
    from matplotlib.figure import Figure

    wcs = wcs_at(10.0, 10.0).to_astropy()
    axes = Figure().add_subplot(projection=wcs)
    axes.set(xlim=(0, 10), ylim=(0, 10))
    assert axes.get_transform("icrs") is not None
    assert [c.coord_type for c in axes.coords] == ["longitude", "latitude"]
