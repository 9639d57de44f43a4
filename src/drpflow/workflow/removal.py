"""Which files of a run may go, and their removal. Raw data and what the sheets name never do."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from drpflow.io.atomic import find_strays
from drpflow.io.exposure_fits import parts_folder
from drpflow.io.sheets import CALIBRATIONS, EXPOSURES, read_calibrations, read_exposures
from drpflow.workflow.astrometry_pieces import skypix_level
from drpflow.workflow.plan import load_plan
from drpflow.workflow.task_runner import data_id_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from drpflow.workflow.plan import Plan

KINDS: Final = {
    "strays": "temporary files of killed runs",
    "logs": "logs and timings of jobs that have left no status: lost, or ended with an error",
    "dropped": "products of visits, and of pieces of the sky, that the sheets no longer have",
    "products": "all products, with status, logs, timings and report",
}
"""What can be removed, and what that is."""
# Folders below the output root that hold no datasets.
_RECORDS: Final = ("status", "logs", "benchmarks")


def find(plan: Plan, kind: str) -> list[Path]:
    """Return the files of a kind that can be removed, sorted.

    Parameters
    ----------
    plan
        The run.
    kind
        One of :data:`KINDS`.
    """
    root = Path(plan.root)
    found: Iterable[Path]
    match kind:
        case "strays":
            found = find_strays(root)
        case "logs":
            found = _lost_logs(root)
        case "dropped":
            found = _dropped(_whole(plan), root)
        case _:
            templates = map(plan.table.path_template, plan.table.datasets)
            names = dict.fromkeys(template.partition("/")[0] for template in templates)
            found = (path for name in (*names, *_RECORDS) for path in _files_of(root / name))
    kept = _kept_files(plan)
    return sorted({path for path in found if not _is_kept(path, kept)})


def remove(paths: Iterable[Path], root: str | Path) -> None:
    """Remove files, and the folders below `root` that are then empty."""
    folders = set()
    for path in paths:
        with suppress(FileNotFoundError):
            path.unlink()
        folders.add(path.parent)
    for folder in folders:
        inner = folder
        while inner != Path(root) and inner.is_relative_to(root):
            try:
                inner.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                break
            inner = inner.parent


def _whole(plan: Plan) -> Plan:
    """Return the plan of all visits of the sheets, also those that the config leaves out."""
    if plan.run.visits is None:
        return plan
    return load_plan(plan.run.model_copy(update={"visits": None}), warn=False)


def _lost_logs(root: Path) -> Iterator[Path]:
    """Yield logs and timings without status; a visit's job has a folder of status files."""
    for folder in ("logs", "benchmarks"):
        for path in _files_of(root / folder):
            status = root / "status" / path.relative_to(root / folder)
            if not status.with_suffix(".json").is_file() and not status.with_suffix("").is_dir():
                yield path


def _dropped(plan: Plan, root: Path) -> Iterator[Path]:
    """Yield what belongs to visits and pieces of the sky that are not of the run."""
    visits = {int(visit) for visit in plan.survey.visits}
    pieces: dict[str, Collection[str]] = {
        "association": plan.overlaps.visits,
        "astrometry": plan.astrometry.visits,
    }

    def is_strange(path: Path, data_id: Mapping[str, int | str]) -> bool:
        """Return whether a file is of a visit or a piece of the sky that is not of the run."""
        level = skypix_level(plan.table, path.as_posix())
        # A task that takes all pieces together has products of each, and no piece of its own.
        if (
            level is not None
            and "skypix" in data_id
            and str(data_id["skypix"]) not in pieces[level]
        ):
            return True
        return "visit" in data_id and data_id["visit"] not in visits

    for name in plan.table.datasets:
        template = plan.table.template(name)
        for path in root.glob(template.glob({})):
            data_id = template.parse(path.relative_to(root).as_posix())
            if data_id is None:
                continue
            if plan.is_folder(name):
                # Its rule makes the folder of a piece anew where visits are gone.
                data_id.pop("visit")
            if is_strange(path, data_id):
                yield from (path, *_files_of(parts_folder(path)))
    for folder in _RECORDS:
        for path in _files_of(root / folder):
            if is_strange(path, data_id_of(path)):
                yield path


def _kept_files(plan: Plan) -> set[Path]:
    """Return what must stay: all that the sheets and the config name, resolved."""
    sheets, run = plan.run.sheets, plan.run
    names: list[str | Path] = [sheets, run.camera]
    for row in read_exposures(sheets / EXPOSURES):
        names += filter(None, (row.path, row.weight_path, row.mask_path))
    if (sheets / CALIBRATIONS).is_file():
        names += [row.path for row in read_calibrations(sheets / CALIBRATIONS)]
    names += [path for path in (run.reference_stars, *plan.bright_objects) if path is not None]
    return {Path(name).resolve() for name in names}


def _is_kept(path: Path, kept: set[Path]) -> bool:
    real = path.resolve()
    return real in kept or not kept.isdisjoint(real.parents)


def _files_of(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
