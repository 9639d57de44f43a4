"""What the report shows of stars and the photometric calibration, from products that are known."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drpflow.io.status_files import read_all_outcomes
from drpflow.io.store import Store
from drpflow.qa.air_blocks import flat_map
from drpflow.qa.air_data import extinction, nights_of
from drpflow.qa.association_figures import middle_ra_deg, star_map
from drpflow.qa.association_section import association_section
from drpflow.qa.charts import Order, night_label
from drpflow.qa.page import DataTable, Section
from drpflow.qa.photometry_data import Measurements, Photometry, read_measurements, read_photometry
from drpflow.qa.photometry_scores import by_magnitude, deviations, scatter, width
from drpflow.qa.photometry_section import photometry_section
from drpflow.qa.report import write_report
from drpflow.qa.residual_blocks import read_residuals
from tests.qa.photometric_run import (
    BIAS_MAG,
    CLOUDY_VISIT,
    COLOR_TERM,
    LOST,
    N_STARS,
    SKYPIX,
    Truth,
    columns_of,
    look_up_table,
    put,
    write_photometry,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Truth]:
    root = tmp_path_factory.mktemp("run")
    truth = write_photometry(root)
    return Store(root), truth


@pytest.fixture(scope="module")
def found(run: tuple[Store, Truth]) -> Photometry:
    result = read_photometry(run[0])
    assert result is not None
    return result


@pytest.fixture(scope="module")
def measured(run: tuple[Store, Truth], found: Photometry) -> Measurements:
    return Measurements.join(list(read_measurements(run[0], found)))


def table(section: Section, title: str) -> DataTable:
    (block,) = [b for b in section.blocks if b.title == title]
    assert block.table is not None
    return block.table


def test_measurements_have_the_magnitudes_that_were_put_in(
    run: tuple[Store, Truth], measured: Measurements
) -> None:
    truth = run[1]
    m = measured
    assert m.star.size == 6 * N_STARS - N_STARS // 4, "all but those of the lost image"
    expected = truth.mag[m.star - 100, m.band]
    np.testing.assert_allclose(m.standard, expected)
    biased = (m.detector == 0) & (m.x < 256 - 0.5) & (m.band == 1)
    off = m.mag - expected - BIAS_MAG * biased
    assert np.std(off) == pytest.approx(truth.noise_mag, rel=0.05)
    color = (truth.mag[:, 0] - truth.mag[:, 1])[m.star - 100]
    np.testing.assert_allclose(m.mag - m.mag_raw, COLOR_TERM * (color - 0.8), atol=1e-9)
    np.testing.assert_allclose(m.mag_err, truth.noise_mag, rtol=1e-6)
    assert (m.photometric == (m.visit != CLOUDY_VISIT)).all()


def test_what_the_stars_of_an_image_share_is_no_noise_of_theirs(
    run: tuple[Store, Truth], tmp_path: Path
) -> None:
    write_photometry(tmp_path, shared_mag=0.02)
    store = Store(tmp_path)
    found = read_photometry(store)
    assert found is not None
    for m in read_measurements(store, found):
        np.testing.assert_allclose(m.mag_err, run[1].noise_mag, rtol=1e-5)


def test_deviations_are_those_about_the_mean_of_each_star(measured: Measurements) -> None:
    off = deviations(measured)
    rng = np.random.default_rng(2)
    for row in rng.integers(0, measured.star.size, 20):
        same = (measured.star == measured.star[row]) & (measured.band == measured.band[row])
        n = int(same.sum())
        mine = measured.mag[row] - np.mean(measured.mag[same])
        expected = 1e3 * mine * np.sqrt(n / (n - 1)) if n >= 3 else np.nan
        assert off.corrected[row] == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_scatter_and_what_is_left_of_it_without_noise(measured: Measurements) -> None:
    off = deviations(measured)
    everything = np.ones(measured.star.size, bool)
    found = scatter(off, everything)
    assert found.corrected == pytest.approx(2.0, rel=0.06)
    assert found.noise == pytest.approx(2.0, rel=1e-3)
    assert found.first > 3 * found.corrected, "zero points of calibrateImage are 20 mmag off"
    assert found.intrinsic < 0.7, "there is nothing but noise"
    assert found.intrinsic_first == pytest.approx(np.hypot(found.first, 0), rel=0.05)
    bins = by_magnitude(measured, off, everything)
    assert [m for m, _ in bins] == [17.5, 18.5, 19.5]
    assert sum(s.number for _, s in bins) == found.number
    assert np.isnan(width(np.ones(3)))


def test_noise_that_differs_from_star_to_star_is_all_taken_off(measured: Measurements) -> None:
    rng = np.random.default_rng(7)
    error = 1e-3 * np.where(measured.star % 2, 1.0, 12.0)
    mag = measured.standard + rng.normal(0, np.hypot(error, 3e-3))
    noisy = dataclasses.replace(measured, mag=mag, mag_err=error)
    found = scatter(deviations(noisy), np.ones(error.size, bool))
    # In quadrature, a width less an rms, nothing would be left.
    assert found.intrinsic == pytest.approx(3.0, rel=0.15)
    assert found.noise < np.sqrt(np.mean((1e3 * error) ** 2))


def test_residual_map_shows_the_bias_where_it_is(
    run: tuple[Store, Truth], found: Photometry
) -> None:
    residuals = read_residuals(run[0], found)
    result = residuals.maps.band(found.bands.index("r"))
    left, right = np.hsplit(result.mean[0], 2)
    assert np.nanmean(left) == pytest.approx(1e3 * BIAS_MAG, abs=0.6)
    assert np.nanmean(right) == pytest.approx(0, abs=0.6)
    assert result.structure(0) == pytest.approx(1e3 * BIAS_MAG / 2, abs=0.6)
    assert result.structure(1) < 1.0
    other = residuals.maps.band(found.bands.index("g"))
    assert np.abs(np.nanmean(other.mean[0])) < 0.6
    # g: visits 1 and 5 are photometric; r: visits 2, 4 and 6.
    assert other.number[0] == 2 * N_STARS // 4
    assert result.number[0] == 3 * N_STARS // 4


def test_reserved_stars_alone_are_scored(run: tuple[Store, Truth], found: Photometry) -> None:
    residuals = read_residuals(run[0], found)
    assert residuals.reserved is not None
    assert residuals.reserved.reserved.all()
    clear, cloudy = (residuals.bright(photometric=p) for p in (True, False))
    assert clear.number > cloudy.number > 50


def test_chapter_of_the_calibration(run: tuple[Store, Truth]) -> None:
    store = run[0]
    section = photometry_section(store, read_all_outcomes(store.roots[0]))
    assert section is not None
    assert table(section, "What must be known").rows == [["<one> night is dark"],
                                                         ["another is not"]]  # fmt: skip
    lost = table(section, "Without a zero point").rows
    assert lost == [[str(LOST[0]), str(LOST[1]), "r", "clouds: too thick"]]
    rows = {row[0]: row for row in table(section, "Flags").rows}
    assert rows["g"][1:] == ["3", "12", "8", "0", "4", "0", "0", "3", "0", "0"]
    assert rows["r"][1:] == ["3", "12", "11", "0", "0", "0", "1", "3", "0", "0"]
    visit = {row[0]: row for row in table(section, "Zero points").rows}
    assert visit["3"][5] == "clouds"
    assert visit["3"][9] == "-300.0"
    assert visit["4"][4] == "3 / 4"
    assert (visit["3"][13], visit["4"][13]) == ("31.0", "–")
    assert visit["1"][1] == "2025-02-03"
    stars = {row[0]: row for row in table(section, "Standard stars").rows}
    assert stars["g"][1] == str(N_STARS)
    assert float(stars["g"][-1]) == pytest.approx(1.0)
    assert section.tiles[0].value == "6 / 6"


def test_products_without_another_flux_for_clouds(found: Photometry) -> None:
    assert found.has_cloud_flux
    columns = {n: v for n, v in found.zero_points.items() if n != "cloud_flux_offset"}
    assert not dataclasses.replace(found, zero_points=columns).has_cloud_flux


def test_chapter_of_the_stars(run: tuple[Store, Truth]) -> None:
    store = run[0]
    section = association_section(store, read_all_outcomes(store.roots[0]))
    assert section is not None
    tiles = {t.label: t.value for t in section.tiles}
    assert tiles["isolated stars"] == str(N_STARS)
    assert tiles["groups lost: not alone"] == "31"
    assert table(section, "By band").rows == [
        [band, "3", "400", "1200", "3.0", "3", "3"] for band in "gr"
    ]
    piece = table(section, "Pieces of the sky")
    row = dict(zip([c.name for c in piece.columns], piece.rows[0], strict=True))
    assert row["piece"] == str(SKYPIX)
    assert row["far stars"] == "5", "numbers that are new are shown too"
    assert row["outcome"] == "done"
    bright = table(section, "By brightness").rows
    assert sum(int(row[1]) for row in bright) == N_STARS


def test_report_has_both_chapters_and_is_self_contained(run: tuple[Store, Truth]) -> None:
    root = run[0].roots[0]
    for name in ("a.html", "b.html"):
        write_report(root, root / name)
    page = (root / "a.html").read_text()
    assert page == (root / "b.html").read_text()
    for key in ("association", "photometry"):
        assert f'id="{key}"' in page
    assert "&lt;one&gt; night is dark" in page
    assert 'src="http' not in page


@pytest.mark.parametrize(("tau", "error"), [(0.05, 0.01), (0.3, 0.0), (0.004, 0.02)])
def test_extinction_of_aerosols(tau: float, error: float) -> None:
    air = np.array([[3.0, 0.0], [260.0, 0.0], [tau, error], [1.0, 0.0]])
    value, sigma = extinction(look_up_table(), "g", air)
    # Between airmass 1 and 2 the path through a thin shell grows by 0.999.
    assert value == pytest.approx(1.0857 * tau, rel=2e-3)
    assert sigma == pytest.approx(1.0857 * error, rel=2e-3)


def test_nights(run: tuple[Store, Truth], found: Photometry) -> None:
    nights = nights_of(found, run[0].get("fgcm_look_up_table"))
    assert [n.night for n in nights] == [20250203, 20250204, 20250205]
    assert [n.photometric for n in nights] == [2, 1, 2]
    assert nights[0].values["pwv_mm"] == pytest.approx((3.0, 0.3))
    assert nights[0].extinction["g"][0] == pytest.approx(1.0857 * 0.05, rel=2e-3)
    assert nights_of(found)[0].extinction == {}


def test_terms_of_the_star_flat_have_unit_mean_square() -> None:
    for term in ("star_flat_10", "star_flat_02", "star_flat_11"):
        square = np.mean(flat_map([term], np.array([3.0])) ** 2)
        assert square == pytest.approx(9, rel=0.02)
    tilted = flat_map(["star_flat_00", "star_flat_10"], np.array([1.0, 2.0]))
    assert (np.diff(tilted, axis=1) > 0).all(), "the first index goes along x"
    assert np.ptp(tilted, axis=0) == pytest.approx(0)


def test_visits_in_the_order_of_time() -> None:
    order = Order.of([5, 3, 9, 4], [10.5, 10.2, np.nan, 9.0], [2, 2, 2, 1])
    assert order.visits.tolist() == [4, 3, 5, 9]
    assert order.place(np.array([9, 4, 3])).tolist() == [3, 0, 1]
    assert night_label(20250203) == "2025-02-03"
    assert night_label(60710) == "60710"
    assert night_label(20251345) == "20251345"


def test_the_meridian_is_a_place_like_any_other() -> None:
    assert middle_ra_deg(np.array([359.9, 0.1])) % 360 == pytest.approx(0, abs=1e-6)
    many = columns_of("isolated_stars", 30_000, ra=np.linspace(359, 361, 30_000) % 360)
    assert star_map(many).startswith("data:image/webp")


def _empty(store: Store, name: str, **data_id: int) -> None:
    put(store, name, columns_of(name, 0), **data_id)


def test_a_run_without_stars_or_zero_points(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert photometry_section(store, []) is None
    assert association_section(store, []) is None
    for name in ("isolated_stars", "isolated_stars_source", "fgcm_standard_stars"):
        _empty(store, name, skypix=SKYPIX)
    for name in ("fgcm_zero_points", "fgcm_parameters"):
        _empty(store, name)
    failed = photometry_section(store, [])
    assert failed is not None
    assert "failed" in failed.note
    section = association_section(store, [])
    assert section is not None
    assert section.tiles[0].value == "0"
    write_report(tmp_path, tmp_path / "index.html")


def test_pieces_of_the_sky_without_stars_beside_others(tmp_path: Path) -> None:
    write_photometry(tmp_path)
    store = Store(tmp_path)
    for name in ("isolated_stars", "isolated_stars_source", "fgcm_standard_stars"):
        _empty(store, name, skypix=SKYPIX + 1)
    association = association_section(store, [])
    assert association is not None
    assert [row[0] for row in table(association, "Pieces of the sky").rows] == [
        str(SKYPIX), str(SKYPIX + 1),
    ]  # fmt: skip
    section = photometry_section(store, [])
    assert section is not None
    assert table(section, "Standard stars").rows[0][1] == str(N_STARS)


def test_a_calibration_without_reserved_stars(tmp_path: Path) -> None:
    write_photometry(tmp_path, reserved=0.0)
    section = photometry_section(Store(tmp_path), [])
    assert section is not None
    (block,) = [b for b in section.blocks if b.title.startswith("Repeat")]
    assert "too few" in block.note
    assert all("reserved" not in tile.label for tile in section.tiles)


def test_a_calibration_of_visits_that_are_gone(tmp_path: Path) -> None:
    write_photometry(tmp_path)
    for folder in ("initial_visit_summary", "visit_info", "fgcm_photo_calib", "fgcm_parameters"):
        _remove(tmp_path / folder)
    section = photometry_section(Store(tmp_path), [])
    assert section is not None
    lost: Any = table(section, "Without a zero point").rows
    assert lost == [[str(LOST[0]), str(LOST[1]), "r", "–"]]


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
