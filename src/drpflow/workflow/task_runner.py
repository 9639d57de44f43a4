"""What every script of a task has in common, so that a script is only reading, one call, writing.

A script declares a :class:`Task` and hands it to :func:`main`::

    TASK = Task("isr", config=IsrConfig, add_arguments=add_arguments, run=run, write_stub=stub)

    if __name__ == "__main__":
        sys.exit(main(TASK))

Four ends are possible:

* ``run`` returns: its figures go into the status file with outcome ``done``; exit code 0;
* ``run`` returns a :class:`Partial`: it has written complete outputs of which some components
  are missing, such as an image without a WCS. Outcome ``partial``, with the reason; exit code 0;
* ``run`` raises :class:`AlgorithmError` or :class:`InputError`: a *declared* failure.
  ``write_stub`` writes complete outputs whose failed parts are missing, the status file says
  ``failed`` and why, and the survey goes on; exit code 0;
* anything else is a fault of the machine, such as a full disk (a sentence), or a defect (traceback
  into the log): no status file, exit code 1.

The status file comes last, holds size and checksum of each file that the job has written and no
times, and equal runs give equal bytes.

One process can do the work of several detectors, one after the other, which spares the start
of Python and the loading of compiled kernels (:mod:`drpflow.workflow.batch`).
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import logging
import os
import sys
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from drpflow.errors import AlgorithmError, InputError, machine_fault
from drpflow.io.atomic import noted_files
from drpflow.io.status_files import write_outcome
from drpflow.memory import keep_freed_memory
from drpflow.workflow import batch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = logging.getLogger("drpflow")

Number: TypeAlias = float | int | str
Failure: TypeAlias = AlgorithmError | InputError

# Everything that starts threads of its own, and reads its number of threads once, on import.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)
# pyarrow loads it beside the allocator that it uses.
_NO_THREAD_OF_JEMALLOC = ("JE_ARROW_MALLOC_CONF", "background_thread:false")
# Modules make 150,000 objects as they are loaded, of which none dies. To search them for cycles
# of dead ones, again and again as their number grows, takes a tenth of the time of the imports.
_NEW_OBJECTS_BEFORE_GC = 200_000


@dataclass(frozen=True)
class Partial:
    """What ``run`` returns where all outputs are written, but some components are missing.

    Parameters
    ----------
    numbers
        Figures for the status file; those of the failure are added.
    failure
        Why components are missing; the first cause, where there are several.
    """

    numbers: Mapping[str, Number]
    failure: Failure


@dataclass(frozen=True)
class Task:
    """A task as its script declares it.

    Parameters
    ----------
    name
        The task label, e.g. ``"calibrateImage"``.
    run
        Reads the inputs, calls the task's function and writes the outputs, from the parsed
        arguments. May return figures for the status file (counts, levels), or a
        :class:`Partial`.
    write_stub
        Writes every output of the task in the form that says "failed", from the arguments
        and the failure. None for a task that depends on no data: its failures are defects.
    add_arguments
        Adds the task's own arguments to the parser.
    config
        Model of the task's config section. ``args.config`` is then an instance of it.
    description
        A sentence for ``--help``.
    """

    name: str
    run: Callable[[argparse.Namespace], Mapping[str, Number] | Partial | None]
    write_stub: Callable[[argparse.Namespace, Failure], None] | None
    add_arguments: Callable[[argparse.ArgumentParser], None]
    config: type[Any] | None = None
    description: str = ""


def main(task: Task, argv: list[str] | None = None) -> int:
    """Run a task from the command line and return its exit code.

    Parameters
    ----------
    task
        The task.
    argv
        Arguments; those of the process by default.

    Returns
    -------
    int
        0 for success and for a declared failure, 1 for a defect, 2 for a wrong command line
        or config section.
    """
    words = sys.argv[1:] if argv is None else argv
    jobs = batch.jobs(words)
    if jobs is None:
        args = _parse(task, words)
        start_process(args.threads)
        return _run_job(task, args) or _note_cost(args.timing)
    parsed = [(job, _parse(task, job.words)) for job in jobs]
    start_process(parsed[0][1].threads)
    for job, args in parsed:
        with batch.noted(job, args.log):
            code = _run_job(task, args)
        if code:
            return code
    return _note_cost(parsed[0][1].timing)


def _note_cost(timing: Path | None) -> int:
    """Write down what this process has cost; return 0, as the work is done in any case."""
    if timing is not None:
        from drpflow.io.benchmark_files import write_benchmark
        from drpflow.workflow.process_cost import process_cost

        try:
            write_benchmark(timing, process_cost())
        except OSError as error:
            log.warning("time and memory are not recorded: %s", machine_fault(error) or error)
    return 0


def _run_job(task: Task, args: argparse.Namespace) -> int:
    """Do the work of one data ID; return the exit code."""
    data_id = data_id_of(args.status) if args.status else {}
    try:
        args.config = _section(task, args.config)
    except InputError as error:
        log.error("%s", error)  # noqa: TRY400 - a fault of the user's, told in one sentence
        return 2
    try:
        with noted_files() as files:
            status = _outcome(task, args, data_id)
        if args.status:
            root = _root(args.status)
            status["files"] = {os.path.relpath(p, root): files[p] for p in sorted(files)}
            write_outcome(args.status, status)
    except Exception as error:
        if fault := machine_fault(error):
            log.error("%s %s: %s", task.name, data_id, fault)  # noqa: TRY400 - no defect
        else:
            log.exception("%s %s: defect", task.name, data_id)
        return 1
    _note_modules(task.name)
    return 0


def _outcome(task: Task, args: argparse.Namespace, data_id: dict[str, int | str]) -> dict[str, Any]:
    """Do the work, or write what says that it failed; return the status."""
    try:
        return _ended(task.name, data_id, task.run(args))
    except (AlgorithmError, InputError) as failure:
        if task.write_stub is None or _blames_machine(failure, args.status):
            raise
        log.warning("%s failed: %s", task.name, failure)
        task.write_stub(args, failure)
        return _lost(task.name, data_id, "failed", failure)


def _blames_machine(failure: Failure, status: Path | None) -> bool:
    """Return whether a file could not be read for a reason that says nothing of the data.

    A frame or a calibration that nobody may read is lost to the survey until somebody may; of a
    product of the run, nothing is known.
    """
    source = Path(getattr(failure, "source", ""))
    of_run = status is not None and _root(status).absolute() in source.absolute().parents
    return bool(machine_fault(failure, rights=of_run))


def _root(status: Path) -> Path:
    """Return the output root that a status file belongs to; its folder, if it stands elsewhere."""
    roots = (folder.parent for folder in status.parents if folder.name == "status")
    return next(roots, status.parent)


def start_process(threads: int | None = None) -> None:
    """Set threads, numba's cache, memory, logging; call it before numpy is imported.

    Parameters
    ----------
    threads
        Threads that this process may use; by default what ``OMP_NUM_THREADS`` says (Snakemake
        sets it to the rule's ``threads``), else 1.
    """
    count = str(threads or os.environ.get("OMP_NUM_THREADS") or 1)
    for name in _THREAD_VARIABLES:
        os.environ[name] = count
    os.environ.setdefault(*_NO_THREAD_OF_JEMALLOC)
    os.environ.setdefault("NUMBA_CACHE_DIR", str(_numba_cache()))
    gc.set_threshold(_NEW_OBJECTS_BEFORE_GC)
    keep_freed_memory()
    logging.basicConfig(
        level=os.environ.get("DRPFLOW_LOG_LEVEL", "INFO").upper(),
        format="%(levelname)s %(message)s",
        stream=sys.stderr,
    )
    logging.captureWarnings(capture=True)


def _numba_cache() -> Path:
    """Return where compiled kernels are kept: a folder for each version of the kernels.

    numba looks for changes in a kernel's own file alone. A kernel that calls one of another
    file would go on with the old one, since that is compiled into it.
    """
    from drpflow.paths import user_cache

    sources = sorted((Path(__file__).parents[1] / "kernels").glob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    return user_cache() / "numba" / digest[:16]


def data_id_of(path: str | Path) -> dict[str, int | str]:
    """Return the data ID that a path's ``key=value`` parts spell.

    >>> data_id_of("results/status/isr/visit=12/detector=3.json")
    {'visit': 12, 'detector': 3}
    """
    data_id: dict[str, int | str] = {}
    for part in Path(path).with_suffix("").parts:
        key, equals, value = part.partition("=")
        if equals:
            data_id[key] = int(value) if value.isdecimal() else value
    return data_id


def _parse(task: Task, argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"{task.name}.py", description=task.description or f"Run the task {task.name}."
    )
    task.add_arguments(parser)
    parser.add_argument("--status", type=Path, help="status file to write (JSON)")
    parser.add_argument("--timing", type=Path, help="file to write with time and memory (TSV)")
    parser.add_argument("--threads", type=int, help="threads (default: OMP_NUM_THREADS or 1)")
    parser.add_argument("--code", default="", help="fingerprint of the code, for the provenance")
    parser.add_argument(
        "--config",
        default="{}",
        help="the task's parameters: a config file, whose section of the task's name is used, "
        "or a JSON object; what is not given has its default",
    )
    batch.add_arguments(parser)
    return parser.parse_args(argv)


def _section(task: Task, given: str) -> Any:
    """Return the validated config section of `task` from JSON text or a config file."""
    if task.config is None:
        return None
    from drpflow.config.base import validate

    if given.lstrip().startswith("{"):
        return validate(task.config, json.loads(given), f"--config of {task.name}")
    from drpflow.io.config_file import read_sections

    path = Path(given)
    return validate(task.config, read_sections(path).get(task.name), path)


def _ended(
    task: str, data_id: Mapping[str, int | str], result: Mapping[str, Number] | Partial | None
) -> dict[str, Any]:
    """Return the status of a task that has returned."""
    if isinstance(result, Partial):
        log.warning("%s is incomplete: %s", task, result.failure)
        return _lost(task, data_id, "partial", result.failure, result.numbers)
    return _status(task, data_id, "done", numbers=result)


def _lost(
    task: str,
    data_id: Mapping[str, int | str],
    outcome: str,
    failure: Failure,
    numbers: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the status of a task that has lost something, or all."""
    if isinstance(failure, InputError):
        reason, hint = f"{failure.source}: {failure.problem}", failure.remedy
        return _status(task, data_id, outcome, reason=reason, numbers=numbers, hint=hint)
    return _status(
        task,
        data_id,
        outcome,
        reason=failure.message,
        numbers={**(numbers or {}), **failure.numbers},
        hint=failure.hint,
    )


def _status(
    task: str,
    data_id: Mapping[str, int | str],
    outcome: str,
    *,
    reason: str = "",
    numbers: Mapping[str, Any] | None = None,
    hint: str = "",
) -> dict[str, Any]:
    return {
        "task": task,
        "data_id": dict(data_id),
        "outcome": outcome,
        "reason": reason,
        "numbers": {key: _plain(value) for key, value in (numbers or {}).items()},
        "hint": hint,
    }


def _plain(value: Any) -> Number | None:
    """Return a JSON-able number: numpy scalars become Python's, NaN and infinity ``None``."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not isfinite(value) else value


def _note_modules(task: str) -> None:
    """Write down which drpflow modules have been loaded, where a test asks for it.

    The code fingerprint follows import statements; a module that was loaded by its name in a
    string would escape it, and an edit of that module would make nothing stale.
    """
    folder = os.environ.get("DRPFLOW_NOTE_MODULES")
    if folder:
        loaded = sorted(name for name in sys.modules if name.partition(".")[0] == "drpflow")
        Path(folder, f"{task}.{os.getpid()}").write_text("\n".join(loaded))
