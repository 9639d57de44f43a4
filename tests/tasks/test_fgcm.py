"""fgcm by its script: files of a simulated survey in, calibrations out."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from drpflow.data.photo_calib import NJY_ZERO_POINT_MAG
from drpflow.io.cache import ComponentCache
from drpflow.io.component_tables import ComponentRows
from drpflow.io.exposure_fits import read_component
from drpflow.io.fits_index import FitsIndex
from drpflow.io.records import read_component_json, write_component_json
from drpflow.io.tables import read_table
from drpflow.sim.photometric_survey import PhotometricSurvey
from drpflow.tasks.fgcm import photo_calib_of
from drpflow.workflow.task_runner import main

from .photometric_run import SECOND_FLUX_MAG, SIZE_PIX, camera_of, small_survey, write_survey

SCRIPT = Path(__file__).parents[2] / "scripts/fgcm.py"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fgcm_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(folder: Path, words: list[str]) -> dict[str, object]:
    """Run the script; return the status."""
    out = {
        "fgcm-photo-calib": "calib/{visit}.parquet",
        "fgcm-transmission-atmosphere": "air/{visit}.fits",
        "fgcm-standard-stars": "standard/{skypix}.parquet",
        "fgcm-zero-points": "zero_points.parquet",
        "fgcm-parameters": "parameters.parquet",
    }
    for name, path in out.items():
        words = [*words, f"--{name}", str(folder / "out" / path)]
    status = folder / "status/fgcm/run.json"
    assert main(script().TASK, [*words, "--status", str(status), "--code", "c"]) == 0
    return dict(json.loads(status.read_text()))


@pytest.fixture(scope="module")
def survey() -> PhotometricSurvey:
    return small_survey()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, survey: PhotometricSurvey) -> Path:
    folder = tmp_path_factory.mktemp("fgcm")
    status = run(folder, write_survey(folder, survey))
    assert status["outcome"] == "done"
    return folder


def calibrated_errors_mmag(folder: Path, survey: PhotometricSurvey) -> np.ndarray:
    """Return errors of the calibration of each measurement, bands made alike, NaN without."""
    m = survey.measurements
    error = np.full(len(m), np.nan)
    exposure_time_s = survey.config.nights.exposure_time_s
    for number in range(len(survey.exposures)):
        path = folder / f"out/calib/{100 + number}.parquet"
        rows = ComponentRows(path, "detector", ComponentCache())
        for detector in range(survey.camera.x_deg.size):
            mine = np.flatnonzero((m.visit == number) & (m.detector == detector))
            calib = rows.component("photo_calib", 10 + detector)
            x, y = ((w[mine] + 1.0) * SIZE_PIX / 2 - 0.5 for w in (m.u, m.v))
            seconds = 2.5 * np.log10(exposure_time_s)
            point = NJY_ZERO_POINT_MAG - 2.5 * np.log10(calib.factor(x, y))
            error[mine] = 1e3 * (point - seconds - m.correction[mine])
    band = np.array([e.band for e in survey.exposures])[m.visit]
    for b in range(len(survey.bands)):
        error[band == b] -= np.nanmedian(error[band == b])
    return error


def test_calibrated_fluxes_have_the_standard_magnitudes(
    finished: Path, survey: PhotometricSurvey
) -> None:
    m = survey.measurements
    error = calibrated_errors_mmag(finished, survey)
    cell = m.visit * survey.camera.x_deg.size + m.detector
    number = np.bincount(cell)
    mean = (np.bincount(cell, error) / np.maximum(number, 1))[number >= 30]
    # A photo_calib has no colour: the stars' colours leave a few mmag beside 1 mmag of the fit.
    assert np.sqrt(np.mean(mean**2)) < 4.0


def test_clouds_are_flagged_and_their_loss_told(finished: Path, survey: PhotometricSurvey) -> None:
    table = read_table(finished / "out/zero_points.parquet").to_dict()
    number = table["visit"] - 100
    thick = np.array([e.cloud_mag > 0.05 for e in survey.exposures])
    assert thick.any()
    assert (table["flag"][thick[number]] == 4).all()
    loss = survey.gray_mag[number, table["detector"] - 10]
    assert np.abs(table["gray"] + loss)[thick[number]].max() < 0.03


def test_standard_stars_are_those_of_their_pixel(finished: Path, survey: PhotometricSurvey) -> None:
    s = survey.stars
    off: list[float] = []
    for parity, pixel in enumerate((31, 32)):
        table = read_table(finished / f"out/standard/{pixel}.parquet").to_dict()
        assert (table["isolated_star_id"] % 2 == parity).all()
        row = np.searchsorted(s.id, table["isolated_star_id"])
        assert np.array_equal(table["reserved"], s.reserved[row])
        good = (table["band"] == "r") & (table["n_good"] > 2) & (s.mag[row] < 17)
        good &= s.amplitude_mag[row] == 0
        off += list((table["mag_std"] - s.standard_mag[row, 1])[good])
        wrong = (table["color"] - s.color[row])[~table["color_assumed"] & (s.mag[row] < 18)]
        # The scale itself is that of the reference catalogue, whose passbands differ.
        assert np.median(np.abs(wrong - np.median(wrong))) < 0.015
    assert np.std(off) < 0.01


def test_standard_stars_tell_what_their_color_is(finished: Path) -> None:
    """Between which bands it is, and its median over the run, in the table of every pixel."""
    tables = [read_table(finished / f"out/standard/{pixel}.parquet") for pixel in (31, 32)]
    known = []
    for table in tables:
        columns = table.to_dict()
        _, first = np.unique(columns["isolated_star_id"], return_index=True)
        known.append(columns["color"][first][~columns["color_assumed"][first]])
    for table in tables:
        assert table.meta["color_bands"] == ["g", "i"]
        usual = np.median(np.concatenate(known))
        assert table.meta["color_usual"] == pytest.approx(usual, abs=1e-6)


def test_errors_of_the_scale_stand_beside_those_of_differences(finished: Path) -> None:
    points = read_table(finished / "out/zero_points.parquet").to_dict()
    calib = read_table(finished / "out/calib/104.parquet").to_dict()
    mine = points["visit"] == 104
    assert set(calib["offset_err"]) == set(points["offset_err"][mine])
    stars = read_table(finished / "out/standard/31.parquet").to_dict()
    assert not stars["relative"].any()
    assert set(stars["offset_err"]) <= set(points["offset_err"])


def test_the_second_flux_is_brought_to_the_scale_of_the_first(finished: Path) -> None:
    table = read_table(finished / "out/zero_points.parquet").to_dict()
    offset = table["cloud_flux_offset"]
    assert np.isfinite(offset).mean() > 0.95
    assert np.nanmedian(offset) == pytest.approx(-SECOND_FLUX_MAG, abs=0.01)
    assert np.nanstd(offset) == pytest.approx(0.02, abs=0.006)


def test_the_air_of_each_visit(finished: Path) -> None:
    curve = read_component(
        FitsIndex(finished / "out/air/100.fits"), "transmission", ComponentCache()
    )
    blue, red = curve.throughput(np.array([450.0, 680.0]))
    assert 0.4 < blue < red < 1.0


def test_a_second_run_touches_no_file(finished: Path, survey: PhotometricSurvey) -> None:
    files = sorted(p for p in (finished / "out").rglob("*") if p.is_file())
    before = [p.stat().st_mtime_ns for p in files]
    run(finished, write_survey(finished, survey))
    assert [p.stat().st_mtime_ns for p in files] == before


def test_a_visit_of_unknown_exposure_time_is_lost_alone(
    tmp_path: Path, survey: PhotometricSurvey
) -> None:
    from dataclasses import replace

    words = write_survey(tmp_path, survey)
    path = tmp_path / "info/103.json"
    write_component_json(path, replace(read_component_json(path), exposure_time_s=None))
    (tmp_path / "info/107.json").write_text("{")
    status = run(tmp_path, words)
    assert status["outcome"] == "partial"
    assert "visit 103: its exposure time is None" in str(status["reason"])
    lost = np.isin(survey.measurements.visit, (3, 7)).sum()
    assert status["numbers"]["n_elsewhere"] == lost  # type: ignore[index]
    assert len(read_table(tmp_path / "out/calib/103.parquet")) == 0
    air = read_component(FitsIndex(tmp_path / "out/air/103.fits"), "transmission", ComponentCache())
    assert air.factors == ()
    table = read_table(tmp_path / "out/zero_points.parquet").to_dict()
    assert set(table["visit"]) == set(range(100, 124)) - {103, 107}
    assert np.isfinite(table["zero_point"]).mean() > 0.95


def test_without_references_the_calibration_is_relative(
    tmp_path: Path, survey: PhotometricSurvey
) -> None:
    status = run(tmp_path, write_survey(tmp_path, survey, references=False))
    assert "no reference stars" in status["numbers"]["notes"]  # type: ignore[index]
    table = read_table(tmp_path / "out/zero_points.parquet").to_dict()
    assert (table["flag"] & 64 == 64).all()
    calib = read_table(tmp_path / "out/calib/100.parquet").to_dict()
    assert (calib["offset_err"] > 0.5).all()
    stars = read_table(tmp_path / "out/standard/31.parquet").to_dict()
    assert stars["relative"].all()
    assert (stars["offset_err"] > 0.5).all()


def test_nothing_to_calibrate_writes_empty_products(
    tmp_path: Path, survey: PhotometricSurvey
) -> None:
    words = write_survey(tmp_path, survey)
    for path in (tmp_path / "info").iterdir():
        path.write_text("{}")
    status = run(tmp_path, words)
    assert status["outcome"] == "failed"
    assert "no visit can be calibrated" in str(status["reason"])
    assert len(read_table(tmp_path / "out/calib/110.parquet")) == 0
    assert len(read_table(tmp_path / "out/standard/31.parquet")) == 0
    assert len(read_table(tmp_path / "out/zero_points.parquet")) == 0


def test_the_field_of_a_zero_point_is_that_of_magnitudes(survey: PhotometricSurvey) -> None:
    from drpflow.data.camera import Camera

    detector = Camera.model_validate(camera_of(survey)).detectors[0]
    terms = np.array([0.02, -0.01, 0.01, 0.0, 0.005])
    calib = photo_calib_of(27.0, 0.002, terms, detector)
    middle = (SIZE_PIX - 1) / 2
    u, v = 0.5, -0.25
    x, y = middle + u * SIZE_PIX / 2, middle + v * SIZE_PIX / 2
    p2 = [np.sqrt(5) * (3 * w**2 - 1) / 2 for w in (u, v)]
    linear = np.sqrt(3) * (0.02 * u - 0.01 * v)
    expected = 27.0 + linear + 0.01 * p2[0] + 0.005 * p2[1]
    found = NJY_ZERO_POINT_MAG - 2.5 * np.log10(calib.factor(x, y))
    assert found == pytest.approx(expected, abs=2e-5)
    assert calib.zero_point_error_mag == pytest.approx(0.002)
