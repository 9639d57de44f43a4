"""Make a run folder: a config file for one camera, ready for drpflow ingest and drpflow run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow import paths
from drpflow.commands.output import console
from drpflow.errors import InputError

if TYPE_CHECKING:
    import argparse

_NEXT_STEPS = """\
{folder} is ready. Next:

  cd {folder}
  drpflow ingest RAW_FOLDER --camera {camera} --calibrations CALIBRATION_FOLDER --output sheets
  drpflow run
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("folder", type=Path, help="folder to make")
    parser.add_argument(
        "--camera", required=True, help="camera file, or the name of one that comes with drpflow"
    )


def run(args: argparse.Namespace) -> int:
    """Make the folder."""
    from drpflow.io.atomic import write_text
    from drpflow.io.camera_yaml import find_camera

    camera = args.camera
    file = find_camera(camera)
    if file == Path(camera):
        camera = str(file.absolute())
    config = args.folder / "config" / "config.yaml"
    if config.exists():
        raise InputError(config, "it exists already", "Choose another folder, or edit it")
    write_text(config, _config_text(camera, file))
    steps = _NEXT_STEPS.format(folder=args.folder, camera=camera)
    console().print(steps, end="", markup=False, highlight=False)
    return 0


def _config_text(camera: str, file: Path) -> str:
    """Return drpflow's own config file with the paths of a run folder, fit for a camera."""
    import yaml

    text = (paths.share_root() / "config" / "config.yaml").read_text()
    values = {
        "camera": camera,
        "sheets": "sheets",
        "output": "results",
        "reference_stars": "reference/reference_stars.parquet",
    }
    described = yaml.safe_load(file.read_text()) or {}
    sections = {name: dict(keys) for name, keys in described.get("config", {}).items()}
    if described.get("detrended"):
        sections.setdefault("isr", {})["input"] = "detrended"
    for name, keys in sections.items():
        flow = yaml.safe_dump(keys, default_flow_style=True, width=10_000, sort_keys=False)
        values[name] = flow.strip()
    for key, value in values.items():
        text, count = re.subn(rf"(?m)^{key}:.*$", f"{key}: {value}", text)
        assert count == 1, f"config/config.yaml has {count} lines '{key}:'"
    return text
