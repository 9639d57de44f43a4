"""Camera files are found, read and refused with a sentence."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from drpflow.errors import InputError
from drpflow.io.camera_yaml import (
    camera_names,
    find_camera,
    load_camera,
    read_throughput,
)
from tests.ingest.frames import CAMERA

SHIPPED = sorted((Path(__file__).parents[2] / "config" / "cameras").glob("*.yaml"))


def write(path: Path, values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    return path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_shipped_cameras_are_valid_and_bear_their_names(path: Path) -> None:
    assert load_camera(path).name == path.stem


def test_throughputs_are_relative_to_the_camera_file(tmp_path: Path) -> None:
    values = copy.deepcopy(CAMERA)
    values["filters"][0]["throughput"] = "throughputs/r.csv"
    camera = load_camera(write(tmp_path / "there" / "duo.yaml", values))
    assert camera.filter("r_duo").throughput == str(tmp_path / "there" / "throughputs" / "r.csv")
    assert camera.filter("i_duo").throughput is None


def test_ones_own_folder_is_searched_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_camera("decam").is_absolute()
    write(tmp_path / "config/cameras/decam.yaml", CAMERA | {"name": "decam"})
    assert find_camera("decam") == Path("config/cameras/decam.yaml")
    assert len(load_camera("decam").detectors) == 2
    assert camera_names()["decam"] == Path("config/cameras/decam.yaml")
    assert set(camera_names()) >= {p.stem for p in SHIPPED}


def changed(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(CAMERA) | changes


BROKEN_AMPLIFIER = changed()
BROKEN_AMPLIFIER["detectors"][0]["amplifiers"][0]["data_section"] = [0, 9, 0, 12]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("name: duo\nname: trio\n", "line 2: no YAML: the key 'name' stands twice"),
        ("name: [duo\n", "no YAML"),
        ("just a sentence", "it holds no 'key: value' lines"),
        (changed(nmae="x"), "unknown key 'nmae'; did you mean 'name'?"),
        ({k: v for k, v in CAMERA.items() if k != "optics"}, "key 'optics' is missing"),
        (changed(name="Duo Cam"), "key 'name' has the value 'Duo Cam'"),
        (BROKEN_AMPLIFIER, "they must be of one size"),
        (changed(detectors=CAMERA["detectors"] * 2), "detector id 1 stands twice"),
        (changed(header={"exptime": {"key": "EXPTIME"}}),
         "'exptime' is no property of a frame; did you mean 'exposure_time_s'?"),
        (changed(header={"visit": {"key": "A", "constant": 1}}), "here: key and constant"),
        (changed(header={"visit": {}}), "here: none"),
        (changed(header={"visit": {"filename": r"\d+"}}), "the expression needs a group"),
        (changed(header={"visit": {"key": "A", "pattern": "("}}), "not a regular expression"),
        (changed(header={"mjd": {"key": "DATE", "format": "iso"}}), "did you mean 'isot'?"),
        (changed(header={"mjd": {"key": "DATE", "format": "date"}}), "needs time_key"),
        (changed(raw_unit="ADU"), "key 'raw_unit' has the value 'ADU'"),
        (changed(companions={"science": "("}), "not a regular expression"),
    ],
)  # fmt: skip
def test_faults_are_named(tmp_path: Path, values: Any, words: str) -> None:
    path = write(tmp_path / "duo.yaml", values)
    with pytest.raises(InputError) as caught:
        load_camera(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


def test_an_unknown_camera_gets_the_nearest_name() -> None:
    with pytest.raises(InputError, match="did you mean 'decam'"):
        load_camera("dekam")


def test_numbers_as_translated_values(tmp_path: Path) -> None:
    values = changed()
    values["header"]["physical_filter"]["values"] = {"i": "i_duo", 58: "r_duo"}
    camera = load_camera(write(tmp_path / "duo.yaml", values))
    assert camera.header["physical_filter"].values == {"i": "i_duo", "58": "r_duo"}


def test_throughput_is_read(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(
        "# telescope, filter and CCD\nwavelength_nm,throughput\n550,0\n600,0.5\n650,1\n"
    )
    wavelength, throughput = read_throughput(path)
    np.testing.assert_array_equal(wavelength, [550.0, 600.0, 650.0])
    np.testing.assert_array_equal(throughput, [0.0, 0.5, 1.0])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("wavelength,throughput\n1,0\n2,1\n", "'wavelength_nm'"),
        ("wavelength_nm,throughput\n1,0\n2,x\n", "could not convert"),
        ("wavelength_nm,throughput\n2,0\n1,1\n", "do not rise"),
        ("wavelength_nm,throughput\n1,0\n2,85\n", "a throughput is 85.0"),
    ],
)
def test_faulty_throughputs(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "r.csv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_throughput(path)
    assert words in str(caught.value)
