"""Reference stars about the stars of a survey."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from drpflow.data.reference_stars import ReferenceStars
from drpflow.io.reference_regions import read_references_about
from drpflow.io.reference_stars import write_reference_stars


def test_each_star_about_the_places_once(tmp_path: Path) -> None:
    ra = np.array([0.0, 0.019, 359.99, 5.0, 180.0])
    columns = {"id": np.arange(5) + 1, "ra": ra, "dec": np.zeros(5), "epoch": np.full(5, 57388.0)}
    columns |= {"flux_r": np.ones(5), "flux_r_err": np.ones(5)}
    path = tmp_path / "reference.parquet"
    write_reference_stars(path, ReferenceStars.from_columns(columns))
    places = np.array([359.992, 0.0, 0.01, 5.005])
    piece = np.array([3, 3, 4, 5])
    found = read_references_about(path, places, np.zeros(4), piece)
    assert found is not None
    # Also those that lie in two circles; and those just beyond the outermost place.
    assert found.id.tolist() == [1, 2, 3, 4]
    assert found.bands == ("r",)


def test_no_catalog_no_places(tmp_path: Path) -> None:
    none = np.zeros(0)
    assert read_references_about(None, np.ones(1), np.ones(1), np.ones(1, int)) is None
    assert read_references_about(tmp_path, none, none, np.zeros(0, int)) is None
