import argparse
from pathlib import Path

import pytest
import yaml

from drpflow.commands import simulate
from drpflow.errors import InputError
from tests.sim.surveys import SIMULATIONS


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    simulate.add_arguments(parser)
    return parser.parse_args(arguments)


def test_tiny_survey(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = yaml.safe_load((SIMULATIONS / "tiny.yaml").read_text())
    small["observing"]["nights"] = [{"day": 0, "bands": ["r"]}]
    small["observing"]["special"] = []
    small["instrument"] |= {"columns": 1, "filters": small["instrument"]["filters"][1:]}
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(small))
    folder = tmp_path / "out"
    arguments = parse(str(file), "--output", str(folder), "--cores", "1", "--seed", "8")
    assert simulate.run(arguments) == 0
    told = capsys.readouterr().out
    assert "1 visits, 1 detectors; 1 raw frames made" in told
    assert f"drpflow ingest {folder}/raw --camera {folder}/camera.yaml" in told
    assert len(list((folder / "raw").rglob("*.fits"))) == 1
    assert len(list((folder / "calib").glob("*.fits"))) == 9
    assert (folder / "reference" / "reference_stars.parquet").is_file()
    assert simulate.run(arguments) == 0
    assert "it was complete already" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"another simulation: config\.seed is 8 there"):
        simulate.run(parse(str(file), "--output", str(folder), "--seed", "9"))


def test_presets_are_found_by_name() -> None:
    assert simulate.simulation_file("tiny").name == "tiny.yaml"
    with pytest.raises(InputError, match="tiny"):
        simulate.simulation_file("tinny")
    with pytest.raises(InputError, match="does not exist"):
        simulate.simulation_file("nowhere/survey.yaml")


def test_bad_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="it is -1"):
        simulate.run(parse("tiny", "--seed", "-1"))
    with pytest.raises(SystemExit):
        parse("tiny", "--cores", "0")
    assert "no number of processes" in capsys.readouterr().err
