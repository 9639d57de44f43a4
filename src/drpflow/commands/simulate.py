"""Simulate a survey: raw frames, calibrations, reference catalogue and truth.

CONFIG is the path of a simulation file, or the name of one of those that come with drpflow:
demo (and demo-b, demo-c, which differ in the seed), tiny, detector. A simulation that was
interrupted is taken up where it stopped; one that is complete is left alone.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from drpflow.sim.production import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument(
        "config", metavar="CONFIG", help="simulation file (*.yaml), or the name of a preset"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="where to write [the simulation's name]"
    )
    parser.add_argument(
        "--cores", type=_positive, default=os.cpu_count() or 1, metavar="N",
        help="processes [all cores]",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, metavar="S", help="another seed than that of the simulation file"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from drpflow.sim.config import load_survey_config
    from drpflow.sim.production import simulate

    config = load_survey_config(simulation_file(args.config))
    if args.seed is not None:
        config = config.model_copy(update={"seed": _checked_seed(args.seed)})
    outcome = simulate(config, args.output or Path(config.name), args.cores)
    sys.stdout.write(summary(outcome))
    return 0


def simulation_file(name: str) -> Path:
    """Return the simulation file for a path or the name of a preset.

    Raises
    ------
    InputError
        If there is none.
    """
    from drpflow import paths
    from drpflow.errors import InputError, suggest

    given = Path(name)
    if given.suffix in {".yaml", ".yml"}:
        if given.is_file():
            return given
        raise InputError(given, "the simulation file does not exist", "Check the path")
    folder = paths.share_root() / "config" / "simulations"
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise InputError(
            name,
            f"there is no simulation of this name{suggest(name, known)}",
            f"Give one of {', '.join(known)}, or the path of a simulation file (*.yaml)",
        )
    return folder / f"{name}.yaml"


def summary(outcome: Outcome) -> str:
    """Return what was made, and what to do next."""
    folder = outcome.folder
    if outcome.made:
        state = f"{outcome.made} raw frames made"
        if outcome.made < outcome.frames:
            state += f" ({outcome.frames - outcome.made} were there)"
    else:
        state = "it was complete already"
    return (
        f"{folder}: {outcome.visits} visits, {outcome.detectors} detectors; {state}.\n"
        f"Next: drpflow ingest {folder}/raw --camera {folder}/camera.yaml "
        f"--calibrations {folder}/calib --output {folder}/sheets\n"
    )


def _checked_seed(seed: int) -> int:
    from drpflow.errors import InputError

    if seed < 0:
        raise InputError("--seed", f"it is {seed}", "Give a whole number from 0 on")
    return seed


def _positive(text: str) -> int:
    import argparse

    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is no number of processes")
    return value
