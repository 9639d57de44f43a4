"""What code was behind a fingerprint, so that it can be told later which function has changed.

Rules know code by a hash (:mod:`drpflow.workflow.fingerprint`), of which nothing can be read. When
a run is planned, the hashes of all functions behind it are therefore noted below ``.snakemake``: a
file for each fingerprint with the modules, and one with the functions of each module. Notes are
for people; nothing that is made depends on them, and they may be deleted.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drpflow.io.atomic import write_text
from drpflow.workflow.fingerprint import OUTSIDE, SourceTree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FOLDER = Path(".snakemake") / "drpflow-code"
_PARTS = "parts.json"


def note_code(
    code: Mapping[str, str],
    scripts: Mapping[str, Path],
    data: Mapping[str, Iterable[Path]],
    folder: Path = FOLDER,
) -> None:
    """Note the functions behind fingerprints that have no note; without success no harm is done.

    Parameters
    ----------
    code
        Fingerprint by task.
    scripts, data
        Script, and further files that count, by task.
    folder
        Where notes are kept.
    """
    new = {task: name for task, name in code.items() if not _file(folder, name).is_file()}
    if not new:
        return
    tree, parts = SourceTree(), _read(folder / _PARTS)
    modules: dict[str, dict[str, str]] = {}
    for task, name in new.items():
        contents = tree.contents(scripts[task], data.get(task, ()))
        modules[name] = {module: _digest(hashes) for module, hashes in contents.items()}
        parts |= {modules[name][module]: hashes for module, hashes in contents.items()}
    with suppress(OSError):
        write_text(folder / _PARTS, json.dumps(parts))
        for name, digests in modules.items():
            write_text(_file(folder, name), json.dumps(digests))


def changed_code(before: str, now: str, folder: Path = FOLDER) -> list[str] | None:
    """Return what has changed between two fingerprints, in words; None if there is no note.

    Parameters
    ----------
    before, now
        The fingerprints.
    folder
        Where notes are kept.

    Returns
    -------
    list of str
        Such as ``drpflow.algorithms.isr.overscan: subtract_overscan``.
    """
    old, new = _read(_file(folder, before)), _read(_file(folder, now))
    if not old or not new:
        return None
    parts = _read(folder / _PARTS)
    found = []
    for module in sorted(old.keys() | new.keys()):
        if old.get(module) == new.get(module):
            continue
        if module not in old or module not in new:
            found.append(f"{module}: {'no longer' if module in old else 'now'} imported")
            continue
        found.append(f"{module}: {_differences(parts.get(old[module]), parts.get(new[module]))}")
    return found


def _differences(old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> str:
    """Return the names of the functions that differ."""
    old, new = old or {}, new or {}
    names = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    # A class differs where a method does; the method says more.
    told = [n for n in names if n and not any(other.startswith(f"{n}.") for other in names)]
    return ", ".join(told + (["imports or constants"] if OUTSIDE in names else []))


def _digest(hashes: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()[:16]


def _file(folder: Path, fingerprint: str) -> Path:
    return folder / f"{fingerprint}.json"


def _read(path: Path) -> dict[str, Any]:
    """Return a note, nothing where it is not there or cannot be read."""
    try:
        values: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return values
