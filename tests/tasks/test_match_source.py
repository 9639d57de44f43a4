"""What matchSource makes of visits: columns, figures, borders, the order of rows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from drpflow.config.match_source import MatchSourceConfig
from drpflow.data.healpix import pixels_of_deg
from drpflow.data.reference_stars import ReferenceStars
from drpflow.data.source_ids import make_source_ids
from drpflow.io.schemas import load_schema
from drpflow.tasks.match_source import Matches, VisitSources, margin_arcsec, match_source

CONFIG = MatchSourceConfig()
RA, DEC, N = 150.3, 2.2, 40
ORDER = 5
PIECE = ORDER, int(pixels_of_deg(ORDER, RA, DEC))


def sources_of(visit: int, n: int = N, **changes: object) -> dict[str, NDArray]:
    """The same n stars, a step of ten arcsec apart, with errors of 20 mas."""
    rng = np.random.default_rng([1, visit])
    columns = {
        "sourceId": make_source_ids(visit, 3, n),
        "detector": np.full(n, 3, np.int16),
        "ra": RA + np.arange(n) * 10 / 3600 + rng.normal(0, 0.02, n) / 3600,
        "dec": DEC + rng.normal(0, 0.02, n) / 3600,
        "raErr": np.full(n, 0.02 / 3600, np.float32),
        "decErr": np.full(n, 0.02 / 3600, np.float32),
        "psfFlux": np.full(n, 1e4),
        "psfFluxErr": np.full(n, 100.0),
        "extendedness": np.where(np.arange(n) % 2 == 0, 0.0, np.nan),
        "detect_isPrimary": np.ones(n, bool),
        "sky_source": np.zeros(n, bool),
    }
    return columns | {k: np.broadcast_to(v, n).copy() for k, v in changes.items()}


def visit(number: int, band: str = "g", **changes: object) -> VisitSources:
    return VisitSources(number, band, 60000.0 + 10 * number, sources_of(number, **changes))


def matched(visits: list[VisitSources], catalog: ReferenceStars | None = None) -> Matches:
    return match_source(visits, PIECE, catalog, 0.2, CONFIG)


def test_stars_of_all_visits() -> None:
    found = matched([visit(1), visit(2, "r"), visit(3, "g")])
    m, join = found.matches, found.join
    assert (m["n_source"] == 3).all()
    assert m["source_match_id"].tolist() == make_source_ids(1, 3, N).tolist()
    assert set(m["bands"]) == {"g,r"}
    np.testing.assert_allclose(m["ra"], RA + np.arange(N) * 10 / 3600, atol=0.05 / 3600)
    np.testing.assert_allclose(m["epoch"], 60020.0)
    np.testing.assert_allclose(m["span"], 20.0)
    np.testing.assert_allclose(m["snr"], 100.0)
    np.testing.assert_allclose(m["extendedness"][::2], 0.0)
    assert np.isnan(m["extendedness"][1::2]).all()
    assert join["visit"].tolist() == [1, 2, 3] * N
    assert found.numbers["matches"] == N
    assert found.numbers["sources"] == 3 * N


def test_columns_are_those_of_the_schemas() -> None:
    found = matched([visit(1), visit(2)])
    for name, columns in (("source_matches", found.matches), ("source_matches_join", found.join)):
        assert {c.name for c in load_schema(name).columns} - {"skypix"} <= set(columns)


def test_results_do_not_depend_on_the_order_of_rows_and_visits() -> None:
    one = matched([visit(1), visit(2), visit(3)])
    turned = []
    for number in (3, 1, 2):
        columns = sources_of(number)
        order = np.random.default_rng(number).permutation(N)
        shuffled = {name: values[order] for name, values in columns.items()}
        turned.append(VisitSources(number, "g", 60000.0 + 10 * number, shuffled))
    other = matched(turned)
    for name, values in one.matches.items():
        np.testing.assert_array_equal(other.matches[name], values)
    for name, values in one.join.items():
        np.testing.assert_array_equal(other.join[name], values)


def test_every_source_is_in_one_group_of_one_piece() -> None:
    """Pieces of a finer order share the groups among them, to the last digit."""
    whole = matched([visit(1), visit(2)])
    order = 13
    pixels = pixels_of_deg(order, whole.matches["ra"], whole.matches["dec"])
    assert len(set(pixels)) > 5
    parts = [
        match_source([visit(1), visit(2)], (order, int(p)), None, 0.2, CONFIG)
        for p in np.unique(pixels)
    ]
    ids = np.concatenate([part.join["sourceId"] for part in parts])
    assert sorted(ids) == sorted(whole.join["sourceId"])
    by_id = np.argsort(np.concatenate([part.matches["source_match_id"] for part in parts]))
    for name in ("ra", "dec", "position_chi2"):
        joined = np.concatenate([part.matches[name] for part in parts])[by_id]
        np.testing.assert_array_equal(joined, whole.matches[name])


@pytest.mark.parametrize(
    "change",
    [
        {"psfFlux": 450.0},
        {"psfFlux": np.nan},
        {"psfFluxErr": 0.0, "psfFlux": 0.0},
        {"psfFluxErr": 0.0},
        {"ra": np.nan},
        {"sky_source": True},
        {"detect_isPrimary": False},
    ],
)
def test_what_does_not_count(change: dict[str, object]) -> None:
    found = matched([visit(1), visit(2, **change)])
    assert (found.matches["n_source"] == 1).all()
    assert set(found.join["visit"]) == {1}


def test_errors_that_are_not_known_count_little() -> None:
    found = matched([visit(1), visit(2, raErr=np.nan)])
    np.testing.assert_allclose(found.matches["epoch"], 60010.0, atol=0.1)


def test_reference_stars() -> None:
    here = ReferenceStars.from_columns(
        {
            "id": np.array([7, 8]),
            "ra": np.array([RA + 0.1 / 3600, RA + 3 / 3600]),
            "dec": np.full(2, DEC),
            "epoch": np.full(2, 60000.0),
        }
    )
    m = matched([visit(1), visit(2)], here).matches
    assert m["reference_id"].tolist() == [7] + [0] * (N - 1)
    assert m["reference_separation"][0] == pytest.approx(0.1, abs=0.05)
    assert np.isnan(m["reference_separation"][1:]).all()


def test_without_sources_there_are_no_rows() -> None:
    assert matched([]).matches == {}
    assert matched([visit(1, sky_source=True)]).numbers["matches"] == 0
    assert matched([VisitSources(1, "g", float("nan"), sources_of(1))]).matches == {}


def test_the_margin_holds_ten_linking_lengths() -> None:
    assert margin_arcsec(CONFIG, 0.2) == pytest.approx(5.0)
    assert margin_arcsec(CONFIG, 2.0) == pytest.approx(20.0)
