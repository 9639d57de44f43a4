"""Products and notes of a run that are corrupted while nothing runs."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fault_folder import found, tell
from fault_runs import half_ways

from drpflow.io.datasets import DatasetTable

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

    from fault_folder import Trials

_TABLE = DatasetTable.load()
# Their products, and what follows, are soon made again.
LATE = ("compressImage", "consolidateSourceTable", "matchSource", "fitStellarMotions", "makeReport")


@dataclass(frozen=True)
class Harm:
    """What becomes of a file.

    Parameters
    ----------
    do
        Does it, to a file and one of the same kind.
    unseen
        Whether size and time stay, so that it takes ``--verify`` to find it.
    """

    do: Callable[[Path, Path, random.Random], None]
    unseen: bool = False


def harms() -> dict[str, Harm]:
    return {
        "cut short": Harm(lambda path, _, rng: _write(path, _head(path, rng))),
        "emptied": Harm(lambda path, _, __: _write(path, b"")),
        "cut short, its time kept": Harm(lambda path, _, rng: _keep_time(path, _head(path, rng))),
        "a bit flipped": Harm(lambda path, _, rng: _write(path, _flipped(path, rng))),
        "a bit flipped, size and time kept (--verify)": Harm(
            lambda path, _, rng: _keep_time(path, _flipped(path, rng)), unseen=True
        ),
        "a piece of zeros": Harm(lambda path, _, rng: _write(path, _with_hole(path, rng))),
        "overwritten with another of its kind": Harm(
            lambda path, other, _: _write(path, other.read_bytes())
        ),
        "exchanged with another of its kind": Harm(lambda path, other, _: _exchange(path, other)),
    }


def damage(trials: Trials, rounds: int, files: int) -> None:
    """Harm products, some at a time, of runs that were killed half-way and of one that has ended.

    Parameters
    ----------
    trials
        Where the counts go.
    rounds
        Rounds on the run that has ended, whose last products are harmed; the copies of runs that
        were killed have one each, with products of any task.
    files
        Files harmed in a round.
    """
    for half in half_ways(trials) if rounds else []:
        trials.renew(half)
        _round(trials, files, late=False)
    for number in range(rounds):
        if not number:
            trials.renew()
        _round(trials, files, late=True)


def _round(trials: Trials, files: int, *, late: bool) -> None:
    """Harm some files, let the same command mend them, and compare."""
    kinds, chosen = harms(), _harm(trials, files, late=late)
    verify = any(kinds[kind].unseen for kind in chosen.values())
    with trials.trial("round of harmed files") as row:
        text = trials.complete(row, *(["--verify"] if verify else []))
    after = trials.work.products()
    for name, kind in chosen.items():
        one = trials.rows[f"{'status file' if name.parts[0] == 'status' else 'product'} {kind}"]
        one.trials += 1
        one.wrong += str(name) in after and after[str(name)] != trials.right[str(name)]
        one.missing += str(name) in trials.wanted and str(name) not in after
        one.message = one.message or found(text, re.escape(name.name) + ".*made again")


def _harm(trials: Trials, files: int, *, late: bool) -> dict[Path, str]:
    """Harm files, each in another way; return what has become of each."""
    kinds, rng, chosen = harms(), trials.rng, {}
    names = [n for n in trials.work.names() if not late or _is_late(n)]
    order = rng.sample(sorted(kinds), len(kinds)) * (1 + files // len(kinds))
    for kind in order[:files]:
        free = [n for n in names if n not in chosen]
        alike = {n: [o for o in free if o != n and _kind(o) == _kind(n)] for n in free}
        if "another" in kind:
            free = [n for n in free if alike[n]]
        if not free:
            continue
        name = rng.choice(free)
        other = rng.choice(alike[name]) if alike[name] else name
        kinds[kind].do(trials.work.root / name, trials.work.root / other, rng)
        chosen |= {name: kind} | ({other: kind} if kind.startswith("exchanged") else {})
        tell(f"{name} {kind}" + (f" {other}" if "another" in kind else ""))
    return chosen


def _kind(name: Path) -> tuple[str, ...]:
    return name.parts[: 2 if name.parts[0] == "status" else 1]


def _is_late(name: Path) -> bool:
    if name.parts[0] == "status":
        return name.parts[1] in LATE
    return _TABLE.dataset(name.parts[0]).task in LATE


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _keep_time(path: Path, content: bytes) -> None:
    times = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _head(path: Path, rng: random.Random) -> bytes:
    content = path.read_bytes()
    return content[: rng.randrange(1, len(content))]


def _flipped(path: Path, rng: random.Random) -> bytes:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def _with_hole(path: Path, rng: random.Random) -> bytes:
    content = bytearray(path.read_bytes())
    first = rng.randrange(len(content))
    size = min(512, len(content) - first)
    content[first : first + size] = bytes(size)
    if content == path.read_bytes():
        content[first] ^= 1
    return bytes(content)


def _exchange(path: Path, other: Path) -> None:
    """By renaming, which leaves their times as they were."""
    aside = path.with_name("aside")
    path.rename(aside)
    other.rename(path)
    aside.rename(other)


def damage_notes(trials: Trials, wanted: bool) -> None:
    """Harm what Snakemake and drpflow note for themselves, of a run that was killed."""
    for half in half_ways(trials)[-1:] if wanted else []:
        trials.renew(half)
        notes = trials.work.folder / ".snakemake"
        metadata = [p for p in sorted((notes / "metadata").rglob("*")) if p.is_file()]
        with trials.trial("notes of Snakemake and of the owner cut short") as row:
            for path in trials.rng.sample(metadata, min(5, len(metadata))):
                path.write_bytes(_head(path, trials.rng))
            for path in (*(notes / "incomplete").rglob("*"), notes / "drpflow-owner.json"):
                if path.is_file():
                    path.write_bytes(b"")
            row.message = trials.complete(row)[:0]
        with trials.trial("folder .snakemake lost") as row:
            shutil.rmtree(notes)
            trials.complete(row)
