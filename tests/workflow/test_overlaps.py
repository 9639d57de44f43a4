"""Pieces of the sky by visit: none missed, few for nothing."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from drpflow.config.skypix import SkypixConfig
from drpflow.data.camera import Camera
from drpflow.data.healpix import pixels_of_deg
from drpflow.data.sky_wcs import SkyWcs
from drpflow.io.sheets import ExposureRow, VisitRow
from drpflow.workflow.number_lists import grouped_numbers, grouped_spans, numbers, spans
from drpflow.workflow.overlaps import Overlaps
from drpflow.workflow.presence import Presence
from drpflow.workflow.survey import Frame, Survey
from tests.workflow.small_survey import camera_values

PLACES = ((0.0, 0.0), (359.99, -60.0), (45.0, 41.81), (120.0, 89.7), (10.0, -90.0))


def wide_camera(**more: object) -> Camera:
    """Four detectors of 0.4 by 0.3 degrees."""
    values = camera_values(4)
    values["optics"] = {"plate_scale_arcsec_per_mm": 1500.0}
    for k, detector in enumerate(values["detectors"]):
        detector["center_mm"] = [1.1 * (k % 2) - 0.5, 0.9 * (k // 2) - 0.4]
        detector["rotation_deg"] = 90.0 * k
    return Camera.model_validate(values | more)


def overlaps(
    camera: Camera, rotation_deg: float | None, order: int, margin_deg: float = 0.0
) -> tuple[list[VisitRow], Overlaps]:
    rows = [
        VisitRow(v, "n", "g1", "g", 30.0, 61000.0, *place, rotation_deg)
        for v, place in enumerate(PLACES, 1)
    ]
    frames = [Frame(ExposureRow(r.visit, d.id, "x"), {}) for r in rows for d in camera.detectors]
    survey = Survey(rows, frames, camera, Presence(lambda row: False))
    return rows, Overlaps(survey, SkypixConfig(association_order=order, margin_deg=margin_deg))


def pixels_of_frames(camera: Camera, row: VisitRow, order: int, turn: float) -> set[str]:
    found = set()
    for detector in camera.detectors:
        wcs = SkyWcs.from_camera(camera, detector, row.ra_deg, row.dec_deg, turn)
        nx, ny = detector.size_pix
        x, y = np.meshgrid(np.linspace(-0.5, nx - 0.5, 150), np.linspace(-0.5, ny - 0.5, 150))
        sky = wcs.pixel_to_world_values(x.ravel(), y.ravel())
        found |= set(map(str, pixels_of_deg(order, *sky).tolist()))
    return found


@pytest.mark.parametrize("order", [5, 7, 9])
@pytest.mark.parametrize("rotation_deg", [0.0, 33.0])
def test_every_piece_that_a_frame_touches(order: int, rotation_deg: float) -> None:
    camera = wide_camera()
    rows, found = overlaps(camera, rotation_deg, order)
    for row in rows:
        wanted = pixels_of_frames(camera, row, order, rotation_deg)
        named = {pixel for pixel, visits in found.visits.items() if str(row.visit) in visits}
        assert wanted <= named
        assert len(named) < 2.1 * len(wanted) + 6


def test_unknown_rotation() -> None:
    camera = wide_camera()
    rows, found = overlaps(camera, None, 8)
    for row in rows:
        named = {pixel for pixel, visits in found.visits.items() if str(row.visit) in visits}
        for turn in (0.0, 45.0, 77.0, 200.0):
            assert pixels_of_frames(camera, row, 8, turn) <= named


def test_frames_with_a_wcs_of_their_own_may_lie_off_the_boresight() -> None:
    """Where the header gives the place of a corner."""
    camera = wide_camera(wcs_from="header")
    row, found = overlaps(camera, 0.0, 8)[0][0], overlaps(camera, 0.0, 8)[1]
    named = {pixel for pixel, visits in found.visits.items() if "1" in visits}
    shifted = row._replace(ra_deg=0.2, dec_deg=0.2)
    assert pixels_of_frames(camera, shifted, 8, 0.0) <= named


def test_margin() -> None:
    camera = wide_camera()
    rows, found = overlaps(camera, 0.0, 8, margin_deg=0.3)
    named = {pixel for pixel, visits in found.visits.items() if "1" in visits}
    for dec in (-0.29, 0.29):
        assert pixels_of_frames(camera, rows[0]._replace(dec_deg=dec), 8, 0.0) <= named


def test_what_the_rules_look_up() -> None:
    found = overlaps(wide_camera(), 0.0, 6)[1]
    pixel = next(p for p, visits in found.visits.items() if visits == ["4"])
    wildcards = SimpleNamespace(skypix=pixel)
    assert found.of_skypix("a/{visit}")(wildcards) == ["a/4"]
    assert found.visit_list(wildcards) == "4"
    assert found.memory_mb(wildcards, 2) == 2 * found.memory_mb(wildcards, 1)
    assert f"b/{pixel}" in found.expand("b/{skypix}")
    assert len(found.expand("b/{skypix}")) == len(found.visits)


@pytest.mark.parametrize("order", [5, 9])
def test_each_visit_is_counted_by_one_piece(order: int) -> None:
    found = overlaps(wide_camera(), 0.0, order)[1]
    named: dict[int, list[str]] = {}
    for pixel in found.visits:
        counted = grouped_numbers(found.counted_visits(SimpleNamespace(skypix=pixel)))
        for visit, pieces in counted.items():
            assert int(pixel) == min(pieces)
            assert visit not in named
            named[visit] = [str(piece) for piece in pieces]
    assert sorted(named) == [1, 2, 3, 4, 5]
    for visit, pieces in named.items():
        assert set(pieces) == {p for p, visits in found.visits.items() if str(visit) in visits}


def test_numbers_in_few_words() -> None:
    assert spans([7, 1, 2, 3, 9, 3]) == "1-3,7,9"
    assert spans([]) == ""
    assert spans([0]) == "0"
    for values in ([], [5], [1, 2], list(range(100)), [3, 5, 6, 7, 100]):
        assert numbers(spans(values)) == values


def test_numbers_of_numbers() -> None:
    assert grouped_spans({}) == ""
    assert grouped_numbers("") == {}
    for groups in ({1: [4]}, {1: [4, 5], 2: [5, 4], 3: [4, 5], 7: [9, 2]}):
        there = {number: sorted(theirs) for number, theirs in groups.items()}
        assert grouped_numbers(grouped_spans(groups)) == there
    assert grouped_spans({1: [4, 5], 2: [5, 4], 3: [4, 5], 7: [9, 2]}) == "1-3:4-5;7:2,9"
