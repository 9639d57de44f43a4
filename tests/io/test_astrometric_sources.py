"""Stars and detections gathered over pieces of the sky."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drpflow.data.star_color import ColorMeaning
from drpflow.data.table import Table
from drpflow.errors import InputError, MissingDatasetError
from drpflow.io.astrometric_sources import PieceFiles, gather_stars, rows_of
from drpflow.io.tables import write_table

COLOR = ColorMeaning(("g", "i"), 0.7)


def write_piece(
    folder: Path,
    ids: list[int],
    detections: list[tuple[int, int, int]],
    meaning: ColorMeaning = COLOR,
) -> PieceFiles:
    """Write stars, and detections (star, visit, detector)."""
    paths = PieceFiles(*(folder / f"{name}.parquet" for name in ("stars", "sources", "standard")))
    n = len(ids)
    stars = {"isolated_star_id": np.array(ids, np.int64), "ra": 10.0 + np.arange(n)}
    write_table(paths.stars, stars | {"dec": np.arange(n) / 7, "reserved": np.arange(n) == 1})
    star, visit, detector = (np.array(c, np.int64) for c in zip(*detections, strict=True))
    one = np.ones(star.size)
    sources = {"isolated_star_id": star, "visit": visit, "detector": detector.astype(np.int32)}
    sources |= {"x": 100.0 * visit + detector, "y": 3 * one, "xErr": (0.1 * one).astype("f4")}
    sources |= {"yErr": (0.2 * one).astype("f4"), "x_y_Cov": (0.005 * one).astype("f4")}
    write_table(paths.sources, sources)
    bands = np.array(["g", "i"] * n)
    standard = {"isolated_star_id": np.repeat(stars["isolated_star_id"], 2), "band": bands}
    color = np.repeat(0.5 + np.arange(n), 2)
    table = Table.from_columns(
        standard | {"color": color, "color_assumed": color == 0.5}, meta=meaning.to_meta()
    )
    write_table(paths.standard_stars, table)
    return paths


@pytest.fixture
def files(tmp_path: Path) -> list[tuple[int, PieceFiles]]:
    first = write_piece(
        tmp_path / "a", [30, 10, 20], [(10, 5, 1), (30, 5, 0), (10, 6, 1), (20, 9, 0)]
    )
    second = write_piece(tmp_path / "b", [7, 8], [(8, 6, 2), (7, 6, 0), (8, 5, 7)])
    return [(100, first), (101, second)]


def test_detections_find_star_visit_and_detector(files: list[tuple[int, PieceFiles]]) -> None:
    found = gather_stars(files, visits=[6, 5], detectors=[0, 1, 2])
    obs, stars = found.observations, found.stars
    rows = sorted(
        zip(
            stars.id[obs.star].tolist(),
            np.array([6, 5])[obs.visit].tolist(),
            obs.detector.tolist(),
            obs.x.tolist(),
            strict=True,
        )
    )
    # Visit 9 is none of those asked for, detector 7 none of the camera's; star 20 is left without.
    assert rows == [
        (7, 6, 0, 600),
        (8, 6, 2, 602),
        (10, 5, 1, 501),
        (10, 6, 1, 601),
        (30, 5, 0, 500),
    ]
    assert sorted(stars.id.tolist()) == [7, 8, 10, 30]
    assert dict(zip(stars.id.tolist(), found.piece.tolist(), strict=True)) == {
        7: 101, 8: 101, 10: 100, 30: 100,
    }  # fmt: skip
    np.testing.assert_allclose([obs.xx[0], obs.xy[0], obs.yy[0]], [0.01, 0.005, 0.04], rtol=1e-6)
    assert found.color == COLOR


def test_colors_and_reserved_stars(files: list[tuple[int, PieceFiles]]) -> None:
    stars = gather_stars(files, [5, 6], [0, 1, 2]).stars
    color = dict(zip(stars.id.tolist(), stars.color.tolist(), strict=True))
    # An assumed colour is none.
    assert color[10] == 1.5
    assert color[8] == 1.5
    assert np.isnan([color[30], color[7]]).all()
    reserved = dict(zip(stars.id.tolist(), stars.reserved.tolist(), strict=True))
    assert reserved == {30: False, 10: True, 7: False, 8: True}


def test_a_piece_does_not_say_what_colors_are(tmp_path: Path) -> None:
    """Bands and usual colour come from those that do; pieces of two runs are refused."""
    one = write_piece(tmp_path / "a", [1], [(1, 5, 0)], ColorMeaning())
    two = write_piece(tmp_path / "b", [2], [(2, 5, 0)])
    three = write_piece(tmp_path / "c", [3], [(3, 5, 0)], ColorMeaning(("g", "z"), 1.2))
    assert gather_stars([(1, one), (2, two)], [5], [0]).color == COLOR
    assert gather_stars([(1, one)], [5], [0]).color.bands == ()
    with pytest.raises(InputError, match="two runs"):
        gather_stars([(1, two), (2, three)], [5], [0])


def test_nothing_at_all(files: list[tuple[int, PieceFiles]]) -> None:
    for given in (
        gather_stars([], [5], [0]),
        gather_stars(files, [], [0]),
        gather_stars(files, [99], [0]),
    ):
        assert len(given.stars) == len(given.observations) == given.piece.size == 0


def test_detection_of_no_star(tmp_path: Path) -> None:
    paths = write_piece(tmp_path, [1, 2], [(1, 5, 0), (3, 5, 0)])
    with pytest.raises(InputError, match="star 3 is not among the isolated stars"):
        gather_stars([(1, paths)], [5], [0])


def test_missing_file(tmp_path: Path) -> None:
    paths = write_piece(tmp_path, [1], [(1, 5, 0)])
    paths.standard_stars.unlink()
    with pytest.raises(MissingDatasetError):
        gather_stars([(1, paths)], [5], [0])


def test_rows_of() -> None:
    table = np.array([5, 1, 9])
    np.testing.assert_array_equal(rows_of(table, np.array([9, 5, 2, 10, 1])), [2, 0, -1, -1, 1])
    np.testing.assert_array_equal(rows_of(table[:0], np.array([9])), [-1])
