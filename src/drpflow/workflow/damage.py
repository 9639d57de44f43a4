"""Products that are no longer what their jobs wrote, and how they are made again.

Each status file holds size and checksum of what its job has written. The job touches nothing after
that, so that a product of another size, or one that is newer than its status file and has another
checksum, was cut short, emptied or altered by something else. Bytes that change by themselves on a
disk leave size and time as they were: these show only where all files are read.

What Snakemake deletes, and what a user deletes, is no damage: Snakemake knows what to do. It does
not look into a folder that a job has written as a whole, so that a file that is missing there is.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from drpflow.errors import InputError, machine_fault
from drpflow.io.atomic import Content, content_of
from drpflow.io.status_files import read_outcome
from drpflow.workflow.task_runner import data_id_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

ASIDE: Final = "damaged"
"""Folder below the output root to which damaged products are moved."""
# Snakemake's mark in a folder that is the output of a job.
_OUTPUT_FOLDER: Final = ".snakemake_timestamp"


@dataclass(frozen=True)
class Damage:
    """What is left of the work of one job.

    Parameters
    ----------
    status
        Its status file.
    faults
        What is wrong, by file.
    files
        All that the job has written, but the status file; nothing where that one is damaged.
    """

    status: Path
    faults: Mapping[Path, str]
    files: tuple[Path, ...] = ()


def find_damage(root: Path, jobs: Iterable[str], *, thorough: bool = False) -> Iterator[Damage]:
    """Yield the jobs of which a product is damaged.

    Parameters
    ----------
    root
        Output root.
    jobs
        Status files of the jobs to look at, there or not.
    thorough
        Read all products, instead of those alone that are newer than their status file.

    Raises
    ------
    InputError
        If a status file cannot be read for a reason that lies in the machine.
    """
    for job in jobs:
        status = Path(job)
        try:
            newest = status.stat().st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):
            continue
        try:
            outcome = read_outcome(root, status)
        except InputError as error:
            if machine_fault(error):
                raise
            yield Damage(status, {status: error.problem})
            continue
        if outcome.task not in status.parts or outcome.data_id != data_id_of(status):
            yield Damage(status, {status: f"is that of {outcome.task} {outcome.where}"})
            continue
        files = outcome.files
        known = {root / name: content for name, content in files.items()}
        faults = {path: _fault(root, path, known[path], newest, thorough) for path in known}
        if any(faults.values()):
            yield Damage(status, {p: why for p, why in faults.items() if why}, tuple(known))


def find_damage_of_task(
    root: Path, jobs: Sequence[str], *, thorough: bool = False
) -> Iterator[Damage]:
    """Yield the jobs of one task of which a product is damaged; see :func:`find_damage`.

    Where a product is, all products of the task are read: of two files that have changed places,
    the one is newer than the job that it is now found at, the other is not.
    """
    found = list(find_damage(root, jobs, thorough=thorough))
    more = not thorough and any(damage.files for damage in found)
    yield from find_damage(root, jobs, thorough=True) if more else found


def _fault(root: Path, path: Path, written: Content, newest_ns: int, thorough: bool) -> str:
    """Return what is wrong with a product; empty if nothing is."""
    try:
        about = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "is missing" if _whole_folder(root, path) else ""
    if about.st_size != written.size:
        return f"has {about.st_size} bytes instead of {written.size}"
    suspect = thorough or about.st_mtime_ns > newest_ns
    return "has other bytes" if suspect and content_of(path) != written else ""


def set_aside(root: Path, damage: Damage) -> None:
    """Move what is damaged out of the way, and remove what else the job has written.

    Snakemake then runs the job again, and what follows from it. The status file goes last, so
    that whoever is interrupted here finds the rest the next time. Of a job whose status file alone
    is damaged nothing is known but that file: see :mod:`drpflow.workflow.repair`.

    Parameters
    ----------
    root
        Output root.
    damage
        The job.
    """
    for path in damage.faults:
        if path.exists():
            aside = root / ASIDE / path.relative_to(root)
            aside.parent.mkdir(parents=True, exist_ok=True)
            # Products may lie on another disk, to which a folder is a link.
            shutil.move(path, aside)
    for path in damage.files:
        if folder := _whole_folder(root, path):
            shutil.rmtree(folder.resolve())
            if folder.is_symlink():
                folder.unlink()
        path.unlink(missing_ok=True)
    damage.status.unlink(missing_ok=True)


def _whole_folder(root: Path, path: Path) -> Path | None:
    """Return the folder that Snakemake takes for one product and that a file stands in."""
    folders = path.parents[: len(path.relative_to(root).parents) - 1]
    return next((folder for folder in folders if (folder / _OUTPUT_FOLDER).exists()), None)
