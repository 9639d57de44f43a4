from pathlib import Path

import numpy as np
import yaml

from drpflow.sim.camera_file import camera_text
from tests.sim.surveys import build, tiny

ROOT = Path(__file__).parents[2]


def test_camera_of_the_demo_is_among_the_cameras() -> None:
    survey = build(name="demo")
    text = camera_text(survey.instrument, survey.config.detector)
    kept = (ROOT / "config" / "cameras" / "simcam.yaml").read_text()
    assert yaml.safe_load(text) == yaml.safe_load(kept)
    assert kept.startswith("#")


def test_camera_is_written_beside_the_frames(tiny_folder: Path) -> None:
    survey = tiny()
    text = (tiny_folder / "camera.yaml").read_text()
    assert text == camera_text(survey.instrument, survey.config.detector)
    camera = yaml.safe_load(text)
    for item in camera["filters"]:
        assert (tiny_folder / item["throughput"]).is_file()


def test_camera_tells_no_truth() -> None:
    other = build({"seed": 4321})
    survey = tiny()
    assert camera_text(survey.instrument, survey.config.detector) == camera_text(
        other.instrument, other.config.detector
    )


def test_sections_fit_the_raw_array(tiny_folder: Path) -> None:
    camera = yaml.safe_load((tiny_folder / "camera.yaml").read_text())
    for detector in camera["detectors"]:
        covered = np.zeros(detector["size_pix"][::-1], int)
        for amplifier in detector["amplifiers"]:
            x0, x1, y0, y1 = amplifier["data_section"]
            covered[y0:y1, x0:x1] += 1
            assert amplifier["raw_serial_overscan"][1] <= detector["raw_size_pix"][0]
            assert amplifier["raw_parallel_overscan"][3] <= detector["raw_size_pix"][1]
        assert np.all(covered == 1)
