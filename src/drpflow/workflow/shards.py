"""A run in pieces: invocations of the workflow of bounded size, one after the other.

Snakemake plans all jobs of an invocation before it begins the first, at some milliseconds and
40 kB a job. A large survey is therefore cut at the steps that take all visits together: each shard
is a few stages of the flow, for some visits, pieces of the sky or patches, and to it the products
of earlier stages are plain files. A shard that was interrupted is taken up by the same command.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from drpflow.errors import InputError, suggest
from drpflow.workflow.number_lists import grouped_numbers, grouped_spans, numbers, spans

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from drpflow.workflow.plan import Plan

LARGEST: Final = 20_000
"""Jobs of a shard, unless another number is asked for."""
TARGET: Final = "shard"
"""The rule whose inputs are the products of a shard."""
# To plan a job of all detectors of a visit, which has the files of all of them, takes half the
# time and 0.6 of the memory of planning a job for each (benchmarks/bench_dag.py, 62 detectors).
_LOAD_OF_DETECTOR: Final = 0.6
# A job of a final image has the pieces of the sky and the warp masks about it as inputs, and takes
# 71 kB to plan where one of the first look takes 38 kB (the same).
_LOAD_OF_FINAL_IMAGE: Final = 1.8
# For each visit that touches a piece of the sky, its job has some files; 15 kB (the same).
_LOAD_OF_VISIT: Final = 0.4

Part: TypeAlias = "int | tuple[int, int]"
"""What a stage is cut into: a visit, a piece of the sky, or a tract and patch."""


class _Size(NamedTuple):
    """Number of jobs, and that of jobs of one detector which would cost as much to plan."""

    n_jobs: int
    load: int


class Stage(NamedTuple):
    """Tasks that need nothing of a later stage, and of an earlier one nothing but files.

    Parameters
    ----------
    name
        Its name.
    tasks
        Its tasks, in the order of the flow.
    cut
        What it can be cut into; nothing where it takes all visits together.
    load
        Memory for planning a job, that of a job of the first look being 1.
    """

    name: str
    tasks: tuple[str, ...]
    cut: Literal["visit", "association", "astrometry", "patch"] | None
    load: float = 1.0


STAGES: Final = (
    Stage(
        "first-look",
        ("makeVisitInfo", "isr", "calibrateImage", "consolidateVisit", "measureSky"),
        "visit",
    ),
    Stage("association", ("associateIsolatedStars",), "association"),
    Stage("photometry", ("fgcmMakeLookUpTable", "fgcm", "makeSkyFrame"), None),
    Stage("astrometry", ("solveAstrometry",), "astrometry"),
    Stage("second-look", ("modelVisitBackground", "finalizeCharacterization"), "visit"),
    Stage("final-astrometry", ("finalizeAstrometry",), "astrometry"),
    Stage("visit-summaries", ("updateVisitSummary",), "visit"),
    Stage("coadd-plans", ("planCoaddition",), None),
    Stage("coadds", ("makeWarp", "compareWarpAssembleCoadd"), "patch"),
    Stage(
        "final-images",
        ("finalizeImage", "consolidateSourceTable", "compressImage"),
        "visit",
        _LOAD_OF_FINAL_IMAGE,
    ),
    Stage("objects", ("matchSource", "fitStellarMotions"), "association"),
    Stage("report", ("makeReport",), None),
)
_REMEDY: Final = "Make a new list with drpflow shards"
_BY_NAME: Final = {stage.name: stage for stage in STAGES}


@dataclass(frozen=True)
class Shard:
    """One invocation of the workflow.

    Parameters
    ----------
    stages
        Its stages: several whole ones, or one.
    parts
        Which parts of the stage; all if empty.
    n_jobs
        Number of its jobs.
    """

    stages: tuple[Stage, ...]
    parts: tuple[Part, ...] = ()
    n_jobs: int = 0

    def __str__(self) -> str:
        """Return the shard's name, from which :func:`parse` makes it again."""
        names = "+".join(stage.name for stage in self.stages)
        return f"{names} {_listed(self.parts)}".rstrip()

    def has_task(self, task: str) -> bool:
        """Return whether a task is one of its stages."""
        return any(task in stage.tasks for stage in self.stages)

    def has_job(self, task: str, data_id: Mapping[str, int | str]) -> bool:
        """Return whether a job is one of its parts."""
        if not self.has_task(task) or not self.parts:
            return self.has_task(task)
        match self.stages[0].cut:
            case "visit":
                part: object = data_id["visit"]
            case "patch":
                part = data_id["tract"], data_id["patch"]
            case _:
                part = data_id["skypix"]
        return part in self.parts


def shards(plan: Plan, largest: int = LARGEST) -> list[Shard]:
    """Return the shards of a run in the order in which they can be run.

    A stage is cut where it has more jobs than `largest`; stages that follow each other and are
    not cut go together as far as they fit. A job of all detectors of a visit counts as several.

    Parameters
    ----------
    plan
        The run.
    largest
        Most jobs of a shard. A part that has more by itself (a patch of very many visits) is a
        shard of its own, and so is a stage that cannot be cut.
    """
    found: list[Shard] = []
    together, load = Shard(()), 0
    for stage in STAGES:
        sizes = dict(_sizes(plan, stage))
        total = _Size(*map(sum, zip(*sizes.values(), strict=True)))
        if together.stages and load + total.load > largest:
            found.append(together)
            together, load = Shard(()), 0
        if total.load <= largest or stage.cut is None:
            together = Shard((*together.stages, stage), n_jobs=together.n_jobs + total.n_jobs)
            load += total.load
        else:
            found += _chunks(stage, sizes, largest)
    return [*found, together] if together.stages else found


def parse(name: str) -> Shard:
    """Return the shard of a name, without its number of jobs.

    Raises
    ------
    InputError
        If there is no such stage, or its parts are no numbers.
    """
    names, _, listed = name.partition(" ")
    found = []
    for word in names.split("+"):
        if word not in _BY_NAME:
            hint = suggest(word, list(_BY_NAME))
            raise InputError("shard", f"there is no stage {word!r}{hint}", "See drpflow shards")
        found.append(_BY_NAME[word])
    if listed and (len(found) > 1 or found[0].cut is None):
        raise InputError("shard", f"{name!r} has parts", "Leave them out: this goes as a whole")
    try:
        parts = tuple(_parts(listed))
    except ValueError:
        problem = f"{listed!r} is no list such as 1-8,12 or 0:3-4;1:12"
        raise InputError("shard", problem, "Copy it from drpflow shards") from None
    return Shard(tuple(found), parts)


def targets(plan: Plan, name: str | None) -> list[str]:
    """Return the products of a shard, as far as the run keeps them.

    Parameters
    ----------
    plan
        The run.
    name
        The shard; None gives nothing.

    Raises
    ------
    InputError
        If the name is none, or names parts that the run has not.
    """
    if name is None:
        return []
    shard = parse(name)
    return [
        path
        for stage in shard.stages
        for pattern in _products(plan, stage)
        for path in _filled(plan, stage, pattern, shard.parts)
    ]


def snakemake_words(plan: Plan, shard: Shard) -> tuple[str, ...]:
    """Return what Snakemake is told beside the target.

    Rules of other stages do not exist for it, so that their products are plain files.
    """
    return "--allowed-rules", *_rules(plan, shard), "--config", f"shard={shard}"


def _rules(plan: Plan, shard: Shard) -> list[str]:
    """Return the rules that may run in a shard, that of the target among them."""
    found = [TARGET]
    for stage in shard.stages:
        for task in stage.tasks:
            found.append(task)
            if plan.by_visit and "detector" in plan.table.tasks[task].dimensions:
                found.append(f"{task}OfVisit")
    return found


def _chunks(stage: Stage, sizes: dict[Part, _Size], largest: int) -> Iterator[Shard]:
    """Return a stage in shards of about equal load, its parts in their order."""
    left = sum(size.load for size in sizes.values())
    taken: list[Part] = []
    n_jobs = load = 0
    for part, size in sizes.items():
        wanted = left / -(-left // largest)
        if taken and (load + size.load > largest or load + size.load / 2 > wanted):
            yield Shard((stage,), tuple(taken), n_jobs)
            left -= load
            taken, n_jobs, load = [], 0, 0
        taken.append(part)
        n_jobs += size.n_jobs
        load += size.load
    yield Shard((stage,), tuple(taken), n_jobs)


def _sizes(plan: Plan, stage: Stage) -> Iterator[tuple[Part, _Size]]:
    """Return each part of a stage with its size; 0 stands for the whole."""
    if stage.cut == "visit":
        per_detector = sum("detector" in plan.table.tasks[task].dimensions for task in stage.tasks)
        per_visit = len(stage.tasks) - per_detector
        batched = plan.batch.visits if plan.by_visit else frozenset()
        for visit, detectors in plan.survey.detectors.items():
            jobs = load = per_visit + per_detector * len(detectors)
            if visit in batched:
                jobs = per_visit + per_detector
                load = per_visit + per_detector * math.ceil(_LOAD_OF_DETECTOR * len(detectors))
            yield int(visit), _Size(jobs, math.ceil(stage.load * load))
        return
    if stage.cut == "association":
        n_tasks = len(stage.tasks)
        for piece, visits in plan.overlaps.visits.items():
            load = math.ceil(n_tasks * (1 + _LOAD_OF_VISIT * len(visits)))
            yield int(piece), _Size(n_tasks, load)
        return
    for part, n_jobs in _counts(plan, stage):
        yield part, _Size(n_jobs, n_jobs)


def _counts(plan: Plan, stage: Stage) -> Iterator[tuple[Part, int]]:
    """Return each part of the other stages with the number of its jobs."""
    if stage.cut == "astrometry":
        yield from ((int(piece), len(stage.tasks)) for piece in plan.astrometry.visits)
    elif stage.cut == "patch":
        sizes: dict[Part, int] = {}
        for (tract, patch, _), visits in plan.tracts.visits_of_patch.items():
            key = int(tract), int(patch)
            sizes[key] = sizes.get(key, 0) + len(visits) + 1
        yield from sorted(sizes.items())
    else:
        files = [plan.job_file("status", task, ".json") for task in stage.tasks]
        yield 0, len(plan.expand(files))


def _products(plan: Plan, stage: Stage) -> Iterator[str]:
    """Return path patterns of what a stage makes for good.

    Of datasets with a file a visit in the folder of a piece of the sky or of a patch, the rules
    declare the folder.
    """
    for name, entry in plan.table.datasets.items():
        if entry.task not in stage.tasks or plan.is_temporary(name):
            continue
        pattern = f"{plan.root}/{plan.table.path_template(name)}"
        pieces = {"skypix", "patch"} & set(entry.dimensions)
        in_folder = "visit" in entry.dimensions and pieces
        yield plan.astrometry.folder(pattern) if in_folder else pattern


def _filled(plan: Plan, stage: Stage, pattern: str, parts: Iterable[Part]) -> Iterator[str]:
    """Return a pattern filled with these parts of a stage, or with all."""
    if not parts:
        yield from plan.expand(pattern)
        return
    for part in parts:
        if stage.cut == "visit":
            yield from _of_visit(plan, pattern, str(part))
        elif isinstance(part, tuple):
            yield from _of_patch(plan, pattern, *map(str, part))
        else:
            yield _of_piece(plan, stage, pattern, str(part))


def _of_visit(plan: Plan, pattern: str, visit: str) -> Iterator[str]:
    if visit not in plan.survey.detectors:
        raise InputError("shard", f"the run has no visit {visit}", _REMEDY)
    if "{detector}" not in pattern:
        yield pattern.format(visit=visit)
        return
    for detector in plan.survey.detectors[visit]:
        yield pattern.format(visit=visit, detector=detector)


def _of_patch(plan: Plan, pattern: str, tract: str, patch: str) -> Iterator[str]:
    known = plan.tracts.visits_of_patch
    bands = [band for band in plan.survey.bands if (tract, patch, band) in known]
    if not bands:
        problem = f"the run has no tract {tract} with a patch {patch}"
        raise InputError("shard", problem, _REMEDY)
    for band in bands:
        yield pattern.format(tract=tract, patch=patch, band=band)


def _of_piece(plan: Plan, stage: Stage, pattern: str, piece: str) -> str:
    known = plan.overlaps if stage.cut == "association" else plan.astrometry
    if piece not in known.visits:
        raise InputError("shard", f"the run has no piece {piece} of the sky", _REMEDY)
    return pattern.format(skypix=piece)


def _listed(parts: tuple[Part, ...]) -> str:
    """Return parts in few words."""
    patches: dict[int, list[int]] = {}
    singles: list[int] = []
    for part in parts:
        if isinstance(part, tuple):
            patches.setdefault(part[0], []).append(part[1])
        else:
            singles.append(part)
    return grouped_spans(patches) if patches else spans(singles)


def _parts(text: str) -> Iterator[Part]:
    """Return the parts that :func:`_listed` has written."""
    if ":" not in text:
        yield from numbers(text)
        return
    for tract, patches in grouped_numbers(text).items():
        yield from ((tract, patch) for patch in patches)
