"""Remove what a run has left over, or its products; raw data and sheets are never touched.

    drpflow clean strays logs       # of killed runs, and of jobs without a status
    drpflow clean dropped           # products of visits that are no longer in the sheets
    drpflow clean products          # all that the run has made

Lists the files first, and asks; --yes does without the question.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.commands.output import console
from drpflow.commands.run import add_run_arguments, open_plan
from drpflow.errors import InputError
from drpflow.workflow.owner import refuse_while_running
from drpflow.workflow.removal import KINDS, find, remove

if TYPE_CHECKING:
    import argparse

_MOST_FILES = 20
_LINE = "snakemake all --delete-all-output"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    told = "; ".join(f"{name}: {what}" for name, what in KINDS.items())
    parser.add_argument("what", nargs="+", choices=KINDS, metavar="WHAT", help=told)
    parser.add_argument("--yes", action="store_true", help="remove without a question")
    parser.add_argument("--all", action="store_true", help="list every file")
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """List, ask, remove."""
    plan = open_plan(args)
    _refuse_while_running()
    out = console()
    paths = sorted({path for kind in args.what for path in find(plan, kind)})
    if not paths:
        out.print("nothing to remove")
        return 0
    for line in _listed(paths, Path(plan.root), None if args.all else _MOST_FILES):
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    if "products" in args.what:
        out.print(f"(of the target all alone: $ {_LINE})", markup=False, highlight=False)
    if not (args.yes or _confirmed(len(paths))):
        out.print("nothing was removed")
        return 1
    _refuse_while_running()  # nobody knows how long the answer took
    remove(paths, plan.root)
    out.print(f"removed {len(paths)} files", highlight=False)
    return 0


def _refuse_while_running() -> None:
    """Raise if a run is alive in the folder, or may be on another machine."""
    try:
        refuse_while_running(Path.cwd())
    except InputError as error:
        if "--take-over" not in error.remedy:
            raise
        remedy = "Clean there; if it is dead, first say drpflow run --take-over -- --dry-run"
        raise InputError(error.source, error.problem, remedy) from None


def _listed(paths: list[Path], root: Path, most: int | None) -> list[str]:
    """Return files with the size of all, and how many there are in each folder of the root."""
    size_mb = sum(path.lstat().st_size for path in paths) / 1e6
    lines = [f"  {path}" for path in paths[:most]]
    if len(paths) > len(lines):
        lines.append(f"  … and {len(paths) - len(lines)} more: --all")
    folders = Counter(path.relative_to(root).parts[0] for path in paths)
    counts = ", ".join(f"{name} {count}" for name, count in folders.items())
    return [*lines, f"{len(paths)} files of {size_mb:.1f} MB below {root}: {counts}"]


def _confirmed(number: int) -> bool:
    """Ask, where somebody can answer.

    Raises
    ------
    InputError
        If nobody can.
    """
    if not sys.stdin.isatty():
        raise InputError("drpflow clean", "nobody can be asked", "Add --yes")
    return input(f"Remove these {number} files? [y/N] ").strip().lower() in {"y", "yes"}
