"""What Snakemake says that it would run, and why, read from the text of a dry run.

The text is that of Snakemake 9.27, to which drpflow is pinned; a test makes a plan and compares.
"""

from __future__ import annotations

import ast
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_JOB: Final = re.compile(r"^(?:local)?rule (\w+):$")
_FIELD: Final = re.compile(r"^ {4}(\w+): (.*)$")
_NEXT: Final = re.compile(
    r"; (?=(?:Missing output|Incomplete output|Updated input|Input files updated|Set of input|"
    r"Code has|Params have|Software environment|Forced))"
)
_PARAMS: Final = re.compile(r"before: (.*?) +now: (.*?) *$")
_BATCH: Final = "OfVisit"
_NOTHING: Final = "<nothing exclusive>"


@dataclass(frozen=True)
class PlannedJob:
    """A job that would run.

    Parameters
    ----------
    rule, wildcards
        Which; wildcards as text, such as ``visit=12, detector=3``.
    inputs, outputs
        Its files.
    missing, updated, remade
        Outputs that are not there, inputs that have changed, and inputs that other jobs would make
        anew.
    params
        Values of params before and now, those alike left out; None if none has changed.
    other
        Further reasons, in Snakemake's words.
    """

    rule: str
    wildcards: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    remade: tuple[str, ...] = ()
    params: tuple[list[Any], list[Any]] | None = None
    other: tuple[str, ...] = ()

    @property
    def follows(self) -> bool:
        """Whether it would run for no other reason than that other jobs do."""
        own = self.missing or self.updated or self.params or self.other
        return bool(self.remade) and not own

    @property
    def task(self) -> str:
        """The task whose rule this is."""
        return self.rule.removesuffix(_BATCH)

    @property
    def name(self) -> str:
        """Rule and wildcards."""
        return f"{self.rule} {self.wildcards}".rstrip()


def read_dry_run(text: str) -> Iterator[PlannedJob]:
    """Yield the jobs of a dry run, those of targets left out.

    Parameters
    ----------
    text
        All that ``snakemake --dry-run`` printed.
    """
    rule, fields = "", dict[str, str]()
    for line in [*text.splitlines(), ""]:
        if match := _JOB.match(line):
            rule, fields = match[1], {}
        elif match := _FIELD.match(line):
            fields[match[1]] = match[2]
        elif rule:
            if "output" in fields:
                yield _job(rule, fields)
            rule = ""


def _job(rule: str, fields: dict[str, str]) -> PlannedJob:
    found: dict[str, Any] = {"other": ()}
    for part in _NEXT.split(fields.get("reason", "")):
        what, _, rest = part.partition(": ")
        match what:
            case "Missing output files" | "Incomplete output files":
                found["missing"] = found.get("missing", ()) + _files(rest)
            case "Updated input files":
                found["updated"] = _files(rest)
            case "Input files updated by another job":
                found["remade"] = _files(rest)
            case "Params have changed since last execution":
                found["params"] = _values(rest)
            case _ if part:
                found["other"] += (part,)
    inputs, outputs = _files(fields.get("input", "")), _files(fields["output"])
    return PlannedJob(rule, fields.get("wildcards", ""), inputs, outputs, **found)


def _files(text: str) -> tuple[str, ...]:
    names = (name.partition(" (")[0] for name in text.split(", "))
    return tuple(os.path.normpath(name) for name in names if name)


def _values(text: str) -> tuple[list[Any], list[Any]]:
    """Return the values that params had before, and that they have now."""
    match = _PARAMS.search(text)
    if match is None:
        return [], []
    before, now = (_literals(part) for part in match.groups())
    return before, now


def _literals(text: str) -> list[Any]:
    if text == _NOTHING:
        return []
    try:
        return list(ast.literal_eval(f"[{text}]"))
    except (ValueError, SyntaxError):
        return [text]
