"""Anybody's tables of photometry: what they may look like, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.table import Table

from drpflow.data.photometric_tables import Stars, Visits
from drpflow.errors import InputError
from drpflow.io.photometric_tables_read import (
    ObservationRows,
    read_observations_table,
    read_stars_table,
    read_visits_table,
)
from tests.io.test_fgcm_sources import camera

VISITS = {
    "visit": [5, 9],
    "band": ["r", "r"],
    "mjd": [60000.1, 60001.1],
    "airmass": [1.0, 1.3],
    "exposure_time_s": [30.0, 10.0],
    "ra": [10.0, 10.1],
    "dec": [-5.0, -5.0],
}
STARS = {
    "star": [3, 2**62, 8],
    "ra": [10.0, 10.1, 10.2],
    "dec": [-5.0, -5.1, -5.2],
    "mag_r": [18.0, 99.0, np.nan],
    "mag_r_err": [0.01, 0.01, np.nan],
}
OBSERVATIONS = {
    "star": [3, 2**62, 8, 8],
    "visit": [5, 5, 9, 9],
    "detector": [7, 3, 3, 7],
    "mag": [-10.0, 99.0, -9.0, np.inf],
    "mag_err": [0.01, 0.01, 0.02, 0.01],
    "x": [99.5, 0.0, 199.0, 10.0],
    "y": [49.5, 0.0, 140.0, 10.0],
}


def write(folder: Path, columns: dict[str, Any], kind: str = "fits") -> Path:
    path = folder / f"table.{kind}"
    formats = {"csv": "ascii.csv", "ecsv": "ascii.ecsv", "fits": "fits"}
    Table(columns).write(path, format=formats[kind], overwrite=True)
    return path


def visits(folder: Path, kind: str = "fits", **changes: Any) -> Visits:
    return read_visits_table(write(folder, VISITS | changes, kind), camera())


def stars(folder: Path, kind: str = "fits", **changes: Any) -> Stars:
    return read_stars_table(write(folder, STARS | changes, kind), ("r",))


def observations(folder: Path, kind: str = "fits", **changes: Any) -> ObservationRows:
    others = visits(folder), stars(folder), camera()
    return read_observations_table(write(folder, OBSERVATIONS | changes, kind), *others)


@pytest.mark.parametrize("kind", ["csv", "ecsv", "fits"])
def test_any_format(tmp_path: Path, kind: str) -> None:
    v = visits(tmp_path, kind)
    assert (v.bands, v.physical_filters) == (("r",), ("r1",))
    assert v.night[1] == v.night[0] + 1
    s = stars(tmp_path, kind)
    assert s.id.tolist() == STARS["star"]
    assert s.reference_mag is not None
    assert s.reference_mag[0, 0] == 18.0
    o = observations(tmp_path, kind).observations
    assert o.star.tolist() == [0, 1, 2, 2]
    assert o.detector.tolist() == [0, 1, 1, 0]


def test_numbers_that_no_magnitude_has_are_unknown(tmp_path: Path) -> None:
    np.testing.assert_array_equal(
        observations(tmp_path).observations.mag, [-10.0, np.nan, -9.0, np.nan]
    )
    mag = stars(tmp_path).reference_mag
    assert mag is not None
    np.testing.assert_array_equal(mag[:, 0], [18.0, np.nan, np.nan])
    assert stars(tmp_path, mag_r=[99.0, 99.0, -99.0]).reference_mag is None


def test_fluxes_that_are_not_positive_are_unknown(tmp_path: Path) -> None:
    given = {"flux": [300.0, 0.0, -4.0, np.nan], "flux_err": [3.0, 1.0, 1.0, 1.0]}
    columns = {n: v for n, v in OBSERVATIONS.items() if not n.startswith("mag")} | given
    others = visits(tmp_path), stars(tmp_path), camera()
    found = read_observations_table(write(tmp_path, columns), *others).observations
    np.testing.assert_allclose(found.mag, [-2.5, np.nan, np.nan, np.nan])
    assert found.mag_err[0] == pytest.approx(0.010857, rel=1e-3)


def test_places_off_the_detector_are_unknown(tmp_path: Path) -> None:
    found = observations(tmp_path).observations
    np.testing.assert_allclose(found.u[:2], [0.0, -0.995])
    np.testing.assert_array_equal(np.isnan(found.v), [False, False, True, False])


def test_rows_of_nothing_that_is_known_are_counted(tmp_path: Path) -> None:
    found = observations(
        tmp_path, star=[3.0, np.nan, 8.0, 8.0], visit=[5, 5, 6, 9], detector=[7, 3, 3, 7]
    )
    assert found.dropped == 2
    assert {name: values.tolist() for name, values in found.ids.items()} == {
        "star": [3, 8],
        "visit": [5, 9],
        "detector": [7, 7],
    }


@pytest.mark.parametrize(
    "values",
    [
        [True, False, True],
        [1, 0, 1],
        [1.0, 0.0, 1.0],
        ["True", "false", "T"],
        ["yes", "", "1"],
    ],
    ids=["truth", "integer", "float", "text", "words"],
)
def test_reserved_stars_in_any_writing(tmp_path: Path, values: list[Any]) -> None:
    assert stars(tmp_path, reserved=values).reserved.tolist() == [True, False, True]


FAULTS = [
    (visits, {"mjd": [2460000.6, 2460001.6]}, r"mjd = 2460001.60 is a Julian date. Subtract"),
    (visits, {"visit": [5.0, np.nan]}, "column 'visit' has nan in row 1"),
    (visits, {"visit": ["a", "b"]}, "column 'visit' holds no whole numbers"),
    (visits, {"airmass": [1.0, np.nan]}, "column 'airmass' has values that are not finite"),
    (visits, {"exposure_time_s": [30.0, 0.0]}, "exposure times are positive"),
    (visits, {"band": ["r", "z"]}, "no filter 'z'"),
    (stars, {"star": [3, 3, 8]}, "a star appears twice"),
    (stars, {"reserved": ["yes", "no", "perhaps"]}, "has perhaps in row 2, neither true nor false"),
    (observations, {"visit": [5, 5, 9.5, 9]}, "column 'visit' has 9.5 in row 2"),
    (observations, {"detector": ["N1", "N2", "N3", "N4"]}, "'detector' holds no whole numbers"),
]


@pytest.mark.parametrize(("read", "changes", "message"), FAULTS)
def test_faults_are_named(tmp_path: Path, read: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, **changes)


@pytest.mark.parametrize(
    ("read", "columns"), [(visits, VISITS), (stars, STARS), (observations, OBSERVATIONS)]
)
def test_a_table_without_rows_is_refused(
    tmp_path: Path, read: Any, columns: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match="it has no rows"):
        read(tmp_path, kind="ecsv", **{name: np.array(v)[:0] for name, v in columns.items()})


@pytest.mark.parametrize(
    ("night", "expected"),
    [
        ([np.nan, 20230225.0], [1, 0]),
        ([np.nan, np.nan], [0, 1]),
        ([20230225.0, np.nan], [0, 1]),
        ([2**31, 2**31 + 1], [0, 1]),
        ([-3, -5], [1, 0]),
        ([0.5, 1.5], [0, 1]),
        (["b", "a"], [1, 0]),
        (["", "a"], [1, 0]),
    ],
)
def test_nights_with_gaps_or_of_any_name(
    tmp_path: Path, night: list[Any], expected: list[int]
) -> None:
    assert visits(tmp_path, "ecsv", night=night).night.tolist() == expected


def test_a_visit_of_unknown_night_is_of_that_of_its_date(tmp_path: Path) -> None:
    columns = {name: values * 2 for name, values in VISITS.items()} | {"visit": [1, 2, 3, 4]}
    table = columns | {"night": [20230225.0, 20230226.0, np.nan, np.nan]}
    found = read_visits_table(write(tmp_path, table), camera()).night
    assert found[2] == found[0]
    assert found[3] == found[1]
    assert found[0] != found[1]


def test_magnitudes_in_bands_without_visits_tell_colors(tmp_path: Path) -> None:
    table = write(tmp_path, STARS | {"mag_g": [18.5, 99.0, 17.0], "mag_odd": [1.0] * 3})
    found = read_stars_table(table, ("r",), {"g": 477.0, "r": 623.0, "i": 762.0})
    np.testing.assert_array_equal(found.color_mag, [[18.5], [np.nan], [17.0]])
    np.testing.assert_array_equal(found.color_wavelength_nm, [477.0])
    assert read_stars_table(table, ("r",)).color_mag is None


def test_a_second_flux_for_the_clouds(tmp_path: Path) -> None:
    assert observations(tmp_path).observations.cloud_mag is None
    given = {"cloud_mag": [-11.0, 99.0, np.nan, -8.0], "cloud_mag_err": [0.01] * 4}
    found = observations(tmp_path, **given).observations
    np.testing.assert_allclose(found.cloud_mag, [-11.0, np.nan, np.nan, -8.0])
    np.testing.assert_allclose(found.cloud_mag_err, 0.01)
    given = {"cloud_flux": [300.0, 0.0, -4.0, 100.0], "cloud_flux_err": [3.0, 1.0, 1.0, 1.0]}
    found = observations(tmp_path, **given).observations
    np.testing.assert_allclose(found.cloud_mag, [-2.5, np.nan, np.nan, -2.5], atol=1e-6)


@pytest.mark.parametrize("alone", ["cloud_mag", "cloud_mag_err", "cloud_flux", "cloud_flux_err"])
def test_a_second_flux_comes_with_its_error(tmp_path: Path, alone: str) -> None:
    with pytest.raises(InputError, match="it has no column 'cloud_"):
        observations(tmp_path, **{alone: [1.0] * 4})
