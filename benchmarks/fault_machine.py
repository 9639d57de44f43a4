"""A full disk, and rights that are missing."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from fault_files import LATE
from fault_runs import half_ways
from faults import forget, with_small_files, without_rights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fault_folder import Folder, Row, Trials

_LIMIT_BYTES = 30_000
_FULL = r".*(No space left|File too large|Disk quota).*"
_DENIED = r".*[Pp]ermission denied.*"
# What may not be written to, while stellar motions are to be fitted.
SHUT = (
    ".",
    "results",
    ".snakemake",
    "results/status",
    "results/status/fitStellarMotions",
    "results/logs/fitStellarMotions",
    "results/stellar_motions",
)
# Nobody misses what may not be written there.
OF_NO_MATTER = "results/benchmarks/fitStellarMotions"
UNREADABLE = ("config/config.yaml", "camera.yaml", "sheets/exposures.tsv")
# One file each, of products and of status files.
UNREADABLE_FILES = ("results/source/*/*.parquet", "results/status/isr/*/*.json")


def full_disk(trials: Trials, number: int) -> None:
    """Run without the room for all that is written; then enlarge the disk."""
    sources = [*reversed(half_ways(trials)), None]
    for i in range(number):
        source = sources[i % len(sources)]
        trials.renew(source)
        if source is None:
            forget(trials.work, LATE)
        room = _room_bytes(trials)
        with trials.trial("full disk") as row:
            while not _fill(trials, row, room):
                room //= 4


def _fill(trials: Trials, row: Row, room_bytes: int) -> bool:
    """Run on a disk with so much room, and with more; return whether it was too little."""
    with small_disk(trials.work, room_bytes) as (work, limit, enlarge):
        code, text = work.run(before=limit)
        if not code and room_bytes:
            return False
        trials.refused(row, code, text, _FULL)
        trials.compare(row, complete=False, work=work)
        enlarge()
        trials.complete(row, work=work)
    return True


def _room_bytes(trials: Trials) -> int:
    """Return a random part of what is missing.

    It may be enough, where temporary products go meanwhile.
    """
    missing = trials.wanted - set(map(str, trials.work.names()))
    most = sum((trials.reference.root / name).stat().st_size for name in missing)
    return int(trials.rng.uniform(0.0, 0.8) * most)


@contextmanager
def small_disk(
    work: Folder, room_bytes: int
) -> Iterator[tuple[Folder, Callable[[], None] | None, Callable[[], None]]]:
    """Give a run folder whose disk is full, what limits a process, and what enlarges the disk.

    The disk is a file system in memory; where that may not be mounted, files are limited instead.
    """
    disk = work.folder.with_name(f"{work.folder.name}.disk")
    disk.mkdir(exist_ok=True)
    made = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], check=False)
    if made.returncode:
        yield work, with_small_files(_LIMIT_BYTES), lambda: None
        return
    try:
        shutil.copytree(work.folder, disk / "run", symlinks=True)
        resize = ["mount", "-o", "remount,size={}", str(disk)]

        def set_size(size: int) -> None:
            subprocess.run([word.format(size) for word in resize], check=True)

        set_size(shutil.disk_usage(disk).used + room_bytes)
        yield replace(work, folder=disk / "run"), None, lambda: set_size(4 << 30)
    finally:
        subprocess.run(["umount", disk], check=True)


def rights(trials: Trials, wanted: bool) -> None:
    """Take away rights to write and to read; give them back, and in the end complete the run."""
    if not wanted:
        return
    trials.renew()
    for name in SHUT:
        forget(trials.work, ("fitStellarMotions", "makeReport"))
        (trials.work.folder / name).mkdir(exist_ok=True)
        _shut(trials, f"{name} not writable", trials.work.folder / name, 0o555)
    for name in UNREADABLE:
        _shut(trials, f"{name} not readable", trials.work.folder / name, 0)
    for pattern in UNREADABLE_FILES:
        forget(trials.work, ("matchSource", "fitStellarMotions", "makeReport"))
        path = trials.rng.choice(sorted(trials.work.folder.glob(pattern)))
        _shut(trials, f"a file of {pattern.partition('/*')[0]} not readable", path, 0)
    with trials.trial(f"{OF_NO_MATTER} not writable") as row:
        forget(trials.work, ("fitStellarMotions", "makeReport"))
        (trials.work.folder / OF_NO_MATTER).chmod(0o555)
        code, _ = trials.work.run(before=without_rights)
        (trials.work.folder / OF_NO_MATTER).chmod(0o755)
        row.failed += code != 0
        trials.compare(row)
    with trials.trial("the same command once rights are given back") as row:
        trials.complete(row)


def _shut(trials: Trials, kind: str, path: Path, mode: int) -> None:
    """Run while a place is shut."""
    with trials.trial(kind) as row:
        before = path.stat().st_mode
        path.chmod(mode)
        code, text = trials.work.run(before=without_rights)
        if path.exists():
            path.chmod(before)
        trials.refused(row, code, text, _DENIED)
        trials.compare(row, complete=False)


def unreadable_raw(trials: Trials, number: int) -> None:
    """Let nobody read a raw frame that has not been processed; then give the right back.

    The frame is lost in the declared way, and the run goes on without it.
    """
    for _ in range(number):
        trials.renew()
        forget(trials.work, ("isr",))
        path = trials.rng.choice(sorted((trials.work.folder / "raw").rglob("*.fits")))
        with trials.trial("raw frame not readable") as row:
            path.chmod(0)
            code, text = trials.work.run(before=without_rights)
            row.failed += code != 0
            row.message = next((s for s in text.splitlines() if "cannot be read" in s), "")
            path.chmod(0o644)
            trials.complete(row)
