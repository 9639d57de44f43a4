"""What the report shows of the astrometric solution, from products whose residuals are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drpflow.io.status_files import read_all_outcomes
from drpflow.io.store import Store
from drpflow.qa.charts import night_label, night_number
from drpflow.qa.page import DataTable, Section
from drpflow.qa.report import write_report
from drpflow.qa.solution_data import Solution, read_solution
from drpflow.qa.solution_scores import (
    against_references,
    error_bins,
    mean_vectors,
    pull_width,
    repeatabilities,
    two_points,
)
from drpflow.qa.solution_section import solution_section
from tests.qa.astrometric_run import (
    BIAS_MAS,
    LOST,
    N_VISITS,
    NOISE_MAS,
    SKYPIX,
    TURBULENCE_MAS,
    write_astrometry,
)
from tests.qa.calibrated_run import DETECTORS, SIDE
from tests.qa.photometric_run import columns_of, put


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    root = tmp_path_factory.mktemp("runs") / "run"
    root.mkdir()
    write_astrometry(root)
    return Store(root)


@pytest.fixture(scope="module")
def found(store: Store) -> Solution:
    result = read_solution(store)
    assert result is not None
    return result


def table(section: Section, title: str) -> DataTable:
    (block,) = [b for b in section.blocks if b.title == title]
    assert block.table is not None
    return block.table


def test_outlines_are_where_the_detectors_are(found: Solution) -> None:
    assert sorted(found.outlines) == [d.id for d in DETECTORS]
    for d in DETECTORS:
        corners = found.outlines[d.id]
        side = np.hypot(*(corners[1] - corners[0]))
        assert side == pytest.approx(SIDE * 0.2 / 3600, rel=1e-3)
        middle = corners.mean(axis=0) * 3600 / 13.333
        # x of the field runs against that of the focal plane if the camera's x axis is west.
        np.testing.assert_allclose(np.abs(middle), np.abs(d.center_mm), rtol=1e-2)


def test_mean_vectors_show_the_shifted_detector(found: Solution) -> None:
    means = mean_vectors(found, found.residuals["used"])
    mine = means.detector == 0
    # Of seven visits the mean turbulence remains, alike on all detectors.
    common = np.median(means.dx_mas[~mine])
    assert np.mean(means.dx_mas[mine]) - common == pytest.approx(BIAS_MAS, abs=0.5)
    assert np.mean(means.dy_mas[mine]) == pytest.approx(np.mean(means.dy_mas[~mine]), abs=0.5)
    used = found.residuals["used"].sum()
    assert 0.97 * used < means.number.sum() <= used, "cells with few stars are left out"
    scatter = np.hypot(NOISE_MAS, TURBULENCE_MAS)
    expected = scatter / np.sqrt(np.median(means.number))
    assert np.median(means.error_mas) == pytest.approx(expected, rel=0.4)
    for key, corners in found.outlines.items():
        inside = means.detector == key
        assert (np.abs(means.x_deg[inside] - corners[:, 0].mean()) < 0.02).all()


def test_two_point_function_is_that_of_the_turbulence(found: Solution) -> None:
    functions = two_points(found)
    r = found.residuals
    used = r["used"] & ~r["reserved"]
    after = functions["after, stars of the fit"]
    # Within a visit everything is shifted alike, so that pairs at all separations correlate.
    shifts = [
        [np.mean(r[n][used & (r["visit"] == v) & (r["detector"] == 1)]) for n in ("dx", "dy")]
        for v in range(1, N_VISITS)
    ]
    expected = float(np.mean(np.sum(np.square(shifts), axis=1)))
    largest = np.argsort(after.n_pairs)[-3:]
    np.testing.assert_allclose(after.total_mas2[largest], expected, rtol=0.5, atol=15)
    before = functions["before, both"]
    assert before.total_mas2[largest].min() > 10 * after.total_mas2[largest].max()
    assert "after, reserved stars" in functions


def test_separations_do_not_feel_what_a_visit_has_in_common(found: Solution) -> None:
    by = {(am.separation_arcmin, am.which): am for am in repeatabilities(found)}
    am1, am2 = by[5.0, "stars of the fit"], by[20.0, "stars of the fit"]
    assert am1.after.median_mas == pytest.approx(np.sqrt(2) * NOISE_MAS, rel=0.15)
    assert am1.before.median_mas == pytest.approx(am1.after.median_mas, rel=0.01)
    assert not am2.after.rms_mas.size, "the field is smaller than that"
    assert np.isnan(am2.after.median_mas)


def test_residuals_against_errors(found: Solution) -> None:
    bins = error_bins(found)
    assert sum(b.number for b in bins) == found.residuals["used"].sum()
    (one,) = bins
    assert one.centroid_mas == pytest.approx(NOISE_MAS)
    assert one.expected_mas == pytest.approx(np.hypot(NOISE_MAS, TURBULENCE_MAS))
    assert one.fitted_mas == pytest.approx(one.reserved_mas, rel=0.15)


def test_against_the_catalogue(found: Solution) -> None:
    against = against_references(found)
    assert against is not None
    for name, number in (("stars of the fit", 480), ("reserved stars", 120)):
        east, north, count = against.aa1[name]
        assert count == number
        # The median of |N(0, 4)|.
        assert (east, north) == pytest.approx((2.70, 2.70), rel=0.25)
        east, north, count = against.aa1_before[name]
        assert count == number
        assert (east, north) == pytest.approx((2.70, 20), rel=0.25)
        pulls = list(against.pulls[name].values())
        assert [p.size for p in pulls] == 3 * [number]
        assert pull_width(np.concatenate(pulls)) == pytest.approx(1.0, abs=0.15)


def test_chapter(store: Store) -> None:
    section = solution_section(store, read_all_outcomes(store.roots[0]))
    assert section is not None
    assert section.tiles[0].value == f"{N_VISITS - 1} / {N_VISITS}"
    assert section.tiles[0].mood == "bad"
    assert table(section, "Visits without a solution").rows == [
        [str(LOST), str(SKYPIX), "", "too <far> off"]
    ]
    notes = [row[1] for row in table(section, "What must be known").rows]
    assert notes == ["order of detector 3 fell to 1; too few stars", "visit 8: too <far> off"]
    assert table(section, "What the data leave open").rows == [
        [str(SKYPIX), "position of the whole: held by priors"]
    ]
    visits = table(section, "Visits").rows
    assert [row[0] for row in visits] == [str(v) for v in range(1, N_VISITS + 1)]
    assert visits[0][4:7] == ["30.0", "3.00", "1.00"]
    outliers = table(section, "Outliers and flags")
    row = dict(zip([c.name for c in outliers.columns], outliers.rows[0], strict=True))
    assert row["outliers"] == "60"
    assert row["stars with three or more"] == "20"
    assert row["tied to the catalogue"] == "480"
    assert len(table(section, "Residuals over the focal plane").rows) == 4


def test_report_has_the_chapter(store: Store) -> None:
    root = store.roots[0]
    for name in ("a.html", "b.html"):
        write_report(root, root / name)
    page = (root / "a.html").read_text()
    assert page == (root / "b.html").read_text()
    assert 'id="astrometry"' in page
    assert "too &lt;far&gt; off" in page


def test_without_a_catalogue(tmp_path: Path) -> None:
    root = tmp_path / "run"
    root.mkdir()
    write_astrometry(root, catalogue=False)
    section = solution_section(Store(root), [])
    assert section is not None
    assert all(b.title not in ("Absolute accuracy", "Pulls of motions") for b in section.blocks)


def test_a_catalogue_that_is_gone(tmp_path: Path) -> None:
    root = tmp_path / "run"
    root.mkdir()
    write_astrometry(root).unlink()
    section = solution_section(Store(root), [])
    assert section is not None
    assert "is not there any more" in table(section, "What must be known").rows[-1][1]


def test_nothing_solved(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert solution_section(store, []) is None
    for name in ("stars", "residuals"):
        kind = f"solved_astrometry_{name}"
        put(store, kind, columns_of(kind, 0), skypix=SKYPIX)
    visits = columns_of("solved_astrometry_visits", 2, visit=[1, 2], band="r", reason="no stars")
    put(store, "solved_astrometry_visits", visits, skypix=SKYPIX)
    section = solution_section(store, [])
    assert section is not None
    assert "No visit" in section.note
    assert len(table(section, "Visits without a solution").rows) == 2
    write_report(tmp_path, tmp_path / "index.html")


def test_nights_of_visits() -> None:
    assert night_number(None) == -1
    assert night_label(-1) == ""
