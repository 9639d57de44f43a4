"""Make a run folder: a config file for one camera, ready for drpflow ingest and drpflow run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drpflow import paths
from drpflow.commands.output import console
from drpflow.errors import InputError

if TYPE_CHECKING:
    import argparse

_NEXT_STEPS = """\
{folder} is ready. Next:

  cd {folder}
  drpflow ingest FRAMES_FOLDER{calibrations}
  drpflow reference convert CATALOGUE_FILES
  drpflow run

Without a catalogue of the field's stars (Gaia, Pan-STARRS ...): drpflow run, then
drpflow reference from-frame, which takes the stars of the best visit, then drpflow run.
"""
_TEMPLATE = "new_run.yaml"
_CALIBRATIONS = " --calibrations CALIBRATION_FOLDER"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("folder", type=Path, help="folder to make")
    parser.add_argument(
        "--camera", required=True, help="camera file (*.yaml), or the name of a known camera"
    )


def run(args: argparse.Namespace) -> int:
    """Make the folder."""
    import yaml

    from drpflow.io.atomic import write_text
    from drpflow.io.camera_yaml import find_camera

    camera = args.camera
    file = find_camera(camera)
    # The name of a camera of this folder would not be known in the one that is made.
    if file.resolve().parent != (paths.share_root() / "config/cameras").resolve():
        camera = str(file.absolute())
    config = args.folder / "config" / "config.yaml"
    if config.exists():
        raise InputError(config, "it exists already", "Choose another folder, or edit it")
    described = yaml.safe_load(file.read_text()) or {}
    detrended = bool(described.get("detrended"))
    title = ": ".join(filter(None, (described.get("name"), described.get("description"))))
    text = _config_text(camera, described.get("config", {}), detrended)
    write_text(config, f"# Configuration of a run of {title or file.stem}.\n{text}")
    calibrations = "" if detrended else _CALIBRATIONS
    steps = _NEXT_STEPS.format(folder=args.folder, calibrations=calibrations)
    console().print(steps, end="", markup=False, highlight=False)
    return 0


def _config_text(camera: str, config: dict[str, dict[str, Any]], detrended: bool) -> str:
    """Return the config file of a new run folder, with the sections that a camera's file gives.

    There is no reference catalogue yet: its line is a comment, which `drpflow reference` opens.
    """
    import yaml

    text = (paths.share_root() / "config" / _TEMPLATE).read_text()
    values = {"camera": camera}
    sections = {name: dict(keys) for name, keys in config.items()}
    if detrended:
        sections.setdefault("isr", {})["input"] = "detrended"
    for name, keys in sections.items():
        flow = yaml.safe_dump(keys, default_flow_style=True, width=10_000, sort_keys=False)
        values[name] = flow.strip()
    for key, value in values.items():
        line = f"{key}: {value}".replace("\\", r"\\")
        text, count = re.subn(rf"(?m)^{key}:.*$", line, text)
        assert count == 1, f"config/{_TEMPLATE} has {count} lines '{key}:'"
    return text
