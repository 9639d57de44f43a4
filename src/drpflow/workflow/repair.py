"""What is done about damaged products and status files before Snakemake starts.

A damaged product goes out of the way, so that it is made again. A status file that is gone or says
nothing is the output of a job, and the input of none: its job is marked as one that has not ended.
Neither is done where a frame's files have been archived, of which the product was made: its job
would find nothing to work on.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from drpflow.errors import InputError
from drpflow.workflow.damage import ASIDE, Damage, find_damage_of_task, set_aside
from drpflow.workflow.snakemake_notes import is_incomplete, mark_incomplete
from drpflow.workflow.status import expected_jobs
from drpflow.workflow.task_runner import data_id_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from drpflow.workflow.plan import Plan
    from drpflow.workflow.shards import Shard

_PUT_BACK: Final = "Put it back, and run again"


class Finding(NamedTuple):
    """A job that has left something damaged.

    Parameters
    ----------
    task
        Its task.
    damage
        What is wrong.
    kept
        A file of the job that is there, by which Snakemake can be told of it.
    lacking
        A file that the job would need and that is not there; empty if all are.
    """

    task: str
    damage: Damage
    kept: str
    lacking: str

    @property
    def told(self) -> list[str]:
        """What is wrong, a phrase for each file."""
        return [f"{path} {why}" for path, why in self.damage.faults.items()]


class _Frame(NamedTuple):
    visit: str
    detector: str


class Repair:
    """Finds what is damaged in a run, and has it made again.

    Parameters
    ----------
    plan
        The run.
    thorough
        Read all products.
    dry
        Tell, and change nothing.
    shard
        The piece of the run that is wanted; damage in other pieces is told, and left.
    whole
        Whether all is wanted.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        thorough: bool = False,
        dry: bool = False,
        shard: Shard | None = None,
        whole: bool = True,
    ) -> None:
        self._plan = plan
        self._thorough = thorough
        self._dry = dry
        self._shard = shard
        self._again = "made again" if whole else "made again by the run that asks for it"
        self._known: set[Path] = set()

    def begin(self) -> Iterator[str]:
        """Do what there is to do before Snakemake starts; yield what to tell of it.

        Raises
        ------
        InputError
            If a product is damaged and cannot be made again. Jobs that read it would take it for
            a new one, and fail on it.
        """
        found = list(find(self._plan, thorough=self._thorough))
        self._known = {finding.damage.status for finding in found}
        if not self._dry:
            _refuse_loss([f for f in found if f.lacking and f.damage.files and self._is_ours(f)])
        for finding in found:
            act = self._act_on(finding)
            yield from (f"{told}: {act}" for told in finding.told)

    def end(self) -> Iterator[str]:
        """Yield what to tell of products that were damaged while the run went on."""
        shard = self._shard
        tasks = [t for t in self._plan.tasks if shard is None or shard.has_task(t)]
        for task in tasks:
            jobs = sorted(expected_jobs(self._plan, task))
            for damage in find_damage_of_task(Path(self._plan.root), jobs):
                if damage.status not in self._known:
                    remedy = "since it was made; the same command makes it again"
                    yield from (f"{path} {why} {remedy}" for path, why in damage.faults.items())

    def _is_ours(self, finding: Finding) -> bool:
        if self._shard is None:
            return True
        return self._shard.has_job(finding.task, _data_id(self._plan, finding.damage.status))

    def _act_on(self, finding: Finding) -> str:
        """Have a job done again where it can be; return what to tell of it."""
        if not self._is_ours(finding):
            return "of another shard, and left to it"
        if finding.lacking:
            return f"{finding.lacking} is not there, of which it was made. {_PUT_BACK}"
        if not finding.damage.files:
            if not self._dry:
                mark_incomplete(finding.kept)
            return f"what its job makes is {self._again}"
        if self._dry:
            return "a run makes it again"
        set_aside(Path(self._plan.root), finding.damage)
        return f"moved to {self._plan.root}/{ASIDE} and {self._again}"


def find(plan: Plan, *, thorough: bool = False) -> Iterator[Finding]:
    """Yield the jobs of a run that have left something damaged.

    Parameters
    ----------
    plan
        The run.
    thorough
        Read all products.
    """
    for task in plan.tasks:
        jobs = sorted(expected_jobs(plan, task))
        for damage in find_damage_of_task(Path(plan.root), jobs, thorough=thorough):
            kept, lacking = str(damage.status), _lacking(plan, task, damage.status)
            yield Finding(task, damage, kept, lacking)
        for status, kept in _without_status(plan, task, jobs):
            damage = Damage(status, {status: "is missing"})
            yield Finding(task, damage, kept, _lacking(plan, task, status))


def _without_status(plan: Plan, task: str, jobs: Iterable[str]) -> Iterator[tuple[Path, str]]:
    """Yield the status files that are gone, with a product of the job that is there.

    Temporary products go by themselves, folders that Snakemake takes for one product are of several
    jobs, and what a killed job has left Snakemake knows of.
    """
    entry, table, root = plan.table.tasks[task], plan.table, Path(plan.root)
    names = [] if entry.on_demand else _kept_products(plan, task)
    if not any((root / table.path_template(name).partition("/")[0]).is_dir() for name in names):
        return
    for job in jobs:
        status = Path(job)
        if status.exists():
            continue
        data_id = _data_id(plan, status)
        paths = (table.path(root, name, **data_id) for name in names)
        kept = next((str(path) for path in paths if path.is_file()), "")
        if kept and not is_incomplete(kept):
            yield status, kept


def _kept_products(plan: Plan, task: str) -> list[str]:
    """Return the dataset types of which a job of a task leaves one file for good."""
    table = plan.table
    of_job = table.tasks[task].dimensions
    return [
        name
        for name, entry in table.datasets.items()
        if entry.task == task
        and not plan.is_temporary(name)
        and set(table.dimensions_of(name)) == {d for d in of_job if not table.dimensions[d].implied}
    ]


def _lacking(plan: Plan, task: str, status: Path) -> str:
    """Return a file of a frame that its job needs and that has been archived; empty if none has.

    Files of frames that have failed for want of them are not needed.
    """
    if task not in {"isr", "calibrateImage"}:
        return ""
    data_id = _data_id(plan, status)
    visit, detectors = str(data_id["visit"]), [str(data_id["detector"])]
    if plan.by_visit and visit in plan.batch.visits:
        detectors = list(plan.batch.detectors)
    frames = [_Frame(visit, detector) for detector in detectors]
    if task == "calibrateImage":
        images = (plan.table.path(plan.root, "post_isr_image", **_numbers(f)) for f in frames)
        if all(image.is_file() for image in images):
            return ""
    needed = (path for frame in frames for path in plan.survey.frame_files(frame).values())
    return next((path for path in needed if not Path(path).is_file()), "")


def _refuse_loss(findings: list[Finding]) -> None:
    """Raise if there are findings, all of products that cannot be made again."""
    if not findings:
        return
    path, why = next(iter(findings[0].damage.faults.items()))
    gone = findings[0].lacking
    more = f"; and {len(findings) - 1} more such" if len(findings) > 1 else ""
    raise InputError(
        path,
        f"it {why}, and {gone}, of which it was made, is not there{more}",
        f"{_PUT_BACK}, or take the frame out of the sheets",
    )


def _data_id(plan: Plan, status: Path) -> dict[str, int | str]:
    return data_id_of(status.relative_to(plan.root))


def _numbers(frame: _Frame) -> dict[str, int]:
    return {"visit": int(frame.visit), "detector": int(frame.detector)}
