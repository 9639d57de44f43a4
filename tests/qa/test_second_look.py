"""What the report shows of the second look, from products whose numbers are known."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from drpflow.io.status_files import Outcome, read_all_outcomes
from drpflow.io.store import Store
from drpflow.qa.final_astrometry_section import final_astrometry_section
from drpflow.qa.final_psf_data import FinalPsf, read_final_psf
from drpflow.qa.final_psf_figures import key_ellipticity
from drpflow.qa.final_psf_scores import color_trend, mean_of, psf_maps, quality, rho_of
from drpflow.qa.final_psf_section import final_psf_section
from drpflow.qa.page import DataTable, Section
from drpflow.qa.report import write_report
from drpflow.qa.sky_data import VisitSky, read_skies
from drpflow.qa.sky_scores import WingSums, block_maps, jumps, rms
from drpflow.qa.sky_section import SkyChapter, sky_chapter
from drpflow.qa.summary_section import read_summaries, relative_times, summary_section
from tests.qa.astrometric_run import CHANGE_MAS, SKYPIX, write_astrometry
from tests.qa.calibrated_run import DETECTORS
from tests.qa.second_look_run import (
    BANDS,
    FIRST_OFF,
    LOST,
    MODEL_E1,
    N_STARS,
    NOISE,
    SECONDS,
    SHAPE_BIAS,
    SIZE_BIAS,
    SIZE_SLOPE,
    SKY,
    STEP,
    WING,
    WING_MAG,
    write_nothing,
    write_second_look,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_second_look(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def skies(store: Store) -> dict[int, VisitSky]:
    return {sky.visit: sky for sky in read_skies(store)}


@pytest.fixture(scope="module")
def psf(store: Store) -> FinalPsf:
    found = read_final_psf(store)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def chapter(store: Store) -> SkyChapter:
    return sky_chapter(store, read_all_outcomes(store.roots[0]))


def table(section: Section | None, title: str) -> DataTable:
    assert section is not None
    (block,) = [b for b in section.blocks if b.title == title]
    assert block.table is not None
    return block.table


def test_jumps_are_those_of_the_backgrounds(skies: dict[int, VisitSky]) -> None:
    found = jumps(skies[1])
    # Detectors 0 1 stand below 2 3.
    assert sorted(found) == [(0, 1), (0, 2), (1, 3), (2, 3)]
    step, off = 100 * STEP / SKY, 100 * FIRST_OFF / SKY
    expected = {(0, 1): (-off, 0), (0, 2): (0, 0), (1, 3): (off, step), (2, 3): (0, step)}
    for edge, (first, final) in expected.items():
        # Light of wings, which the first background leaves, reaches the edges here and there.
        assert found[edge].first == pytest.approx(first, abs=0.01)
        assert found[edge].final == pytest.approx(final, abs=1e-5)
        # Four fifths of 128 by 512 pixels on either side, 200 of 256 count.
        pixels = 128 * 512 * 0.8 * 200 / 256
        noise = 100 * 18.0 / SKY * np.sqrt(2 / pixels)
        assert found[edge].noise == pytest.approx(noise, rel=0.05)
    np.testing.assert_allclose(found[0, 1].between, off, atol=0.02)
    np.testing.assert_allclose(found[2, 3].between, step, atol=0.02)


def test_a_detector_without_background_has_no_edges(skies: dict[int, VisitSky]) -> None:
    assert LOST[1] not in skies[LOST[0]].detectors
    assert sorted(jumps(skies[LOST[0]])) == [(0, 1), (0, 2)]
    assert np.isnan(rms([float("nan")]))


def test_maps_show_what_is_left(skies: dict[int, VisitSky]) -> None:
    maps = block_maps(skies[1], 8)
    percent = 100 / SKY
    for d in DETECTORS:
        np.testing.assert_allclose(maps["final"][d.id], percent * STEP * (d.id == 3), atol=1e-5)
        assert maps["first"][d.id].shape == (8, 8)
        # The wings are in the final background, and left by the first.
        assert maps["first"][d.id].max() > 0.9 * percent * WING - percent * FIRST_OFF
        assert maps["model"][d.id].max() > 0.9 * percent * WING
        middle = maps["between"][d.id][0, 0]
        assert middle == pytest.approx(percent * (FIRST_OFF * (d.id == 1) + STEP * (d.id == 3)))


def test_light_about_stars(skies: dict[int, VisitSky]) -> None:
    sums = WingSums()
    for sky in skies.values():
        sums.add(sky)
    (one,) = sums.bins("r")
    assert one.magnitude == pytest.approx(WING_MAG)
    # Two visits; the star of detector 3 is not in the first catalogue.
    assert one.number == 6
    percent = 100 / SKY
    assert one.bare == pytest.approx((percent * WING, 0), abs=1e-6)
    assert one.final == pytest.approx((0, 0), abs=1e-6)
    # The first background takes nothing of the wings, and too much on detector 1.
    assert one.first[0] == pytest.approx(percent * (WING - FIRST_OFF / 3), rel=1e-3)
    scatter = percent * FIRST_OFF * np.std([0, 0, 1, 0, 0, 1], ddof=1) / np.sqrt(6)
    assert one.first[1] == pytest.approx(scatter, rel=1e-3)
    assert not sums.bins("z")


def test_background_chapter(chapter: SkyChapter) -> None:
    rows = table(chapter.section, "Visits").rows
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert rows[1][2] == "3 / 4"
    assert rows[1][-1] == "no <sky> of detector 3"
    assert rows[0][8] == "0.010", "0.03 electrons of 300"
    (bands,) = [r for r in table(chapter.section, "Jumps by band").rows if r[0] == "r"]
    step = 100 * STEP / SKY
    assert float(bands[4]) == pytest.approx(step / np.sqrt(2), abs=2e-3)
    assert float(bands[7]) == pytest.approx(float(bands[4]), abs=2e-3), "the same on both visits"
    assert float(bands[8]) == pytest.approx(float(bands[5]) / np.sqrt(2), abs=2e-3)
    assert len(table(chapter.section, "What was lost").rows) == 1
    parts = [chapter.part(visit) for visit in (1, 2, 3, 4)]
    assert [len(part.figures) if part else 0 for part in parts] == [4, 4, 4, 0]


def test_stars_are_matched_and_turned(psf: FinalPsf) -> None:
    s = psf.stars
    assert psf.bands == ["g", "r"]
    assert psf.color_name == "g-i"
    assert s.visit.size == 3 * 4 * (N_STARS - 2)
    assert np.isnan(s.color).sum() == 3 * 4 * 5
    # One star a visit was not measured at first, among those that are good for nothing.
    assert np.isfinite(s.before.dt).all()
    for d in DETECTORS:
        mine = s.detector == d.id
        sign = np.cos(2 * np.deg2rad(d.rotation_deg))
        assert np.mean(s.after.de.real[mine]) == pytest.approx(sign * SHAPE_BIAS, abs=1e-3)
        np.testing.assert_allclose(s.after.e[mine], sign * MODEL_E1, atol=1e-9)
    # 13.333 arcsec a mm.
    assert np.ptp(s.x_arcmin) == pytest.approx(13.333 / 60 * (2 * 7.68 + 0.5), rel=0.02)


def test_sizes_and_shapes_against_the_truth(psf: FinalPsf) -> None:
    s = psf.stars
    found = quality(s, s.visit > 0)
    assert found.size.mean == pytest.approx(SIZE_BIAS, abs=5 * found.size.error)
    assert found.size.error == pytest.approx(NOISE / np.sqrt(s.visit.size), rel=0.3)
    assert found.size.noise == pytest.approx(NOISE, rel=0.02)
    assert found.size.scatter < NOISE / 2
    # Turned by 90 degrees, the bias has the other sign: half of the detectors each.
    assert found.e1.mean == pytest.approx(0, abs=2e-3)
    assert found.e1.scatter == pytest.approx(SHAPE_BIAS, rel=0.3)
    assert quality(s, s.visit > 0, before=True).size.scatter > 2 * found.size.scatter


def test_scatter_and_its_error() -> None:
    rng = np.random.default_rng([7])
    noise = np.full(400, 0.03)
    found = [
        mean_of(0.01 + noise * rng.normal(size=400) + 0.02 * rng.normal(size=400), noise)
        for _ in range(60)
    ]
    scatter = np.array([f.scatter for f in found])
    assert np.median(scatter) == pytest.approx(0.02, rel=0.1)
    assert np.median([f.scatter_error for f in found]) == pytest.approx(np.std(scatter), rel=0.4)
    pulls = [(f.mean - 0.01) / f.error for f in found]
    assert np.std(pulls) == pytest.approx(1, rel=0.3)
    assert np.isnan(mean_of(noise[:3], noise[:3]).mean)


def test_colour_is_in_the_first_psf_alone(psf: FinalPsf) -> None:
    everything = psf.stars.visit > 0
    before = color_trend(psf.stars, everything, before=True)
    after = color_trend(psf.stars, everything)
    assert before is not None
    assert after is not None
    assert before.slope == pytest.approx(SIZE_SLOPE, rel=0.05)
    assert after.slope == pytest.approx(0, abs=4 * after.slope_error)
    assert after.slope_error == pytest.approx(NOISE / 0.46 / np.sqrt(after.number), rel=0.3)
    assert color_trend(psf.stars, psf.stars.visit == 99) is None


def test_maps_and_rho(psf: FinalPsf) -> None:
    maps = psf_maps(psf.stars, psf.stars.visit > 0, psf.detectors)
    assert maps.size.mean[0].shape == (2, 2)
    mean, error = maps.size.average(0)
    assert mean == pytest.approx(SIZE_BIAS, abs=4 * error)
    assert maps.e1.average(0)[0] == pytest.approx(SHAPE_BIAS, abs=1e-3)
    assert maps.e1.average(1)[0] == pytest.approx(-SHAPE_BIAS, abs=1e-3)
    assert maps.size.structure(0) < 1e-3
    rho = rho_of(psf)["after, stars of the fit"]
    # Stars that are near each other are on one detector, and have the bias in common.
    near = rho.separation_arcmin < 0.6
    np.testing.assert_allclose(rho.rho[0, near], SHAPE_BIAS**2, rtol=0.35)
    np.testing.assert_allclose(rho.rho[1, near], MODEL_E1 * SHAPE_BIAS, rtol=0.35)
    np.testing.assert_allclose(rho.rho[4, near], MODEL_E1**2 * SIZE_BIAS, rtol=0.35)


def test_whiskers_fit_their_detector() -> None:
    assert key_ellipticity(0.004) == 0.01
    assert key_ellipticity(0.03) == 0.05
    assert key_ellipticity(0.9) == 0.2


def test_many_losses_are_folded_in_the_order_of_visits(
    store: Store,
) -> None:
    task = "modelVisitBackground"
    outcomes = [
        Outcome(task, {"visit": v}, "partial", "a nebula") for v in (*range(1, 30, 2), *range(30))
    ]
    section = sky_chapter(store, outcomes).section
    assert section is not None
    (block,) = [b for b in section.blocks if b.title == "What was lost"]
    assert block.folded == "all 45 jobs"
    assert block.table is not None
    visits = [int(row[1]) for row in block.table.rows]
    assert visits == sorted(visits)


def test_psf_chapter(store: Store) -> None:
    section = final_psf_section(store)
    rows = table(section, "Lost, or told by neighbours").rows
    assert [row[:4] for row in rows] == [[str(LOST[0]), str(LOST[1]), "g", "neighbors"]]
    bands = table(section, "Numbers of each band").rows
    assert [row[0] for row in bands] == ["all", "all", "g", "g", "r", "r"]
    assert float(bands[0][4]) == pytest.approx(100 * SIZE_BIAS, abs=0.05)
    assert int(bands[0][2]) + int(bands[1][2]) == 3 * 4 * (N_STARS - 2)
    slopes = {row[0]: row for row in table(section, "Colours").rows}
    assert float(slopes["r"][2]) == pytest.approx(100 * SIZE_SLOPE, abs=0.3)


def test_summaries(store: Store) -> None:
    section = summary_section(store)
    assert section is not None
    values = {t.label: t.value for t in section.tiles}
    assert values["detectors with all calibrations"] == "11 / 12"
    assert values["median PSF width"] == "0.94″"
    assert values["effective of 90 s exposed"] == "50 %"
    rows = table(section, "Visits in the order of time").rows
    assert rows[0][0] == "1"
    assert rows[2][10] == "30.0", "the zero point has changed by 30 mmag"
    assert rows[0][7] == "0.00", "the size has not"
    assert table(section, "What was lost, and why").rows == [
        ["2", "3", "g", "20", "psf: no <star>; background: see modelVisitBackground"]
    ]
    (band,) = [r for r in table(section, "Bands").rows if r[0] == "g"]
    assert band[5:] == ["30", "15.0", "50"]


def test_effective_times_without_fiducial_conditions(tmp_path: Path) -> None:
    store = write_second_look(tmp_path, effective=False)
    one, two, three = relative_times(read_summaries(store))
    # The depths of the two visits in r are 24.0 and 24.5: 0.25 mag from their median.
    assert one.effective_s == pytest.approx(SECONDS * 10 ** (-0.8 * 0.25))
    assert three.effective_s == pytest.approx(SECONDS * 10 ** (0.8 * 0.25))
    assert two.effective_s == pytest.approx(SECONDS)
    section = summary_section(store)
    assert section is not None
    assert "no fiducial conditions" in section.note
    assert len(section.tiles) == 2


def test_second_fit(tmp_path: Path) -> None:
    root = tmp_path / "run"
    root.mkdir()
    write_astrometry(root, stage="final_astrometry")
    section = final_astrometry_section(Store(root), [])
    (row,) = table(section, "What has changed").rows
    assert row[:4] == [str(SKYPIX), "the second fit", "0.10", f"{CHANGE_MAS:.2f}"]
    visits = table(section, "Visits")
    assert visits.columns[-1].name == "change of WCS"
    assert visits.rows[0][-1] == f"{CHANGE_MAS:.2f}"
    assert section is not None
    assert section.tiles[1].value == f"{CHANGE_MAS:.2f} mas"


def test_report_has_the_chapters(store: Store) -> None:
    root = store.roots[0]
    for name in ("a.html", "b.html"):
        write_report(root, root / name)
    page = (root / "a.html").read_text()
    assert page == (root / "b.html").read_text()
    for key in ("sky", "final-psf", "summary"):
        assert f'section id="{key}"' in page
    assert "no &lt;sky&gt; of detector 3" in page
    lacking = re.findall(r"There is no chapter yet on ([^<]*)", page)
    missing = (
        "the final astrometry (finalizeAstrometry), coadds (compareWarpAssembleCoadd), "
        "final products (finalizeImage)"
    )
    assert lacking == [f"{missing}: nothing was made of it."]
    for visit in range(1, len(BANDS) + 1):
        part = page.split(f'id="visit-{visit}"')[1].split("Losses</h4>")[0]
        assert "sky left by the final background" in part


def test_nothing_came_of_it(tmp_path: Path) -> None:
    store = write_nothing(tmp_path)
    sky = sky_chapter(store, []).section
    assert table(sky, "Visits").rows[0][2] == "0 / 0"
    psf = final_psf_section(store)
    assert psf is not None
    assert "No visit has a star" in psf.note
    assert len(table(psf, "Lost, or told by neighbours").rows) == 4
    summary = summary_section(store)
    assert len(table(summary, "What was lost, and why").rows) == 4
    fit = final_astrometry_section(store, [])
    assert table(fit, "Visits without a solution").rows[0][-1] == "no <centroids>"
    write_report(tmp_path, tmp_path / "index.html")
    assert "no &lt;centroids&gt;" in (tmp_path / "index.html").read_text()


def test_report_says_what_it_has_no_chapter_on(tmp_path: Path) -> None:
    write_report(tmp_path, tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text()
    assert "There is no chapter yet on backgrounds of visits (modelVisitBackground), " in page
    for key in ("sky", "final-psf", "final-astrometry", "summary"):
        assert f'section id="{key}"' not in page
