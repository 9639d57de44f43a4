"""calibrateImage on frames of a crowded field: they calibrate, and agree with each other.

``docs/real-frames.md`` has the figures of all frames.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from drpflow import cli
from drpflow.algorithms.isr.context import frame_context
from drpflow.algorithms.relative_reference import relative_reference
from drpflow.algorithms.sky_match import match_nearest
from drpflow.data.exposure import Exposure
from drpflow.ingest.run import ingest
from drpflow.io.camera_yaml import load_camera
from drpflow.io.frame_geometry import read_geometry
from drpflow.io.isr_files import read_pixels
from drpflow.io.records import write_component_json
from drpflow.io.run_yaml import load_run
from drpflow.tasks.calibrate_image import CalibrateImageResult, calibrate_image
from drpflow.tasks.isr import isr
from drpflow.tasks.make_visit_info import make_visit_info

FRAMES = Path(__file__).parents[3] / "shared" / "data" / "saao_kb131475"
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not FRAMES.is_dir(), reason="the real frames are not here"),
]
CAMERA = "saao1m_ste3"
# The sharpest, one of twice its size, and two whose images are elongated and have a flat top.
REFERENCE, *OTHERS = VISITS = (100, 2, 77, 172)
PIXEL_ARCSEC = 0.31
BRIGHTEST = 25


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def detrended(folder: Path, visit: int) -> Exposure:
    (sheet,) = (row for row in rows(folder / "visits.tsv") if row["visit"] == str(visit))
    (frame,) = (row for row in rows(folder / "exposures.tsv") if row["visit"] == str(visit))
    info, _ = make_visit_info(sheet, load_camera(CAMERA))
    write_component_json(folder / "visit_info.json", info)
    geometry = read_geometry(CAMERA, int(frame["detector"]), folder / "visit_info.json")
    given = read_pixels(geometry, {"raw": Path(frame["path"]), "hdu": frame["hdu"]})
    of = given.of
    context = frame_context(
        of.camera, of.detector, of.visit_info, given.frame.header, frame["path"],
        weight=given.weight, mask=given.mask,
    )  # fmt: skip
    config = load_run(folder / "run" / "config" / "config.yaml").isr
    calibrations = given.calibrations
    return isr(given.frame.data, of.detector, of.visit_info, calibrations, config, context).exposure


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[int, CalibrateImageResult]:
    """The frames, calibrated with the stars of the sharpest one."""
    folder = tmp_path_factory.mktemp("saao")
    assert cli.main(["init", str(folder / "run"), "--camera", CAMERA]) == 0
    config = load_run(folder / "run" / "config" / "config.yaml").calibrateImage
    ingest(FRAMES, load_camera(CAMERA), folder)
    exposures = {visit: detrended(folder, visit) for visit in VISITS}
    first = exposures[REFERENCE]
    alone = calibrate_image(first, first.visit_info, None, config)
    assert alone.tables[0] is not None
    reference = relative_reference(alone.tables[0], first.wcs, first.visit_info, 25.0)
    return {
        visit: calibrate_image(exposure, exposure.visit_info, reference, config)
        for visit, exposure in exposures.items()
    }


@pytest.mark.parametrize("visit", VISITS)
def test_a_crowded_frame_calibrates(results: dict[int, CalibrateImageResult], visit: int) -> None:
    result = results[visit]
    assert result.failure is None
    assert result.numbers["psf_stars"] >= 10
    assert result.numbers["n_used"] >= 100, "stars behind the WCS"
    hit = float(result.images[0].mask.any(("CR",)).mean())
    assert hit < 0.002, "stars are not taken for cosmic rays"


def isolated(places: np.ndarray, flux: np.ndarray) -> np.ndarray:
    """Return the stars whose neighbours within 3″ hold less than 5 % of their light."""
    near = cKDTree(places).query_ball_point(places, 3.0)
    return np.array([flux[k].sum() / flux[i] for i, k in enumerate(near)]) < 1.05


@pytest.mark.parametrize("visit", OTHERS)
def test_bright_stars_agree(results: dict[int, CalibrateImageResult], visit: int) -> None:
    first, other = results[REFERENCE].tables[0], results[visit].tables[0]
    assert first is not None
    assert other is not None
    places = 3600 * np.column_stack(
        [first["ra"] * np.cos(np.radians(first["dec"].mean())), first["dec"]]
    )
    alone = isolated(places, np.where(first["psfFlux"] > 0, first["psfFlux"], 0))
    usable = ~other["sky_source"] & ~other["psfFlux_flag"] & ~other["pixelFlags_edge"]
    usable &= ~other["pixelFlags_saturatedCenter"]
    first = {name: values[alone] for name, values in first.items()}
    other = {name: values[usable] for name, values in other.items()}
    pairs = match_nearest(first["ra"], first["dec"], other["ra"], other["dec"], 0.3)
    order = np.argsort(-other["psfFlux"][pairs.second])[:BRIGHTEST]
    i, j = pairs.first[order], pairs.second[order]
    mag = -2.5 * np.log10(other["psfFlux"][j] / first["psfFlux"][i])
    assert np.median(np.abs(mag - np.median(mag))) < 0.02, "of two frames, magnitudes"
    cosine = np.cos(np.radians(first["dec"][i]))
    east = 3600 * (other["ra"][j] - first["ra"][i]) * cosine
    north = 3600 * (other["dec"][j] - first["dec"][i])
    for offset in (east, north):
        spread = 1.4826 * np.median(np.abs(offset - np.median(offset)))
        assert spread < 0.08 * PIXEL_ARCSEC, "of two frames, pixels"
