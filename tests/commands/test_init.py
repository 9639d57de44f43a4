"""A run folder for a camera."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from drpflow import cli, paths
from drpflow.commands.reference import DEFAULT_REFERENCE
from drpflow.config.sky_map import SkyMapConfig
from drpflow.io.camera_yaml import camera_names
from drpflow.io.run_yaml import load_run

HERE = sorted(paths.share_root().joinpath("config/cameras").glob("*.yaml"))


@pytest.mark.skipif(not HERE, reason="no camera comes along")
def test_camera_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = next(iter(camera_names()))
    assert cli.main(["init", str(tmp_path / "run"), "--camera", name]) == 0
    run = load_run(tmp_path / "run/config/config.yaml")
    assert run.camera == name
    assert run.sheets == Path("sheets")
    assert run.output == Path("results")
    assert "drpflow ingest FRAMES_FOLDER" in capsys.readouterr().out


def test_camera_by_file(tmp_path: Path) -> None:
    camera = tmp_path / "mycam.yaml"
    camera.write_text("name: mycam\n")
    assert cli.main(["init", str(tmp_path / "run"), "--camera", str(camera)]) == 0
    text = (tmp_path / "run/config/config.yaml").read_text()
    assert yaml.safe_load(text)["camera"] == str(camera)
    template = (paths.share_root() / "config/new_run.yaml").read_text()
    assert text.count("#") == template.count("#") + 1, "the comments come along"
    assert "reference_stars" not in yaml.safe_load(text), "there is no catalogue yet"


def test_the_file_is_about_this_run_alone(tmp_path: Path) -> None:
    """It names the camera, knows nothing of the demo, and keeps no large files."""
    camera = tmp_path / "mycam.yaml"
    camera.write_text("name: mycam\ndescription: My telescope\n")
    assert cli.main(["init", str(tmp_path / "run"), "--camera", str(camera)]) == 0
    text = (tmp_path / "run/config/config.yaml").read_text()
    assert text.startswith("# Configuration of a run of mycam: My telescope.\n")
    assert "demo" not in text
    assert "simulate" not in text
    run = load_run(tmp_path / "run/config/config.yaml")
    assert run.keep == ()
    assert run.skyMap == SkyMapConfig()


def test_a_line_for_each_section() -> None:
    """The order is that of the demo's file; both are what a user meets first."""
    folder = paths.share_root() / "config"
    new, demo = (yaml.safe_load((folder / f"{n}.yaml").read_text()) for n in ("new_run", "config"))
    assert [*new] == [key for key in demo if key != "reference_stars"]
    line = f"\n# reference_stars: {DEFAULT_REFERENCE}\n"
    assert line in (folder / "new_run.yaml").read_text(), "what `drpflow reference` opens"


def test_camera_of_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `drpflow camera init` drafted is found from the run folder as well."""
    monkeypatch.chdir(tmp_path)
    drafted = tmp_path / "config/cameras/mycam.yaml"
    drafted.parent.mkdir(parents=True)
    drafted.write_text("name: mycam\n")
    assert cli.main(["init", "run", "--camera", "mycam"]) == 0
    assert load_run("run/config/config.yaml").camera == str(drafted)


def test_frames_that_were_detrended_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["init", str(tmp_path / "run"), "--camera", "saao1m_ste3"]) == 0
    assert "--calibrations" not in capsys.readouterr().out
    assert load_run(tmp_path / "run/config/config.yaml").isr.input == "detrended"
    assert cli.main(["init", str(tmp_path / "raw"), "--camera", "simcam"]) == 0
    assert "--calibrations CALIBRATION_FOLDER" in capsys.readouterr().out
    assert load_run(tmp_path / "raw/config/config.yaml").isr.input == "raw"


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    camera = tmp_path / "mycam.yaml"
    camera.touch()
    arguments = ["init", str(tmp_path / "run"), "--camera", str(camera)]
    cli.main(arguments)
    config = tmp_path / "run/config/config.yaml"
    config.write_text("mine")
    assert cli.main(arguments) == 2
    assert "it exists already" in capsys.readouterr().err
    assert config.read_text() == "mine"


def test_unknown_camera(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["init", str(tmp_path / "run"), "--camera", "nocam"]) == 2
    assert "there is no camera of this name" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
