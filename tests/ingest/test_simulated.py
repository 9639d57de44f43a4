"""Frames with the simulator's headers: the sheets tell the truth, and a draft finds the layout.

The pixels are blank; headers and camera file are those that ``drpflow simulate`` writes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drpflow.data.camera import Camera
from drpflow.ingest.camera_check import camera_faults
from drpflow.ingest.draft import draft_camera
from drpflow.ingest.run import ingest
from drpflow.io.camera_yaml import load_camera
from drpflow.sim.amplifiers import channels, raw_shape
from drpflow.sim.camera_file import camera_text
from drpflow.sim.survey import Survey
from drpflow.sim.writer import raw_path, section_cards, visit_cards, write_image
from tests.sim.surveys import build

MILLISECOND_DAY = 1e-3 / 86400


@pytest.fixture(scope="module")
def survey() -> Survey:
    return build()


@pytest.fixture(scope="module")
def folder(survey: Survey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every frame of the tiny survey, without pixels of interest."""
    folder = tmp_path_factory.mktemp("sim")
    (folder / "camera.yaml").write_text(camera_text(survey.instrument, survey.config.detector))
    for visit in survey.visits:
        for ccd in survey.instrument.detectors:
            layout = channels(ccd.size_pix, survey.config.detector.electronics)
            cards = [
                *visit_cards(visit, survey.instrument),
                ("CCDNUM", ccd.id, "detector number"),
                ("CCDNAME", ccd.name, "detector name"),
                ("BUNIT", "adu", "unit of the pixels"),
                *section_cards(ccd, survey.config.detector),
            ]
            name = survey.instrument.name
            path = raw_path(folder / "raw", name, visit.night, visit.visit, ccd.id)
            write_image(path, np.full(raw_shape(layout), 1000, np.uint16), cards)
    return folder


@pytest.fixture(scope="module")
def camera(folder: Path) -> Camera:
    return load_camera(folder / "camera.yaml")


def test_every_frame_is_taken(folder: Path, survey: Survey, camera: Camera, tmp_path: Path) -> None:
    result = ingest(folder / "raw", camera, tmp_path)
    assert [row.reason for row in result.scan.rejected] == []
    assert not result.scan.notes
    expected = {(v.visit, d.id) for v in survey.visits for d in survey.instrument.detectors}
    assert {(row.visit, row.detector) for row in result.survey.exposures} == expected


def test_the_visit_sheet_tells_the_truth(
    folder: Path, survey: Survey, camera: Camera, tmp_path: Path
) -> None:
    rows = {row.visit: row for row in ingest(folder / "raw", camera, tmp_path).survey.visits}
    for truth in survey.visits:
        row = rows[truth.visit]
        assert abs(row.mjd - truth.mjd_tai) < 2 * MILLISECOND_DAY
        assert row.night == truth.night
        assert (row.physical_filter, row.band) == (truth.physical_filter, truth.band)
        # RA is written to 1 ms of time, 15 mas; Dec to 10 mas.
        assert row.ra_deg == pytest.approx(truth.header_ra_deg, abs=8e-3 / 3600)
        assert row.dec_deg == pytest.approx(truth.header_dec_deg, abs=6e-3 / 3600)
        assert row.rotation_deg == pytest.approx(truth.header_rotation_deg, abs=1e-4)
        assert row.hour_angle_deg == pytest.approx(truth.hour_angle_deg, abs=1e-3)


def test_airmass_and_hour_angle_agree_with_an_independent_computation(
    folder: Path, survey: Survey, camera: Camera, tmp_path: Path
) -> None:
    """The simulator computes both by formulae of its own."""
    computed = {"airmass", "hour_angle_deg"}
    header = {name: rule for name, rule in camera.header.items() if name not in computed}
    bare = camera.model_copy(update={"header": header})
    rows = {row.visit: row for row in ingest(folder / "raw", bare, tmp_path).survey.visits}
    for truth in survey.visits:
        assert rows[truth.visit].airmass == pytest.approx(truth.airmass, abs=2e-3)
        assert rows[truth.visit].hour_angle_deg == pytest.approx(truth.hour_angle_deg, abs=0.02)


def test_a_draft_finds_the_layout_of_the_amplifiers(
    folder: Path, camera: Camera, tmp_path: Path
) -> None:
    name, text = draft_camera(sorted((folder / "raw").rglob("*.fits")), "drafted")
    path = tmp_path / f"{name}.yaml"
    path.write_text(text)
    draft = load_camera(path)
    assert [(d.id, d.name) for d in draft.detectors] == [(d.id, d.name) for d in camera.detectors]
    for found, real in zip(draft.detectors, camera.detectors, strict=True):
        assert found.size_pix == real.size_pix
        assert found.raw_size_pix == real.raw_size_pix
        for ours, theirs in zip(found.amplifiers, real.amplifiers, strict=True):
            # No card tells the parallel overscan.
            assert ours == theirs.model_copy(update={"raw_parallel_overscan": None})
    result = ingest(folder / "raw", draft, tmp_path / "sheets")
    assert not result.scan.rejected
    assert {f.band for f in draft.filters} <= {f.band for f in camera.filters}


def test_the_simulated_camera_has_no_faults(camera: Camera) -> None:
    without_files = tuple(f.model_copy(update={"throughput": None}) for f in camera.filters)
    assert camera_faults(camera.model_copy(update={"filters": without_files})) == []
