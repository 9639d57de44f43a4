"""Jobs that are killed by hand, in processes that begin with all modules loaded.

A trial takes as long as the work itself, so that there may be hundreds of them.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import time
import traceback
from base64 import urlsafe_b64decode
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from fault_folder import digest, tell

from drpflow.paths import share_root
from drpflow.workflow.job_server import load_tasks, run_task

if TYPE_CHECKING:
    from fault_folder import Row, Trials


def kill_jobs(trials: Trials, number: int) -> None:
    """Kill jobs by hand, then do them again."""
    if not number:
        return
    trials.renew(temporary=True)
    forks = Forks(trials.work.folder)
    jobs, lasted = find_jobs(trials.work.folder), {}
    for _ in range(number):
        words, outputs = trials.rng.choice(jobs)
        with trials.trial("a job by hand") as row:
            if words not in lasted:
                lasted[words] = _do(trials, forks, words, outputs, row)
            for name in outputs:
                (trials.work.folder / name).unlink(missing_ok=True)
            pid = forks.begin(words)
            time.sleep(trials.rng.uniform(0, 1.1 * lasted[words]))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            wrong = [name for name in outputs if _wrong(trials, name)]
            row.wrong += len(wrong)
            if wrong:
                tell(f"WRONG after the kill {words[:60]} {wrong}")
            _do(trials, forks, words, outputs, row)


def _wrong(trials: Trials, name: str) -> bool:
    """Return whether a file is there and is not what it must be."""
    root = trials.work.root
    path = Path(name).relative_to(root.name)
    wrong = (root / path).exists() and digest(root, path) != trials.right[str(path)]
    if wrong:
        trials.keep(trials.work, [str(path)])
    return wrong


def _do(trials: Trials, forks: Forks, words: str, outputs: list[str], row: Row) -> float:
    """Do a job to its end, and look at its products and for what is left; return seconds."""
    begun = time.monotonic()
    _, status = os.waitpid(forks.begin(words), 0)
    lasted = time.monotonic() - begun
    row.failed += status != 0
    faults = []
    for name in outputs:
        path = trials.work.folder / name
        row.missing += not path.exists()
        faults += [name] if _wrong(trials, name) else []
        faults += map(str, path.parent.glob(f".{path.name}.*.tmp"))
    row.wrong += len(faults)
    if faults:
        tell(f"WRONG {words[:60]} {faults}")
    return lasted


def find_jobs(folder: Path) -> list[tuple[str, list[str]]]:
    """Return command and files of the jobs whose inputs are still there, from Snakemake's notes.

    Not of the report, which tells of whatever there is in the folder.
    """
    files: dict[str, list[str]] = defaultdict(list)
    notes = folder / ".snakemake/metadata"
    for note in sorted(notes.rglob("*")):
        if note.is_file():
            record = json.loads(note.read_text())
            coded = "".join(part.lstrip("@") for part in note.relative_to(notes).parts)
            name = urlsafe_b64decode(coded).decode()
            of_report = record["rule"] == "makeReport"
            if not of_report and all((folder / given).exists() for given in record["input"]):
                files[record["shellcmd"]].append(name)
    whole = {
        job: names for job, names in files.items() if all((folder / n).is_file() for n in names)
    }
    return sorted(whole.items())


class Forks:
    """Jobs begun as the job server does it, from this process, which loads all modules."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tasks = load_tasks()

    def begin(self, words: str) -> int:
        """Begin the job of a shell command, and return its process id."""
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            os.chdir(self._folder)
            scripts = str(share_root() / "scripts")
            _, *command = shlex.split(words.replace("$DRPFLOW_SCRIPTS", scripts))
            end = command.index(">")
            log = os.open(command[end + 1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            code = run_task(self._tasks[command[0]], command[:end])
        except Exception:  # noqa: BLE001 - whatever it is, this process ends here
            traceback.print_exc()
        finally:
            os._exit(code)
