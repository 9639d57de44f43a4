"""Draft a camera file from sample frames, check one, or list those that are known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from rich.table import Table

    from drpflow.data.camera import Camera
    from drpflow.ingest.camera_check import FieldOfView


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    init = actions.add_parser("init", help="draft a camera file from the headers of sample frames")
    init.add_argument("files", type=Path, nargs="+", metavar="FILE", help="frames of the sky")
    init.add_argument("--name", help="name of the camera; by default made from INSTRUME")
    init.add_argument("--output", type=Path, help="file to write [config/cameras/NAME.yaml]")
    init.add_argument("--force", action="store_true", help="replace a file that exists")
    check = actions.add_parser("check", help="show detectors, field of view, filters, and faults")
    check.add_argument("name", metavar="NAME", help="camera file (*.yaml), or a camera's name")
    actions.add_parser("list", help="list the cameras that are known by name")


def run(args: argparse.Namespace) -> int:
    """Run the command; `check` returns 1 where it finds faults."""
    if args.action == "init":
        return _init(args)
    return _check(args.name) if args.action == "check" else _list()


def _init(args: argparse.Namespace) -> int:
    from rich.console import Console

    from drpflow.errors import InputError
    from drpflow.ingest.draft import draft_camera
    from drpflow.io.atomic import write_text
    from drpflow.io.camera_yaml import LOCAL, load_camera

    name, text = draft_camera(args.files, args.name)
    path = args.output or LOCAL / f"{name}.yaml"
    if path.exists() and not args.force:
        raise InputError(path, "the file exists already", "Give another --output, or --force")
    write_text(path, text)
    load_camera(path)
    todo = text.count("TODO")
    Console().print(
        f"Written: {path}. {text.count('guessed')} guesses to look at, {todo} marked TODO.\n"
        f"Then: drpflow camera check {path}",
        markup=False,
        soft_wrap=True,
    )
    return 0


def _list() -> int:
    from rich.console import Console

    from drpflow.errors import InputError
    from drpflow.io.camera_yaml import camera_names, load_camera

    table = _table("name", "detectors", "filters", "description")
    for name, path in camera_names().items():
        try:
            camera = load_camera(path)
        except InputError as fault:
            table.add_row(name, "", "", str(fault))
            continue
        filters = ", ".join(item.physical_filter for item in camera.filters)
        table.add_row(name, str(len(camera.detectors)), filters, camera.description)
    Console().print(table)
    return 0


def _check(name: str) -> int:
    from rich.console import Console

    from drpflow.ingest.camera_check import camera_faults, camera_gaps, field_of_view
    from drpflow.io.camera_yaml import load_camera

    camera = load_camera(name)
    view = field_of_view(camera)
    console = Console()
    console.print(f"Camera {camera.name}: {camera.description}", markup=False)
    scale = camera.optics.plate_scale_arcsec_per_mm * camera.detectors[0].pixel_size_mm
    console.print(
        f"{len(camera.detectors)} detectors, field of view {view.width_deg:.3f} x "
        f"{view.height_deg:.3f} degrees, {view.area_deg2:.4g} square degrees of silicon, "
        f"{scale:.3f} arcsec a pixel",
        highlight=False,
        soft_wrap=True,
    )
    console.print(_detector_table(camera, view))
    console.print(_filter_table(camera))
    for gap in camera_gaps(camera):
        console.print(f"Unsaid: {gap}.", markup=False, highlight=False, soft_wrap=True)
    faults = camera_faults(camera)
    for fault in faults:
        console.print(f"Fault: {fault}", markup=False, highlight=False, soft_wrap=True)
    console.print("No faults." if not faults else f"{len(faults)} faults.", highlight=False)
    return 1 if faults else 0


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    return Table(*columns, box=box.SIMPLE)


def _detector_table(camera: Camera, view: FieldOfView) -> Table:
    table = _table("id", "name", "size", "centre in the field (deg)", "amplifiers", "gain")
    for detector in camera.detectors:
        nx, ny = detector.size_pix
        x, y = view.corners_deg[detector.id].mean(axis=0)
        gains = sorted(amp.gain for amp in detector.amplifiers)
        spread = f"{gains[0]:g}" if gains[0] == gains[-1] else f"{gains[0]:g} to {gains[-1]:g}"
        table.add_row(
            str(detector.id),
            detector.name,
            f"{nx} x {ny}",
            f"{x:+.3f} {y:+.3f}",
            str(len(detector.amplifiers)),
            spread,
        )
    return table


def _filter_table(camera: Camera) -> Table:
    table = _table("filter", "band", "effective wavelength (nm)", "throughput")
    for item in camera.filters:
        wavelength = item.effective_wavelength_nm
        shown = "" if wavelength is None else f"{wavelength:g}"
        table.add_row(
            item.physical_filter,
            item.band,
            shown,
            item.detector_throughput or item.throughput or "",
        )
    return table
