"""Tables of anybody's positions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drpflow.data.camera import Camera
from drpflow.errors import InputError
from drpflow.io.astrometric_tables_read import (
    ObservationTable,
    read_stars_table,
    read_visits_table,
)
from drpflow.io.sheets import VisitRow, write_sheet
from drpflow.io.tables import write_table
from tests.workflow.small_survey import camera_values

CAMERA = Camera.model_validate(camera_values())
VISITS = (
    "visit,mjd,ra,dec,rotation,band\n12,60001.0,10.0,-30.0,90.0,g\n11,60000.0,11.0,-30.0,0.0,r\n"
)
STARS = "star,ra,dec,color,reserved\n3,10.0,-30.0,0.5,1\n4,10.1,-30.0,,0\n"
OBSERVATIONS = (
    "star,visit,detector,x,y,x_err,y_err,ra,dec\n"
    "4,11,0,5.0,6.0,0.1,0.2,0.001,-30.0\n"
    "3,12,1,7.0,8.0,0.1,0.2,10.0,-30.0\n"
    "4,12,0,9.0,9.0,0.1,0.2,359.999,-30.002\n"
    "4,99,0,9.0,9.0,0.1,0.2,0.0,-30.001\n"
    "4,11,5,9.0,9.0,0.1,0.2,0.0,-30.001\n"
)


def written(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_visits_come_by_number_with_the_place_of_the_camera(tmp_path: Path) -> None:
    infos = read_visits_table(written(tmp_path, VISITS), CAMERA)
    assert [(v.visit, v.band, v.rotation_deg) for v in infos] == [(11, "r", 0.0), (12, "g", 90.0)]
    # Which gives the direction of the zenith.
    assert infos[0].parallactic_angle_deg is not None
    assert infos[0].zenith_distance_deg is not None


def test_unknown_values_stay_unknown(tmp_path: Path) -> None:
    infos = read_visits_table(written(tmp_path, VISITS.replace("60000.0", "")), CAMERA)
    assert infos[0].mjd is None


def test_a_visit_sheet_is_such_a_table(tmp_path: Path) -> None:
    row = VisitRow(7, "n", "g1", "g", 30.0, 60000.0, 10.0, -30.0, None, hour_angle_deg=15.0)
    write_sheet(tmp_path / "visits.tsv", VisitRow, [row])
    (found,) = read_visits_table(tmp_path / "visits.tsv", CAMERA)
    assert (found.visit, found.rotation_deg, found.hour_angle_deg) == (7, None, 15.0)


def test_rows_point_to_the_other_tables(tmp_path: Path) -> None:
    infos = read_visits_table(written(tmp_path, VISITS), CAMERA)
    stars = read_stars_table(written(tmp_path, STARS, "stars.csv"))
    path = written(tmp_path, OBSERVATIONS, "observations.csv")
    table = ObservationTable(path)
    found, dropped = table.observations(infos, stars, CAMERA)
    assert table.names_stars
    # A visit that is not in the table, and a detector that the camera has not.
    assert dropped == 2
    assert found.star.tolist() == [1, 0, 1]
    assert found.visit.tolist() == [0, 1, 1]
    assert found.detector.tolist() == [0, 1, 0]
    np.testing.assert_allclose(found.yy, 0.04)
    np.testing.assert_allclose(found.xy, 0.0)
    np.testing.assert_allclose(stars.color, [0.5, np.nan])
    assert stars.reserved.tolist() == [True, False]


def test_stars_from_observations(tmp_path: Path) -> None:
    stars = ObservationTable(written(tmp_path, OBSERVATIONS)).stars()
    assert stars.id.tolist() == [3, 4]
    # The mean of places on both sides of right ascension zero.
    np.testing.assert_allclose(stars.ra_deg, [10.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(stars.dec_deg, [-30.0, -30.001], atol=1e-9)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rotation", "rotatio", "no column 'rotation' (did you mean 'rotatio'?)"),
        ("12,60001.0", "11,60001.0", "a visit stands twice"),
        ("10.0,-30.0", "10.0,-130.0", "visit 12: dec_deg is -130"),
        ("12,6", "x,6", "column 'visit' holds no whole numbers"),
    ],
)
def test_faults_of_visits(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = written(tmp_path, VISITS.replace(old, new, 1))
    with pytest.raises(InputError) as fault:
        read_visits_table(path, CAMERA)
    assert message.split(" (did")[0] in str(fault.value)
    assert str(path) in str(fault.value)


def test_reserved_stars_in_words(tmp_path: Path) -> None:
    """Any text is true to numpy, and so is what is missing."""
    ids = np.arange(6)
    place = {"star": ids, "ra": 10.0 + ids, "dec": np.zeros(6)}
    for words in (["False", "true", "0", "1", "no", "T"], [0, 1, 0, 1, 0, 1]):
        write_table(tmp_path / "s.parquet", place | {"reserved": np.array(words)})
        stars = read_stars_table(tmp_path / "s.parquet")
        assert stars.reserved.tolist() == [False, True] * 3
    for words, seen in (
        ([*"fftttt"[:5], "perhaps"], "'perhaps'"),
        ([0, 1, 0, 1, 0, np.nan], "nan"),
    ):
        write_table(tmp_path / "s.parquet", place | {"reserved": np.array(words)})
        with pytest.raises(InputError, match=f"'reserved' holds .*{seen}"):
            read_stars_table(tmp_path / "s.parquet")


@pytest.mark.parametrize("number", [1.7, np.nan, 1e30])
def test_broken_numbers_are_refused(tmp_path: Path, number: float) -> None:
    columns = {"star": np.array([1.0, number]), "ra": np.zeros(2), "dec": np.zeros(2)}
    write_table(tmp_path / "s.parquet", columns)
    with pytest.raises(InputError, match="'star' holds no whole numbers"):
        read_stars_table(tmp_path / "s.parquet")
    columns["star"] = np.array([1.0, 2.0])
    write_table(tmp_path / "s.parquet", columns)
    assert read_stars_table(tmp_path / "s.parquet").id.tolist() == [1, 2]


def test_words_for_numbers_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, STARS.replace("0.5", "red"))
    with pytest.raises(InputError, match="'color' holds no numbers"):
        read_stars_table(path)
    stars = read_stars_table(written(tmp_path, STARS, "stars.csv"))
    path = written(tmp_path, OBSERVATIONS.replace("5.0,6.0", "5.0,six"))
    with pytest.raises(InputError, match="'y' holds no numbers"):
        ObservationTable(path).observations([], stars, CAMERA)


def test_texts_of_fits_tables(tmp_path: Path) -> None:
    from astropy.table import Table

    columns = {"visit": [1], "mjd": [6e4], "ra": [1.0], "dec": [2.0], "rotation": [0.0]}
    Table(columns | {"band": ["g"]}).write(tmp_path / "v.fits")
    (info,) = read_visits_table(tmp_path / "v.fits", CAMERA)
    assert info.band == "g"


def test_faults_of_stars_and_observations(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'id'"):
        read_stars_table(written(tmp_path, STARS.replace("\n4,", "\n3,")))
    with pytest.raises(InputError, match="ra_deg"):
        read_stars_table(written(tmp_path, STARS.replace("10.1", "")))
    text = OBSERVATIONS.replace(",ra,dec\n", ",a,b\n")
    with pytest.raises(InputError, match="no column 'ra'"):
        ObservationTable(written(tmp_path, text)).stars()
    stars = read_stars_table(written(tmp_path, STARS, "stars.csv"))
    path = written(tmp_path, OBSERVATIONS.replace("x_err", "xx"))
    with pytest.raises(InputError, match="no column 'x_err'"):
        ObservationTable(path).observations([], stars, CAMERA)
