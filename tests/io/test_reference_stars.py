"""Reference catalogues on disk: right rows, few of them read, faults told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from drpflow.data.reference_stars import ReferenceStars
from drpflow.data.table import Table
from drpflow.errors import InputError, MissingDatasetError
from drpflow.io import reference_stars as module
from drpflow.io.reference_stars import read_reference_stars, write_reference_stars
from drpflow.io.tables import write_table

CIRCLES = [(10.0, 20.0, 3.0), (0.2, -5.0, 2.0), (300.0, 89.0, 2.5), (77.0, -90.0, 4.0)]


def sky(n: int = 20_000) -> ReferenceStars:
    rng = np.random.default_rng(1)
    return ReferenceStars.from_columns(
        {
            "id": rng.permutation(n),
            "ra": rng.uniform(0, 360, n),
            "dec": np.degrees(np.arcsin(rng.uniform(-1, 1, n))),
            "epoch": np.full(n, 57388.5),
            "pm_ra": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
            "ra_dec_corr": rng.uniform(-1, 1, n),
            "flux_r": 10 ** rng.uniform(3, 6, n),
            "flux_r_err": rng.uniform(1, 2, n),
        }
    )


def assert_same(a: ReferenceStars, b: ReferenceStars) -> None:
    for name, values in a.to_columns().items():
        np.testing.assert_array_equal(values, b.to_columns()[name])


@pytest.mark.parametrize("order", [None, 2])
def test_a_circle_holds_what_brute_force_finds(tmp_path: Path, order: int | None) -> None:
    stars = sky()
    path = tmp_path / ("stars" if order is not None else "stars.parquet")
    write_reference_stars(path, stars, order)
    for circle in CIRCLES:
        expected = stars.select(stars.within(*circle))
        assert len(expected) > 5
        assert_same(read_reference_stars(path, *circle), expected.select(np.argsort(expected.id)))
    assert len(read_reference_stars(path, 0, 0, 180)) == len(stars)


def test_only_what_is_near_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    place = {"ra": rng.uniform(180, 220, 60_000), "dec": rng.uniform(-50, -10, 60_000)}
    stars = ReferenceStars.from_columns(sky(60_000).to_columns() | place)
    write_reference_stars(tmp_path / "one.parquet", stars)
    write_reference_stars(tmp_path / "many", stars, 3)
    read: list[int] = []
    true = module._groups_near

    def counting(metadata: pq.FileMetaData, *circle: float) -> list[int]:
        groups = true(metadata, *circle)
        read.append(sum(metadata.row_group(i).num_rows for i in groups))
        return groups

    monkeypatch.setattr(module, "_groups_near", counting)
    for path, most in ((tmp_path / "one.parquet", 25_000), (tmp_path / "many", 8_000)):
        read.clear()
        assert len(read_reference_stars(path, 200.0, -30.0, 0.5)) > 0
        assert sum(read) <= most


def test_a_place_that_is_not_covered_gives_no_rows(tmp_path: Path) -> None:
    north = sky().select(np.flatnonzero(sky().dec > 10))
    write_reference_stars(tmp_path / "north.parquet", north)
    write_reference_stars(tmp_path / "north", north, 2)
    for name in ("north.parquet", "north"):
        assert len(read_reference_stars(tmp_path / name, 10.0, -60.0, 1.0)) == 0


def test_equal_catalogues_give_equal_bytes(tmp_path: Path) -> None:
    stars = sky(1000)
    rows = np.random.default_rng(2).permutation(1000)
    write_reference_stars(tmp_path / "a.parquet", stars)
    write_reference_stars(tmp_path / "b.parquet", stars.select(rows))
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def columns(**changes: Any) -> dict[str, Any]:
    given = {"id": [1], "ra": [1.0], "dec": [2.0], "epoch": [57388.5], "flux_r": [5.0]}
    return {k: v for k, v in (given | changes).items() if v is not None}


@pytest.mark.parametrize(
    ("changes", "units", "problem"),
    [
        ({"epoch": None}, {}, "no column 'epoch'"),
        ({"flux_r": None}, {}, "no column flux_<band>"),
        ({}, {"flux_r": "Jy"}, "column 'flux_r' is in 'Jy', not in 'nJy'"),
        ({"pm_ra": [1.0]}, {"pm_ra": "deg/yr"}, "column 'pm_ra' is in 'deg/yr'"),
    ],
)
def test_faults_are_told(
    tmp_path: Path, changes: dict[str, Any], units: dict[str, str], problem: str
) -> None:
    path = tmp_path / "stars.parquet"
    write_table(path, Table.from_columns(columns(**changes), units=units))
    with pytest.raises(InputError, match=problem) as caught:
        read_reference_stars(path, 1.0, 2.0, 1.0)
    assert "drpflow reference convert" in str(caught.value)


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingDatasetError, match=r"nowhere\.parquet does not exist"):
        read_reference_stars(tmp_path / "nowhere.parquet", 0, 0, 1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no Parquet file"):
        read_reference_stars(tmp_path / "empty", 0, 0, 1)


def test_positions_seen_from_the_earth_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="barycentre"):
        write_reference_stars(tmp_path / "a.parquet", sky(3).at_epoch(6e4))


def test_other_tables_are_taken_too(tmp_path: Path) -> None:
    """A table without units, one row group, files of any name in a folder."""
    folder = tmp_path / "mine"
    folder.mkdir()
    write_table(folder / "a.parquet", Table.from_columns(columns()))
    write_table(folder / "b.parquet", Table.from_columns(columns(id=[2], flux_g=[7.0])))
    found = read_reference_stars(folder, 1.0, 2.0, 0.1)
    assert list(found.id) == [1, 2]
    np.testing.assert_array_equal(found.flux_njy["g"], [np.nan, 7.0])
