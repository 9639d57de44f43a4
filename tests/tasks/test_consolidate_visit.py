"""consolidateVisit: what it rescues, how well, what it drops, and what it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from drpflow.config.consolidate_visit import ConsolidateVisitConfig
from drpflow.data.plane_maps import AffineMap
from drpflow.data.visit_info import VisitInfo
from drpflow.tasks.consolidate_visit import (
    HELD,
    ConsolidatedVisit,
    DetectorProducts,
    consolidate_visit,
)
from tests.tasks.visit_scene import NX, NY, Scene, camera, scene

CONFIG = ConsolidateVisitConfig()


def consolidate(
    given: Scene, *, references: bool = True, config: ConsolidateVisitConfig = CONFIG
) -> ConsolidatedVisit:
    stars = given.references if references else None
    return consolidate_visit(given.products, camera(), given.visit_info, config, stars)


def wcs_error_pix(given: Scene, found: ConsolidatedVisit, number: int) -> float:
    x, y = (g.ravel() for g in np.meshgrid(np.linspace(0, NX, 9), np.linspace(0, NY, 9)))
    place = given.truth[number].pixel_to_world_values(x, y)
    u, v = found.summary.rows[number].components["wcs"].world_to_pixel_values(*place)
    return float(np.sqrt(np.mean((u - x) ** 2 + (v - y) ** 2)))


def zero_point_error_mag(given: Scene, found: ConsolidatedVisit, number: int) -> float:
    calibration = found.summary.rows[number].components["photo_calib"]
    return float(calibration.zero_point_mag - given.zero_points_mag[number])


def column(found: ConsolidatedVisit, name: str) -> Any:
    return np.asarray(found.summary.columns[name])


def test_a_visit_without_faults_passes_through() -> None:
    given = scene()
    found = consolidate(given)
    assert found.problem is None
    for number, row in found.summary.rows.items():
        for name, item in given.products[number].components.items():
            assert row.components[name] is item
    assert set(column(found, "wcs_source")) == {"fit"}
    assert set(column(found, "photo_calib_source")) == {"fit"}
    assert not column(found, "wcs_rejected").any()
    assert found.numbers["usable"] == 9
    assert found.numbers["pointing_offset_arcsec"] == pytest.approx(29.7, abs=1)
    # One of the 60 rows of each detector is a place of sky.
    assert found.numbers["stars"] == len(found.stars["x"]) == 9 * 59
    assert not found.stars["sky_source"].any()


@pytest.mark.parametrize(("ra", "dec"), [(359.95, -35.0), (120.0, 89.95)])
def test_a_spoiled_detector_is_rescued_by_the_others_and_its_stars(ra: float, dec: float) -> None:
    given = scene(ra_deg=ra, dec_deg=dec)
    given.spoil(3, "wcs", "photo_calib", reason="astrometry: no match")
    found = consolidate(given)
    assert wcs_error_pix(given, found, 3) < 0.05
    assert abs(zero_point_error_mag(given, found, 3)) < 0.005
    assert column(found, "wcs_source")[3] == "stars"
    assert column(found, "photo_calib_source")[3] == "stars"
    assert column(found, "wcs_error")[3] < 0.1
    assert found.problem is None
    assert "wcs" not in found.summary.rows[3].missing
    # Its stars have positions, fluxes and statistics now.
    own = slice(3 * 59, 4 * 59)
    row = found.summary.rows[3].components
    x, _ = row["wcs"].world_to_pixel_values(found.stars["ra"][own], found.stars["dec"][own])
    np.testing.assert_allclose(x, found.stars["x"][own], atol=1e-6)
    factor = row["photo_calib"].mean
    np.testing.assert_allclose(
        found.stars["psfFlux"][own], factor * found.stars["psfFlux_instFlux"][own]
    )
    assert column(found, "magLim")[3] == pytest.approx(row["summary_stats"]["magLim"])
    assert column(found, "zeroPoint")[3] == pytest.approx(row["photo_calib"].zero_point_mag)
    assert column(found, "nPsfStar")[3] == 20


def test_most_of_a_visit_is_rescued_from_one_detector() -> None:
    given = scene(2)
    for number in range(1, 9):
        given.spoil(number, "wcs", "photo_calib")
    found = consolidate(given)
    assert max(wcs_error_pix(given, found, d) for d in range(9)) < 0.1
    assert max(abs(zero_point_error_mag(given, found, d)) for d in range(9)) < 0.01


def test_without_references_the_pointing_and_the_neighbours_stand_in() -> None:
    given = scene(3)
    given.spoil(4, "wcs", "photo_calib")
    found = consolidate(given, references=False)
    # Half a pixel of offset is in the detector's place, which the others cannot know.
    assert wcs_error_pix(given, found, 4) < 2.5
    assert abs(zero_point_error_mag(given, found, 4)) < 0.06
    assert column(found, "wcs_source")[4] == "pointing"
    assert column(found, "photo_calib_source")[4] == "neighbors"
    assert 0.1 < column(found, "wcs_error")[4] < 1.0
    error = found.summary.rows[4].components["photo_calib"].zero_point_error_mag
    assert 0.02 < error < 0.06


def test_known_responses_sharpen_the_neighbours_zero_point() -> None:
    given = scene(3)
    given.spoil(4, "photo_calib")
    response = {d: z - 31.0 for d, z in given.zero_points_mag.items()}
    config = ConsolidateVisitConfig(rescue={"response_mag": {"rr": response}})
    found = consolidate(given, references=False, config=config)
    assert abs(zero_point_error_mag(given, found, 4)) < 0.003
    assert column(found, "wcs_source")[4] == "fit"


def test_crowded_references_do_not_mislead() -> None:
    """Twenty references a star: within 3 arcsec of each star lie several."""
    given = scene(4, density=100, crowding=20)
    given.spoil(5, "wcs", "photo_calib")
    found = consolidate(given)
    assert column(found, "wcs_source")[5] == "stars"
    assert wcs_error_pix(given, found, 5) < 0.1
    assert abs(zero_point_error_mag(given, found, 5)) < 0.01


def test_shuffled_references_move_nothing() -> None:
    """Chance pairs never pile up: 0 of 40 detectors are taken for matched."""
    taken = 0
    for seed in range(5):
        given = scene(seed, density=80, crowding=5)
        for number in range(1, 9):
            given.spoil(number, "wcs", "photo_calib")
        rng = np.random.default_rng(seed)
        columns = given.references.to_columns()
        columns["ra"] = columns["ra"] + rng.uniform(-0.03, 0.03, len(columns["ra"]))
        columns["dec"] = columns["dec"] + rng.uniform(-0.03, 0.03, len(columns["dec"]))
        given.references = type(given.references).from_columns(columns)
        taken += int((column(consolidate(given), "wcs_source") == "stars").sum())
    assert taken == 0


def test_a_wrong_wcs_is_outvoted() -> None:
    given = scene(5)
    wrong = given.truth[2].with_visit_map(AffineMap(np.eye(2), np.array([0.02, 0.0])))
    given.replace(2, wcs=wrong)
    found = consolidate(given)
    assert list(np.flatnonzero(column(found, "wcs_rejected"))) == [2]
    assert column(found, "wcs_offset")[2] == pytest.approx(72.0, rel=0.02)
    assert column(found, "wcs_source")[2] == "stars"
    assert wcs_error_pix(given, found, 2) < 0.05
    assert found.problem is None
    # What its wrong WCS had matched is forgotten, and other stars are matched instead.
    own = {name: values[2 * 59 : 3 * 59] for name, values in found.stars.items()}
    assert not own["calib_astrometry_used"].any()
    matched = own["reference_id"] != 0
    assert 40 < matched.sum() == np.isfinite(own["reference_separation"]).sum()
    assert np.nanmax(own["reference_separation"]) < 0.5
    assert 40 < own["calib_photometry_used"].sum() == column(found, "nPhotomStar")[2]


def test_a_detector_that_the_camera_file_misplaces_keeps_its_wcs() -> None:
    """It is 30 arcsec off the pointing, but its stars stand where the catalogue has them."""
    given = scene(5, misplaced={2: (1.5, 0.0)})
    found = consolidate(given)
    assert not column(found, "wcs_rejected").any()
    assert set(column(found, "wcs_source")) == {"fit"}
    assert column(found, "wcs_offset")[2] == pytest.approx(30.0, rel=0.02)
    assert found.summary.rows[2].components["wcs"] is given.products[2].components["wcs"]


def test_two_that_disagree_are_left_alone() -> None:
    """Nobody can say which of two is right; neither is touched, and nothing is made from them."""
    given = scene(6)
    for number in range(2, 9):
        given.spoil(number, "wcs", "photo_calib")
    wrong = given.truth[1].with_visit_map(AffineMap(np.eye(2), np.array([0.02, 0.0])))
    given.replace(1, wcs=wrong)
    found = consolidate(given)
    assert list(column(found, "wcs_source")) == ["fit"] * 2 + ["none"] * 7
    assert np.isnan(column(found, "boresight_ra")).all()


def test_a_detector_without_a_psf_stays_lost() -> None:
    given = scene(7)
    given.spoil(8, "psf", "wcs", "photo_calib", "ap_corr", reason="4 stars, 6 make a PSF")
    given.products[8] = DetectorProducts(
        given.products[8].components, given.products[8].missing, {}
    )
    found = consolidate(given)
    assert column(found, "lost")[8] == "psf: 4 stars, 6 make a PSF"
    assert found.summary.rows[8].components.get("photo_calib") is None
    assert found.problem is not None
    assert "detector 8: psf: 4 stars, 6 make a PSF" in found.problem.message
    assert found.problem.numbers == {"detectors": 9, "lost": 1}
    assert found.numbers["usable"] == 8
    assert column(found, "n_stars")[8] == 0


def test_a_visit_of_which_nothing_succeeded_is_complete() -> None:
    given = scene(8)
    reasons = {"psf": "no stars", "wcs": "no stars", "photo_calib": "no stars"}
    given.products = {d: DetectorProducts({}, reasons) for d in range(9)}
    found = consolidate(given)
    assert found.stars == {}
    assert set(column(found, "wcs_source")) == {"none"}
    assert found.problem is not None
    assert found.problem.message == "no detector is usable; detector 0: psf: no stars"
    assert all(not row.components for row in found.summary.rows.values())


def test_no_pointing_in_the_header_rescues_nothing() -> None:
    given = scene(9)
    given.spoil(1, "wcs", "photo_calib")
    given.visit_info = VisitInfo(visit=7, band="r")
    found = consolidate(given)
    assert column(found, "wcs_source")[1] == "none"
    assert column(found, "photo_calib_source")[1] == "neighbors"
    assert column(found, "lost")[1] == "wcs: it failed"


def test_stars_say_how_far_from_their_references_they_are() -> None:
    given = scene(5)
    given.spoil(6, "wcs", "photo_calib")
    found = consolidate(given)
    own = {name: values[6 * 59 : 7 * 59] for name, values in found.stars.items()}
    offset = np.hypot(own["reference_offset_ra"], own["reference_offset_dec"])
    matched = own["reference_id"] != 0
    np.testing.assert_allclose(offset[matched], own["reference_separation"][matched], atol=2e-4)
    assert matched.sum() > 40
    assert np.isnan(offset[~matched]).all()


def test_columns_fit_the_schema_and_components_the_dataset_type() -> None:
    from drpflow.data.table import Table
    from drpflow.io.datasets import DatasetTable
    from drpflow.io.schemas import load_schema

    given = scene(10)
    given.spoil(0, "wcs")
    found = consolidate(given)
    columns = {"detector": list(found.summary.rows), **found.summary.columns}
    table = Table.from_columns(columns, load_schema("initial_visit_summary"))
    assert len(table) == 9
    assert DatasetTable.load().dataset("initial_visit_summary").holds == HELD


def test_twice_gives_the_same() -> None:
    given = scene(11)
    given.spoil(3, "wcs", "photo_calib")
    a, b = consolidate(given), consolidate(given)
    assert a.summary.rows[3].components["wcs"] == b.summary.rows[3].components["wcs"]
    for name, values in a.stars.items():
        np.testing.assert_array_equal(values, b.stars[name])
