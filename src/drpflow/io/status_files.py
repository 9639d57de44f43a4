"""Status files: what has become of each job.

Every job writes one, last of all, with the outcome ``done``, ``partial`` or ``failed``
(:mod:`drpflow.workflow.task_runner`). A job without a status file has not ended, or ended with
an error, which its log then tells. The last line of the file is a checksum of those before it.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from drpflow.errors import InputError, machine_fault
from drpflow.io.atomic import Content, json_text, write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_FOLDER = "status"
_NEEDED: Final = frozenset({"task", "data_id", "outcome", "reason", "hint", "numbers"})
_KNOWN: Final = _NEEDED | {"files", "crc32"}
_CHECKSUM: Final = b' "crc32": "'
_AGAIN: Final = "`drpflow run` does its job again"


@dataclass(frozen=True)
class Outcome:
    """The end of one job.

    Parameters
    ----------
    task
        Task label.
    data_id
        Values of its dimensions.
    outcome
        ``"done"``; ``"partial"``: some components of the products are missing; ``"failed"``:
        there are but stubs.
    reason, hint
        Why it is not done, and what may help; empty if it is.
    numbers
        Figures that the task gave.
    files
        Size and checksum of each file that the job has written, relative to `root`.
    root
        Output root of the run.
    file
        The status file, relative to the folder of all status files.
    """

    task: str
    data_id: Mapping[str, int | str]
    outcome: str
    reason: str = ""
    hint: str = ""
    numbers: Mapping[str, float | int | str | None] = field(default_factory=dict)
    files: Mapping[str, Content] = field(default_factory=dict)
    root: Path = Path()
    file: str = ""

    @property
    def failed(self) -> bool:
        """Whether the job failed in the declared way."""
        return self.outcome == "failed"

    @property
    def partial(self) -> bool:
        """Whether some components of the products are missing."""
        return self.outcome == "partial"

    @property
    def where(self) -> str:
        """The data ID as text, e.g. ``visit=12, detector=3``."""
        return ", ".join(f"{key}={value}" for key, value in self.data_id.items())

    @property
    def path(self) -> Path:
        """The status file."""
        return self.root / _FOLDER / self.file

    @property
    def log(self) -> Path:
        """What the job said."""
        return (self.root / "logs" / self.file).with_suffix(".log")


def read_outcomes(root: str | Path, task: str) -> Iterator[Outcome]:
    """Yield the outcomes of a task's jobs, in the order of their paths.

    A file that was cut short or altered says nothing of its job, as if it were not there; a run
    names such files, and does their jobs again.

    Parameters
    ----------
    root
        Output root of a run.
    task
        Task label.

    Raises
    ------
    InputError
        If a file cannot be read for a reason that lies in the machine.
    """
    root = Path(root)
    # Texts instead of Paths: there may be 100,000.
    for path in _json_files(os.path.join(root, _FOLDER, task)):  # noqa: PTH118
        try:
            yield read_outcome(root, path)
        except InputError as error:
            if machine_fault(error):
                raise


def summarize_failures(failed: Iterable[Outcome]) -> list[tuple[str, str, list[Outcome]]]:
    """Group failures by task and reason, the most frequent first.

    Figures inside a reason do not tell two apart, so that a hundred detectors with too few
    stars are one group. Its members stand in the order of their visits and detectors.
    """
    groups: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in failed:
        groups[outcome.task, without_figures(outcome.reason)].append(outcome)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    groups_in_order = [(task, sorted(members, key=_place)) for (task, _), members in ordered]
    return [(task, members[0].reason, members) for task, members in groups_in_order]


def without_figures(text: str) -> str:
    """Return a text with ``#`` for each number.

    >>> without_figures("2.5 of 30 stars")
    '# of # stars'
    """
    return re.sub(r"\d+(\.\d+)?", "#", text)


def _place(outcome: Outcome) -> list[tuple[bool, int, str]]:
    """Return a key that puts numbers in their order, before text."""
    values = outcome.data_id.values()
    return [(True, 0, v) if isinstance(v, str) else (False, v, "") for v in values]


def read_outcome(root: Path, path: str | Path) -> Outcome:
    """Return what one status file of the run at `root` says.

    Raises
    ------
    InputError
        If it is no status file.
    """
    values = _read(path)
    return Outcome(
        values["task"],
        values["data_id"],
        values["outcome"],
        values["reason"],
        values["hint"],
        values["numbers"],
        {name: Content(*content) for name, content in values.get("files", {}).items()},
        root,
        os.path.relpath(path, root / _FOLDER),
    )


def read_all_outcomes(root: str | Path) -> list[Outcome]:
    """Return the outcomes of all jobs of a run, by task in alphabetical order."""
    folder = Path(root) / _FOLDER
    tasks = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [outcome for task in tasks for outcome in read_outcomes(root, task)]


def write_outcome(path: str | Path, values: Mapping[str, Any]) -> None:
    """Write a status file, atomically, with the checksum that tells whether it is whole.

    Raises
    ------
    ValueError
        If `values` hold NaN or infinity.
    """
    head = json_text(values).encode().removesuffix(b"\n}\n") + b",\n"
    write_bytes(path, head + _last_lines(head))


def _last_lines(head: bytes) -> bytes:
    return _CHECKSUM + f'{zlib.crc32(head):08x}"\n}}\n'.encode()


def _read(path: str | Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 - texts, see above
            content = stream.read()
        values: dict[str, Any] = json.loads(content)
        strange = values.keys() - _KNOWN or _NEEDED - values.keys()
    except (OSError, ValueError, AttributeError) as error:
        if fault := machine_fault(error):
            raise InputError(path, *fault.removeprefix(f"{path}: ").split(". ", 1)) from error
        raise InputError(path, f"it is no status file ({error})", _AGAIN) from None
    if strange:
        raise InputError(path, f"it is no status file: {min(strange)!r}", _AGAIN)
    head, mark, last = content.rpartition(_CHECKSUM)
    # Those of drpflow 0.1 have none.
    if mark and mark + last != _last_lines(head):
        raise InputError(path, "it has changed since it was written", _AGAIN)
    return values


def _json_files(folder: str) -> Iterator[str]:
    """Yield the paths of all JSON files below a folder, in order."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir():
            yield from _json_files(entry.path)
        elif entry.name.endswith(".json") and not entry.name.startswith("."):
            yield entry.path
