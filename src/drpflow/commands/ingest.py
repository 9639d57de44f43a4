"""List the frames of a folder in sheets, from their headers alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.errors import InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from rich.table import Table

    from drpflow.data.camera import Camera
    from drpflow.ingest.run import IngestResult

# Notes on optional values are many where one sensor was off all night.
_SHOWN_NOTES = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the frames are")
    parser.add_argument(
        "--camera",
        help="camera file (*.yaml), or the name of a known camera [that of config/config.yaml]",
    )
    parser.add_argument(
        "--calibrations", type=Path, metavar="FOLDER", help="where calibration masters are"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("sheets"), help="folder of the sheets [sheets]"
    )
    parser.add_argument("--pattern", default="*", help="only files whose name matches, e.g. '*_r*'")
    parser.add_argument(
        "--deep", action="store_true", help="read compressed files to their end to find damage"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; 0 if anything was accepted, else 1."""
    from drpflow.ingest.run import ingest
    from drpflow.io.camera_yaml import load_camera
    from drpflow.io.sheets import REJECTED

    camera = load_camera(args.camera or _camera_of_the_run())
    result = ingest(
        args.folder,
        camera,
        args.output,
        calibrations=args.calibrations,
        pattern=args.pattern,
        deep=args.deep,
    )
    _report(result, camera, args.output)
    if result.accepted:
        return 0
    sys.stderr.write(
        f"drpflow ingest: none of the files in {args.folder} was accepted. The reasons are in "
        f"{args.output / REJECTED}.\n"
    )
    return 1


def _camera_of_the_run() -> str:
    """Return the camera that the config file of the run folder names."""
    from drpflow.io.config_file import read_sections

    config = Path("config/config.yaml")
    if not config.is_file():
        raise InputError("--camera", "it is not given, and this is no run folder", "Give it")
    camera = read_sections(config).get("camera")
    if not camera:
        raise InputError(config, "it names no camera", "Give --camera")
    return str(camera)


def _report(result: IngestResult, camera: Camera, output: Path) -> None:
    from rich.console import Console

    from drpflow.io.sheets import REJECTED

    console = Console()
    console.print(f"Camera {camera.name}", markup=False)
    console.print(_accepted_table(result))
    if result.scan.rejected:
        number = len(result.scan.rejected)
        listed = f"Rejected: {number}; the reason for each is in {output / REJECTED}"
        console.print(listed, markup=False, soft_wrap=True)
        console.print(_rejected_table(result))
    for note, count in result.scan.notes.most_common(_SHOWN_NOTES):
        console.print(f"left empty in {count} frames: {note}", markup=False)
    for row in result.gone:
        console.print(f"no longer there: visit {row.visit} detector {row.detector} ({row.path})")
    if result.changed:
        names = ", ".join(str(path) for path in result.changed)
        console.print(f"Written: {names}", markup=False, soft_wrap=True)
    else:
        console.print(f"The sheets in {output} are as they were.", markup=False)


def _table(columns: Iterable[str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number == 1 else "left")
    return table


def _accepted_table(result: IngestResult) -> Table:
    frames, survey = result.scan.frames, result.survey
    table = _table(("accepted", "number", "in the sheets"))
    table.add_row("science frames", str(len(frames)), str(len(survey.exposures)))
    visits = {frame.visit.visit for frame in frames}
    table.add_row("visits", str(len(visits)), str(len(survey.visits)))
    for name, attribute in (("nights", "night"), ("filters", "physical_filter")):
        values = sorted({getattr(frame.visit, attribute) for frame in frames})
        table.add_row(name, str(len(values)), _some(values))
    detectors = sorted({frame.detector for frame in frames})
    table.add_row("detectors", str(len(detectors)), _some(map(str, detectors)))
    if result.scan.companions:
        table.add_row("weights and masks", str(result.scan.companions), "beside their frames")
    kinds = sorted({row.kind for row in result.scan.calibrations})
    number = len(result.scan.calibrations)
    table.add_row("calibrations", str(number), _some(kinds) or str(len(result.calibrations)))
    return table


def _rejected_table(result: IngestResult) -> Table:
    table = _table(("rejected", "number"))
    for category, count in sorted(result.scan.categories.items(), key=lambda i: (-i[1], i[0])):
        table.add_row(category, str(count))
    return table


def _some(values: Iterable[str]) -> str:
    listed = list(values)
    return ", ".join(listed[:10]) + (f" … {listed[-1]}" if len(listed) > 10 else "")
