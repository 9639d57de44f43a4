"""Throughput files of a camera, and the file of the look-up table."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from drpflow.data.air import AirState
from drpflow.errors import InputError
from drpflow.io.look_up_table_files import (
    read_look_up_table,
    read_throughputs,
    write_look_up_table,
)
from drpflow.io.records import write_component_json
from tests.data.look_up_tables import small_table

AMPLIFIER = {
    "name": "A",
    "data_section": [0, 100, 0, 100],
    "raw_data_section": [0, 100, 0, 100],
    "gain": 1.0,
    "read_noise": 5.0,
    "saturation": 60000.0,
}
CAMERA: dict[str, Any] = {
    "name": "trio",
    "optics": {"plate_scale_arcsec_per_mm": 20.0},
    "detectors": [
        {
            "id": number,
            "name": f"D{number}",
            "size_pix": [100, 100],
            "center_mm": [2.0 * number, 0.0],
            "pixel_size_mm": 0.015,
            "amplifiers": [AMPLIFIER],
        }
        for number in (1, 2, 12)
    ],
    "filters": [
        {
            "physical_filter": "r_trio",
            "band": "r",
            "throughput": "curves/r.csv",
            "detector_throughput": "curves/r_{detector:02d}.csv",
        },
        {"physical_filter": "i_trio", "band": "i"},
    ],
}


def write_curve(path: Path, peak: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"wavelength_nm,throughput\n550,0\n560,{peak}\n680,{peak}\n690,0\n")


def write_camera(folder: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    filters = [CAMERA["filters"][0] | changes, CAMERA["filters"][1]]
    path = folder / "trio.yaml"
    path.write_text(yaml.safe_dump(CAMERA | {"filters": filters}))
    return path


def test_each_detector_has_its_own_or_the_common_curve(tmp_path: Path) -> None:
    folder = tmp_path / "with {braces}"
    path = write_camera(folder)
    write_curve(folder / "curves/r.csv", 0.5)
    write_curve(folder / "curves/r_02.csv", 0.25)
    camera, curves = read_throughputs(path)
    assert camera.name == "trio"
    assert curves["i_trio"] == {}
    peaks = {detector: throughput.max() for detector, (_, throughput) in curves["r_trio"].items()}
    assert peaks == {1: 0.5, 2: 0.25, 12: 0.5}
    assert curves["r_trio"][1] is curves["r_trio"][12]


def test_detectors_without_any_curve_while_others_have_one(tmp_path: Path) -> None:
    path = write_camera(tmp_path, throughput=None)
    write_curve(tmp_path / "curves/r_12.csv", 0.5)
    with pytest.raises(InputError, match=r"no such file for detectors \[1, 2\]"):
        read_throughputs(path)


def test_a_named_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"r\.csv: the throughput cannot be read"):
        read_throughputs(write_camera(tmp_path, detector_throughput=None))


@pytest.mark.parametrize(
    ("template", "words"),
    [("r.csv", "the name needs {detector}"), ("r_{ccd}.csv", "not a name with {detector} in it")],
)
def test_names_of_detector_files(tmp_path: Path, template: str, words: str) -> None:
    with pytest.raises(InputError) as fault:
        read_throughputs(write_camera(tmp_path, detector_throughput=template))
    assert words in str(fault.value)


def test_file_round_trip_and_equal_bytes(tmp_path: Path) -> None:
    table = small_table()
    for name in ("a.fits", "b.fits"):
        write_look_up_table(tmp_path / name, table)
    assert (tmp_path / "a.fits").read_bytes() == (tmp_path / "b.fits").read_bytes()
    again = read_look_up_table(tmp_path / "a.fits")
    assert again == table
    state = AirState().values()
    assert again.evaluate("g", 1, *state).i0 == table.evaluate("g", 1, *state).i0


def test_files_that_are_no_look_up_table(tmp_path: Path) -> None:
    write_look_up_table(tmp_path / "table.fits", small_table())
    data = (tmp_path / "table.fits").read_bytes()
    (tmp_path / "short.fits").write_bytes(data[: len(data) // 2])
    write_component_json(tmp_path / "curve.json", small_table().atmosphere(AirState()))
    for name in ("short.fits", "curve.json", "none.fits"):
        with pytest.raises((InputError, LookupError, OSError)) as fault:
            read_look_up_table(tmp_path / name)
        assert name in str(fault.value)


def test_the_simulator_names_curves_that_it_writes(tmp_path: Path) -> None:
    from drpflow.sim.camera_file import camera_text
    from tests.sim.surveys import tiny

    survey = tiny()
    survey.write_throughputs(tmp_path / "throughputs")
    (tmp_path / "camera.yaml").write_text(camera_text(survey.instrument, survey.config.detector))
    camera, curves = read_throughputs(tmp_path / "camera.yaml")
    shutil.rmtree(tmp_path)
    for item in camera.filters:
        own = {throughput.tobytes() for _, throughput in curves[item.physical_filter].values()}
        assert len(own) == len(camera.detectors)
