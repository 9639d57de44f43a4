"""The tables of an astrometric solution check what they are given."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.data.astrometric_tables import (
    Detectors,
    Observations,
    ReferenceAstrometry,
    Stars,
    Visits,
    check_tables,
)
from drpflow.data.earth_orbit import earth_position_au
from drpflow.data.plane_maps import AffineMap


def observations(**changes) -> Observations:
    columns = {
        "star": [0, 1],
        "visit": [0, 0],
        "detector": [0, 0],
        "x": [1.0, 2.0],
        "y": [3.0, 4.0],
        "xx": [1.0, 1.0],
        "xy": [0.0, 0.0],
        "yy": [1.0, 1.0],
    }
    return Observations(**(columns | changes))


def visits(**changes) -> Visits:
    columns = {
        "bands": ("g", "r"),
        "id": [5, 7],
        "mjd": [60000.0, 60100.0],
        "band": [0, 1],
        "ra_deg": [10.0, 10.1],
        "dec_deg": [-5.0, -5.1],
        "rotation_deg": [0.0, 90.0],
    }
    return Visits(**(columns | changes))


def detectors() -> Detectors:
    maps = [AffineMap(k * np.eye(2), np.zeros(2)) for k in (1.0, 2.0)]
    return Detectors([3, 4], [[10, 20], [10, 20]], tuple((("detector", m),) for m in maps))


def stars(n: int = 2, **changes) -> Stars:
    columns = {
        "id": np.arange(n),
        "ra_deg": np.full(n, 10.0),
        "dec_deg": np.full(n, -5.0),
        "color": np.full(n, np.nan),
        "reserved": np.zeros(n, bool),
    }
    return Stars(**(columns | changes))


def reference(n: int = 2) -> ReferenceAstrometry:
    column = np.full(n, 1.0)
    return ReferenceAstrometry(
        column, column, column, column, column, np.tile(np.eye(5), (n, 1, 1)), column
    )


def test_types_and_lengths() -> None:
    rows = observations()
    assert rows.star.dtype == np.int32
    assert rows.xx.dtype == np.float32
    assert len(rows.take(np.array([True, False]))) == 1
    with pytest.raises(ValueError, match="differ in length"):
        observations(x=[1.0])
    with pytest.raises(ValueError, match="negative index"):
        observations(star=[0, -1])
    with pytest.raises(ValueError, match="read-only"):
        rows.x[0] = 3.0


def test_visits_fill_in_the_earth() -> None:
    table = visits()
    np.testing.assert_array_equal(table.earth_au[1], earth_position_au(60100.0))
    assert np.isnan(table.zenith).all()
    assert table.instrument_epoch.tolist() == [0, 0]
    assert table.take(np.array([1])).id.tolist() == [7]
    assert table.projection(1).rotation_deg == 90.0
    assert table.projection(1).x_axis == "west"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": [5, 5]}, "appears twice"),
        ({"band": [0, 2]}, "band"),
        ({"mjd": [60000.0, np.nan]}, "not finite"),
        ({"earth_au": np.zeros((2, 2))}, "earth_au"),
        ({"instrument_epoch": [0, -1]}, "counts from 0"),
    ],
)
def test_visits_are_checked(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        visits(**changes)


def test_detectors_map_pixels_to_the_field() -> None:
    table = detectors()
    assert table.field(1, 2.0, 3.0) == (4.0, 6.0)
    np.testing.assert_array_equal(table.jacobian(1, 2.0, 3.0), 2 * np.eye(2))
    assert table.take(np.array([1])).id.tolist() == [4]


def test_stars_and_reference() -> None:
    with_reference = stars(reference=reference())
    assert with_reference.reference is not None
    assert with_reference.reference.known.all()
    assert with_reference.without_reference().reference is None
    assert len(with_reference.take(np.array([1])).reference) == 1
    with pytest.raises(ValueError, match="3 rows of the reference"):
        stars(reference=reference(3))


def test_tables_belong_together() -> None:
    check_tables(observations(), visits(), detectors(), stars())
    with pytest.raises(ValueError, match="'star' 1 of 1 rows"):
        check_tables(observations(), visits(), detectors(), stars(1))
