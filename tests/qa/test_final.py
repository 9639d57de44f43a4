"""What the report shows of final products, from sources whose scatter is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drpflow.io.store import Store
from drpflow.qa import final_claims
from drpflow.qa.final_claims import Claim, astrometric_deviations, photometric_deviations
from drpflow.qa.final_counts import VisitCounts, read_counts
from drpflow.qa.final_data import Pairs, final_visits, motion_mas, objects_of, read_pairs
from drpflow.qa.final_overlays import read_overlays
from drpflow.qa.final_section import final_section
from drpflow.qa.page import render
from tests.qa.final_run import (
    DEPTH_MAG,
    FINAL_MAS,
    FINAL_MMAG,
    FINAL_SIZE,
    FIRST_MAS,
    FIRST_MMAG,
    FIRST_SIZE,
    FIRST_WRONG,
    MISSING,
    N_GALAXIES,
    N_SKY,
    N_STARS,
    SIDE,
    TRANSIENT_VISITS,
    VISITS,
    write_final_run,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_final_run(tmp_path_factory.mktemp("final"))


@pytest.fixture(scope="module")
def pairs(store: Store) -> Pairs:
    found = read_pairs(store)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def claims(pairs: Pairs, store: Store) -> dict[str, Claim]:
    made = final_claims.claims(pairs, motion_mas(store, pairs))
    return {f"{c.subject}: {c.name}": c for c in made}


def test_detections_are_paired(store: Store, pairs: Pairs) -> None:
    assert final_visits(store) == list(VISITS)
    lost = (N_STARS + N_GALAXIES) // 4
    assert pairs.visit.size == len(VISITS) * (N_STARS + N_GALAXIES) - lost
    assert pairs.bands == ["g", "r"]
    assert np.unique(pairs.object).size == N_STARS + N_GALAXIES
    assert np.unique(pairs.isolated[pairs.isolated > 0]).size == N_STARS
    # The same source in both: numbers of the objects are in the identifiers.
    assert (pairs.first["sourceId"] == pairs.final["sourceId"]).all()


def test_objects_are_told_apart() -> None:
    visit = np.array([1, 1, 2, 2, 3])
    ra = np.array([10.0, 10.001, 10.00001, 10.002, 10.00101])
    found = objects_of(visit, ra, np.zeros(5))
    assert found.tolist() == [0, 1, 0, 2, 1]


@pytest.mark.parametrize(
    ("name", "first", "final"),
    [
        ("photometry: PSF flux, S/N above 100", FIRST_MMAG, FINAL_MMAG),
        ("photometry: aperture flux, S/N above 100", FIRST_MMAG, FINAL_MMAG),
        ("astrometry: all stars, S/N above 100", FIRST_MAS, FINAL_MAS),
    ],
)
def test_scatter_is_recovered(
    claims: dict[str, Claim], name: str, first: float, final: float
) -> None:  # fmt: skip
    of = claims[name]
    assert of.first.value == pytest.approx(first, rel=0.08)
    assert of.final.value == pytest.approx(final, rel=0.08)
    assert of.first.low < of.first.value < of.first.high
    assert of.ratio.low < 0.5 < of.ratio.high


def test_scatter_beyond_noise(claims: dict[str, Claim]) -> None:
    """The stated noise is 5.4 mmag: in squares it is taken off."""
    of = claims["photometry: PSF flux, S/N above 100, beyond noise"]
    noise = 2500 / np.log(10) / 200
    assert of.final.value == pytest.approx(np.sqrt(FINAL_MMAG**2 - noise**2), rel=0.12)


def test_sizes_and_classes(claims: dict[str, Claim]) -> None:
    assert claims["PSF: dT/T"].first.value == pytest.approx(FIRST_SIZE, rel=0.1)
    assert claims["PSF: dT/T"].final.value == pytest.approx(FINAL_SIZE, rel=0.1)
    odd = claims["classes: called otherwise than in most visits, S/N above 20"]
    assert odd.first.value == pytest.approx(100 * FIRST_WRONG, abs=3)
    assert odd.final.value == 0
    assert odd.mood == "good"


def test_better_worse_and_not_judged(claims: dict[str, Claim]) -> None:
    better = claims["photometry: PSF flux, S/N above 100"]
    assert better.mood == "good"
    swapped = replace(better, ratio=replace(better.ratio, low=1.1, high=1.3))
    assert swapped.mood == "bad"
    assert replace(better, ratio=replace(better.ratio, low=0.9, high=1.1)).mood == ""
    # Stars that made the first WCS do not tell which is better; those that did not, do.
    assert claims["astrometry: all stars, S/N above 100"].mood == ""
    apart = "astrometry: stars that made no first WCS, over centroid errors, S/N above 50"
    assert claims[apart].mood == "good"


def test_stars_of_the_first_wcs_are_left_out(pairs: Pairs, store: Store) -> None:
    used = pairs.first | {"calib_astrometry_used": np.ones(pairs.visit.size, bool)}
    made = final_claims.claims(replace(pairs, first=used), motion_mas(store, pairs))
    assert not [c for c in made if "no first WCS" in c.name]


def test_outliers_do_not_count(pairs: Pairs, store: Store) -> None:
    spoilt = dict(pairs.final)
    spoilt["ra"] = spoilt["ra"].copy()
    spoilt["ra"][7] += 0.5 / 3600
    deviations = astrometric_deviations(replace(pairs, final=spoilt), motion_mas(store, pairs))
    assert 7 not in deviations.rows
    assert deviations.width(np.arange(deviations.rows.size), 1) == pytest.approx(FINAL_MAS, rel=0.1)
    assert photometric_deviations(pairs, "psfFlux").rows.size > 500


@pytest.fixture(scope="module")
def counts(store: Store) -> dict[int, VisitCounts]:
    return {v.visit: v for v in read_counts(store)}


def test_counts_and_flags(counts: dict[int, VisitCounts]) -> None:
    one = counts[1]
    assert (one.number, one.stars, one.extended) == (N_STARS + N_GALAXIES, N_STARS, N_GALAXIES)
    assert one.flagged == (1, 0, 0)
    assert (one.missing, counts[MISSING[0]].missing) == ([], [MISSING[1]])
    assert one.sky == N_SKY
    assert one.sky_width == pytest.approx(1, abs=0.5)
    assert one.counts.sum() == one.number
    assert counts[TRANSIENT_VISITS[0]].number == one.number + 1


def test_depth_and_area(counts: dict[int, VisitCounts]) -> None:
    assert counts[1].stated_mag == pytest.approx(DEPTH_MAG)
    # No source is faint enough to tell.
    assert np.isnan(counts[1].depth_mag)
    side_arcmin = SIDE * 0.2 / 60
    assert counts[1].area_arcmin2 == pytest.approx(4 * side_arcmin**2, rel=0.02)
    assert counts[2].area_arcmin2 == pytest.approx(3 * side_arcmin**2, rel=0.02)


def test_overlay_has_the_sources_of_its_detector(
    store: Store, counts: dict[int, VisitCounts]
) -> None:  # fmt: skip
    (one,) = read_overlays(store, list(counts.values()))
    assert one.title == "visit 1 (g), detector 1"
    assert one.x.size == (N_STARS + N_GALAXIES) // 4
    assert one.extent == (-0.5, SIDE - 0.5, -0.5, SIDE - 0.5)


def test_section(store: Store) -> None:
    section = final_section(store)
    assert section is not None
    titles = [b.title for b in section.blocks if b.title]
    assert titles == [
        "First look and final products", "Counts, depth and flags", "Images and their sources"
    ]  # fmt: skip
    assert section.tiles[0].mood == "bad"
    assert section.tiles[0].value == "31 / 32"
    page = render("t", "s", [section], "f")
    assert page.count('<tr class="good">') >= 8
    assert '<tr class="bad">' not in page


def test_nothing_yet(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert final_section(Store(tmp_path_factory.mktemp("nothing"))) is None
