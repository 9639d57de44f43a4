"""What is gathered of a visit, from products whose numbers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drpflow.data.table import Table
from drpflow.io.schemas import load_schema
from drpflow.io.store import Store
from drpflow.qa.astrometry_figures import residual_vectors
from drpflow.qa.canvas import to_focal_plane, turned
from drpflow.qa.flags_section import flag_counts, flags_section
from drpflow.qa.psf_figures import NODES, psf_map, sample_psf, size_limits, size_residuals
from drpflow.qa.visit_data import read_visit
from tests.qa.calibrated_run import DETECTORS, LOST, SIDE, elongated_psf, write_run


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_run(tmp_path_factory.mktemp("run"))


def test_psf_on_a_grid_has_the_size_and_the_angle_of_the_model() -> None:
    grid = sample_psf(elongated_psf(30), DETECTORS[0], 0.2)
    assert grid.unit == "arcsec"
    # σ grows from 2 to 2.1 along x; the middles of the outer cells are a tenth of the side in.
    expected = 2.3548 * 0.2 * (2.0 + 0.1 * (np.arange(NODES) + 0.5) / NODES)
    np.testing.assert_allclose(grid.size, np.broadcast_to(expected, (NODES, NODES)), rtol=2e-3)
    angle = np.degrees(np.arctan2(grid.e2, grid.e1) / 2)
    np.testing.assert_allclose(angle, 30, atol=0.5)
    np.testing.assert_allclose(grid.ellipticity, 0.06, atol=0.001)


def test_psf_without_scale_is_in_pixels() -> None:
    grid = sample_psf(elongated_psf(0), DETECTORS[0], float("nan"))
    assert grid.unit == "pix"
    assert grid.size.mean() == pytest.approx(2.3548 * 2.05, rel=2e-3)


def test_places_and_vectors_turn_with_the_detector() -> None:
    d = DETECTORS[1]  # by 90 degrees: +x of the detector is +y of the focal plane
    middle = (SIDE - 1) / 2
    x, y = to_focal_plane(d, [middle, middle + 100], [middle, middle])
    assert (x[0], y[0]) == pytest.approx(d.center_mm)
    assert (x[1] - x[0], y[1] - y[0]) == pytest.approx((0, 1.5))
    u, v = turned(d, [1.0], [0.0])
    assert (u[0], v[0]) == pytest.approx((0, 1))


def test_residuals_point_from_the_reference_to_the_source(store: Store) -> None:
    data = read_visit(store, 7)
    found = data.residuals()
    assert sorted(found) == [d.id for d in DETECTORS if d.id != LOST]
    for key, r in found.items():
        wcs = data.component("wcs", key)
        assert data.stars is not None
        stars = data.stars.select(
            (data.stars["detector"] == key) & (data.stars["reference_id"] > 0)
        )
        if "reference_offset_ra" not in stars:
            assert np.isnan(r.dx).all()
            continue
        # Where the source is on the sky, less the offset, is where the reference star is.
        ra, dec = wcs.pixel_to_world_values(r.x, r.y)
        ra = ra - stars["reference_offset_ra"] / 3600 / np.cos(np.radians(dec))
        x, y = wcs.world_to_pixel_values(ra, dec - stars["reference_offset_dec"] / 3600)
        np.testing.assert_allclose(200 * (r.x - x), r.dx, atol=0.05)
        np.testing.assert_allclose(200 * (r.y - y), r.dy, atol=0.05)
        np.testing.assert_allclose(np.hypot(r.dx, r.dy), r.distance, rtol=2e-3)


def test_only_used_and_reserved_stars_are_compared_with_the_psf(store: Store) -> None:
    found = read_visit(store, 7).psf_stars()
    assert len(found[0].x) == 35
    assert found[0].reserved.sum() == 7
    assert np.abs(found[0].excess).max() < 0.1


def test_magnitudes_are_ab_where_there_is_a_zero_point(store: Store) -> None:
    data = read_visit(store, 7)
    sizes = data.sizes()
    assert sizes is not None
    assert sizes.calibrated
    assert len(sizes.magnitude) == 3 * 38
    assert sizes.used.sum() == 3 * 35
    # 1 µJy is 23.9 mag; fluxes are 1 µJy to 1 mJy.
    assert 16.3 < sizes.magnitude.min() < sizes.magnitude.max() < 23.91
    assert sizes.size_pix.mean() == pytest.approx(np.sqrt(4.4), rel=0.01)


def test_a_lost_detector_leaves_a_hole_and_no_error(store: Store) -> None:
    data = read_visit(store, 7)
    assert set(data.detectors) == {d.id for d in DETECTORS}
    kept = {d.id for d in DETECTORS} - {LOST}
    assert set(data.psf_grids()) == set(data.backgrounds) == set(data.thumbnails) == kept
    assert np.isnan(data.fwhm_arcsec[LOST])
    assert data.ellipticity[0] == pytest.approx(0.06)


def test_a_visit_without_stars(tmp_path: Path) -> None:
    store = write_run(tmp_path)
    store.put(
        Table.empty(load_schema("initial_stars").without({"visit"})), "initial_stars", visit=7
    )
    data = read_visit(store, 7)
    assert data.stars is None
    assert data.sizes() is None
    assert data.residuals() == data.psf_stars() == {}


def test_background_is_that_of_all_layers(store: Store) -> None:
    background = read_visit(store, 7).backgrounds[0]
    assert background.shape == (64, 64)
    assert float(np.mean(background)) == pytest.approx(300, abs=2)


def test_figures_of_nothing() -> None:
    for picture in (
        psf_map({}, DETECTORS), size_residuals({}, DETECTORS), residual_vectors({}, DETECTORS),
    ):  # fmt: skip
        assert picture.startswith("data:image/webp;base64,")


def test_colours_do_not_blow_up_what_is_constant() -> None:
    low, high = size_limits(np.full(5, 2.0))
    assert (low, high) == pytest.approx((1.96, 2.04))
    assert size_limits(np.array([1.0, 3.0])) == pytest.approx((1.0, 3.0))


def test_flags_are_counted_among_sources_only(store: Store) -> None:
    stars = read_visit(store, 7).stars
    assert stars is not None
    counts = flag_counts(7, stars)
    # Three detectors with 40 rows, of which two are sky; rows 0, 10, 20, 30 are saturated.
    assert counts.sources == 114
    assert counts.counts["pixelFlags_saturated"] == 12
    section = flags_section([counts])
    used, wrong = (block.table for block in section.blocks)
    assert used is not None
    assert wrong is not None
    assert [c.name for c in wrong.columns] == ["visit", "saturated"]
    assert wrong.rows == [["7", "10.53"]]
    assert used.rows[0][:4] == ["7", "114", "114", "84"]


def test_a_run_without_calibrated_visits(tmp_path: Path) -> None:
    assert "none" in flags_section([]).note
    assert Store(tmp_path).query("initial_visit_summary") == []
