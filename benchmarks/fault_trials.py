"""Faults of the machine by the hundred, and whether the same command puts everything right.

    python benchmarks/fault_trials.py FOLDER [--jobs 200] [--kills 60] [--others 3] [--seed 1]

FOLDER is a run folder whose run is complete; if there is none, the survey ``tiny`` is simulated
and run there, which is the reference: what stands under the name of a product must at any moment
have the bytes that it has there, and nothing may be missing once the same command has ended. All
trials happen in a copy, FOLDER.trial.

Jobs are killed by hand, in processes that begin with all modules loaded, so that a trial takes as
long as the work itself. Runs are killed as a whole or in part: a job, the shell about it,
Snakemake, drpflow, all at once (a node that vanishes). A full disk is a small file system in
memory where that may be mounted, else a limit to the size of files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import traceback
from base64 import urlsafe_b64decode
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from faults import (
    ASIDE,
    forget,
    is_mark,
    kill_at_random,
    with_small_files,
    without_rights,
    wrong_products,
)

from drpflow.workflow.task_runner import start_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LAST = ("compressImage", "consolidateSourceTable", "matchSource", "fitStellarMotions", "makeReport")
STAGES = (LAST, ("finalizeImage", *LAST))
NO_PRODUCTS = ("logs", "benchmarks")
_LIMIT_BYTES = 30_000
_PAGE, _ROOM_BYTES = 4096, 300_000


@dataclass
class Folder:
    """A run folder of the drpflow that runs this script."""

    folder: Path

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "drpflow.cli", *words]

    def environment(self, **more: str) -> dict[str, str]:
        return os.environ | more

    def run(self, *words: str, before: Callable[[], None] | None = None) -> tuple[int, str]:
        """Return exit code and words of ``drpflow run``."""
        done = subprocess.run(
            self.command("run", "--cores", "1", *words),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=before,
        )
        return done.returncode, done.stderr + done.stdout

    def products(self) -> dict[str, str]:
        """Return the digest of every product by its name."""
        root = self.folder / "results"
        names = (p.relative_to(root) for p in sorted(root.rglob("*")) if p.is_file())
        wanted = (n for n in names if n.parts[0] not in {*NO_PRODUCTS, ASIDE} and not is_mark(n))
        return {str(name): digest(root / name) for name in wanted}


@dataclass
class Row:
    """What came of one kind of fault."""

    trials: int = 0
    wrong: int = 0
    missing: int = 0
    message: str = ""
    seconds: list[float] = field(default_factory=list)


@dataclass
class Trials:
    """The reference, the copy in which faults happen, and what came of them."""

    reference: Folder
    work: Folder
    rng: random.Random
    rows: dict[str, Row] = field(default_factory=lambda: defaultdict(Row))

    def __post_init__(self) -> None:
        self.right = self.reference.products()

    def renew(self) -> None:
        """Make the copy what the reference is."""
        shutil.rmtree(self.work.folder, ignore_errors=True)
        shutil.copytree(self.reference.folder, self.work.folder)

    @contextmanager
    def trial(self, kind: str) -> Iterator[Row]:
        row, begun = self.rows[kind], time.monotonic()
        row.trials += 1
        yield row
        row.seconds.append(time.monotonic() - begun)
        print(f"{kind}: {row.trials}, wrong {row.wrong}, missing {row.missing}", file=sys.stderr)

    def compare(self, row: Row, *, complete: bool = True) -> None:
        found = self.work.products()
        wrong = wrong_products(found, self.right)
        missing = sorted(set(self.right) - set(found)) if complete else []
        row.wrong += len(wrong)
        row.missing += len(missing)
        if wrong or missing:
            print("WRONG", wrong[:5], "MISSING", missing[:5], file=sys.stderr)

    def kill_jobs(self, number: int) -> None:
        """Kill jobs by hand, then do them again."""
        jobs, lasted = find_jobs(self.work.folder), {}
        for _ in range(number):
            words, outputs = self.rng.choice(jobs)
            with self.trial("kill -9 of a job") as row:
                if words not in lasted:
                    lasted[words] = self._do(words, outputs, row)
                remove(self.work.folder, outputs)
                pid = fork_job(self.work.folder, words)
                time.sleep(self.rng.uniform(0, 1.1 * lasted[words]))
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                wrong = [name for name in outputs if self._wrong(name)]
                row.wrong += len(wrong)
                if wrong:
                    print("WRONG after the kill", words[:60], wrong, file=sys.stderr)
                self._do(words, outputs, row)

    def _wrong(self, name: str) -> bool:
        """Return whether a file is there and is not what it must be."""
        path = self.work.folder / name
        return path.exists() and digest(path) != digest(self.reference.folder / name)

    def _do(self, words: str, outputs: list[str], row: Row) -> float:
        """Do a job to its end, and look at its products and for what is left; return seconds."""
        begun = time.monotonic()
        _, status = os.waitpid(fork_job(self.work.folder, words), 0)
        lasted = time.monotonic() - begun
        faults = [f"exit code {status}"] if status else []
        for name in outputs:
            path = self.work.folder / name
            row.missing += not path.exists()
            faults += [name] if self._wrong(name) else []
            faults += map(str, path.parent.glob(f".{path.name}.*.tmp"))
        row.wrong += len(faults)
        if faults:
            print("WRONG", words[:60], faults, file=sys.stderr)
        return lasted

    def kill_runs(self, number: int, longest_s: float) -> None:
        """Kill what runs, again and again until a run has come to its end."""
        done = True
        for _ in range(number):
            if done:
                forget(self.work, self.rng.choice(STAGES))
            begun = time.monotonic()
            killed = kill_at_random(self.work, self.rng, longest_s)
            row, done = self.rows[f"kill -9 of {killed.victim}"], killed.ended
            if not done:
                row.trials += 1
                row.seconds.append(time.monotonic() - begun)
            self.compare(row, complete=done)
            print(killed.victim, done, row, file=sys.stderr)
        with self.trial("the same command after the last kill") as row:
            code, text = self.work.run()
            row.wrong += code != 0
            row.message = found(text, r"process \d+ was killed in this folder.*")
            self.compare(row)

    def damage(self, number: int) -> None:
        """Harm a random product of the last tasks."""
        harms: dict[str, tuple[Callable[[Path], None], str]] = {
            "product cut short": (lambda p: p.write_bytes(p.read_bytes()[:-7]), ""),
            "product emptied": (lambda p: p.write_bytes(b""), ""),
            "byte of a product flipped": (flip, ""),
            "the same, with its time kept (a disk), run --verify": (flip_unseen, "--verify"),
            "status file cut short": (lambda p: p.write_bytes(p.read_bytes()[:30]), ""),
        }
        for kind, (harm, option) in harms.items():
            for _ in range(number):
                path = self._victim(of_status="status" in kind)
                with self.trial(kind) as row:
                    harm(path)
                    code, text = self.work.run(*option.split())
                    row.wrong += code != 0
                    row.message = found(text, re.escape(path.name) + ".*made again")
                    self.compare(row)

    def _victim(self, *, of_status: bool) -> Path:
        root = self.work.folder / "results"
        task = self.rng.choice(LAST)
        status = self.rng.choice(sorted((root / "status" / task).rglob("*.json")))
        return status if of_status else root / self.rng.choice(sorted(files_of(status)))

    def full_disk(self, number: int) -> None:
        """Run the last tasks without the room for what they write."""
        for _ in range(number):
            forget(self.work, LAST)
            with self.trial("full disk") as row, small_disk(self.work) as (folder, limit, enlarge):
                code, text = folder.run(before=limit)
                row.wrong += code == 0
                row.message = found(text, r"(No space left|File too large).*")
                self.compare(row, complete=False)
                enlarge()
                row.wrong += folder.run()[0] != 0
                row.wrong += len(wrong_products(folder.products(), self.right))
                row.missing += len(set(self.right) - set(folder.products()))
            self.renew()

    def shut(self, number: int) -> None:
        """Take away the right to write or read."""
        places = {
            "output root not writable": "results",
            "run folder not writable": ".",
            "folder of a product not writable": "results/compressed_pvi",
        }
        for kind, name in places.items():
            for _ in range(number):
                forget(self.work, LAST)
                path = self.work.folder / name
                path.mkdir(exist_ok=True)
                with self.trial(kind) as row:
                    path.chmod(0o555)
                    code, text = self.work.run(before=without_rights)
                    path.chmod(0o755)
                    row.wrong += code == 0
                    row.message = found(text, r".*[Pp]ermission denied.*")
                    self.compare(row, complete=False)
                    row.wrong += self.work.run()[0] != 0
                    self.compare(row)

    def unreadable_raw(self) -> None:
        """Let nobody read a raw frame that has not been processed; then give the right back."""
        frames = sorted((self.work.folder / "raw").rglob("*.fits"))
        forget(self.work, ("isr",))
        path = self.rng.choice(frames)
        with self.trial("raw frame not readable") as row:
            path.chmod(0)
            code, text = self.work.run(before=without_rights)
            row.wrong += code != 0
            row.message = found(text, r"\S+ cannot be read\. .*")
            path.chmod(0o644)
            row.wrong += self.work.run()[0] != 0
            self.compare(row)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def found(text: str, pattern: str) -> str:
    """Return what a run has said, without the folders."""
    match = re.search(pattern, text)
    return match[0] if match else ""


def files_of(status: Path) -> list[str]:
    return list(json.loads(status.read_text())["files"])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def flip_unseen(path: Path) -> None:
    times = path.stat()
    flip(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def remove(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)


def find_jobs(folder: Path) -> list[tuple[str, list[str]]]:
    """Return command and files of the jobs whose inputs are still there, from Snakemake's notes."""
    files: dict[str, list[str]] = defaultdict(list)
    notes = folder / ".snakemake/metadata"
    for note in sorted(notes.rglob("*")):
        if note.is_file():
            record = json.loads(note.read_text())
            coded = "".join(part.lstrip("@") for part in note.relative_to(notes).parts)
            name = urlsafe_b64decode(coded).decode()
            if all((folder / given).exists() for given in record["input"]):
                files[record["shellcmd"]].append(name)
    whole = {
        job: names for job, names in files.items() if all((folder / n).is_file() for n in names)
    }
    return sorted(whole.items())


def fork_job(folder: Path, words: str) -> int:
    """Begin a job as Snakemake would, in a process with all modules loaded; return its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.chdir(folder)
        _, script, *rest = shlex.split(words.replace("$DRPFLOW_SCRIPTS/", ""))
        end = rest.index(">")
        log = os.open(rest[end + 1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        code = load_task(script)(rest[:end])
    except Exception:  # noqa: BLE001 - whatever it is, this process ends here
        traceback.print_exc()
    finally:
        os._exit(code)


def load_task(script: str) -> Callable[[list[str]], int]:
    import importlib.util

    from drpflow.paths import share_root
    from drpflow.workflow.task_runner import main

    spec = importlib.util.spec_from_file_location("job", share_root() / "scripts" / script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda words: main(module.TASK, words)


def load_modules() -> None:
    """Load what jobs load, but compile nothing and start no thread."""
    import pkgutil
    from importlib import import_module

    import drpflow.io
    import drpflow.tasks

    start_process(1)
    for package in (drpflow.tasks, drpflow.io):
        for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            import_module(module.name)


@contextmanager
def small_disk(
    work: Folder,
) -> Iterator[tuple[Folder, Callable[[], None] | None, Callable[[], None]]]:
    """Give a run folder whose disk is full, what limits a process, and what enlarges the disk."""
    disk = work.folder.with_name("disk")
    disk.mkdir(exist_ok=True)
    pages = sum(-(-p.stat().st_size // _PAGE) for p in work.folder.rglob("*") if p.is_file())
    size = f"size={pages * _PAGE + _ROOM_BYTES}"
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", disk], check=False)
    if made.returncode:
        yield work, with_small_files(_LIMIT_BYTES), lambda: None
        return
    try:
        shutil.copytree(work.folder, disk / "run")
        larger = ["mount", "-o", "remount,size=4g", str(disk)]
        yield Folder(disk / "run"), None, lambda: subprocess.run(larger, check=True) and None
    finally:
        subprocess.run(["umount", disk], check=True)


def make_reference(folder: Path) -> None:
    """Simulate the survey ``tiny``, and run it."""
    folder.mkdir(parents=True)
    run = Folder(folder)
    for words in (
        ("simulate", "tiny", "--output", ".", "--cores", "1"),
        ("ingest", "raw", "--camera", "camera.yaml", "--calibrations", "calib"),
    ):
        subprocess.run(run.command(*words), cwd=folder, check=True)
    field = {"ra_deg": 150.1, "dec_deg": -12.3, "width_deg": 0.03, "height_deg": 0.02}
    values = {
        "camera": "camera.yaml",
        "sheets": "sheets",
        "reference_stars": "reference/reference_stars.parquet",
        "skyMap": {"layout": "field", "field": field, "patch_inner_pix": 400},
    }
    (folder / "config").mkdir()
    (folder / "config/config.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    code, text = run.run()
    if code:
        raise SystemExit(text)


def print_table(rows: dict[str, Row]) -> None:
    print("| fault | trials | wrong products | missing products | seconds a trial | what is said |")
    print("|---|---|---|---|---|---|")
    for kind, row in rows.items():
        mean = sum(row.seconds) / max(len(row.seconds), 1)
        said = row.message.replace("|", "\\|")
        print(f"| {kind} | {row.trials} | {row.wrong} | {row.missing} | {mean:.1f} | {said} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", type=int, default=200, help="jobs killed by hand")
    parser.add_argument("--kills", type=int, default=60, help="kills of what runs")
    parser.add_argument("--others", type=int, default=3, help="trials of each other kind")
    parser.add_argument("--longest", type=float, default=6.0, help="latest kill of a run, seconds")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    folder = args.folder.absolute()
    if not folder.exists():
        make_reference(folder)
    load_modules()
    trial = Folder(folder.with_name(f"{folder.name}.trial"))
    trials = Trials(Folder(folder), trial, random.Random(args.seed))
    trials.renew()
    trials.kill_jobs(args.jobs)
    trials.renew()
    if args.kills:
        trials.kill_runs(args.kills, args.longest)
    trials.damage(args.others)
    trials.shut(args.others)
    trials.full_disk(args.others)
    if args.others:
        trials.unreadable_raw()
    print_table(trials.rows)


if __name__ == "__main__":
    main()
