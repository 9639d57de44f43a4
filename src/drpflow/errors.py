"""The three ways in which work can end short of success, each with its own exception.

``InputError``
    What the user gave cannot be used. One sentence names the file, the value and the remedy;
    it is printed without a traceback.
``MissingDatasetError``
    A dataset or component that was asked for by name does not exist.
``AlgorithmError``
    A *declared* failure: the data do not allow the result. The task still writes complete
    outputs in which the failed components are missing, records the reason, and the survey
    goes on.

Anything else is a defect of the program and fails the job with its traceback.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


class DrpflowError(Exception):
    """Base of every exception that drpflow raises on purpose."""


class InputError(DrpflowError):
    """Something that the user gave cannot be used.

    Parameters
    ----------
    source
        The file (or option) that holds the fault.
    problem
        What is wrong, with the offending value.
    remedy
        What to do about it.
    """

    def __init__(self, source: str | Path, problem: str, remedy: str) -> None:
        self.source = str(source)
        self.problem = problem.rstrip(".")
        self.remedy = remedy.rstrip(".")
        end = "" if self.problem.endswith("?") else "."
        super().__init__(f"{self.source}: {self.problem}{end} {self.remedy}.")

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        return type(self), (self.source, self.problem, self.remedy)


class MissingDatasetError(DrpflowError, LookupError):
    """A dataset or component that was asked for by name does not exist."""


class AlgorithmError(DrpflowError):
    """A declared failure of an algorithm on these data.

    Parameters
    ----------
    message
        One sentence for the report.
    numbers
        The figures behind it (counts, limits), kept in the status record.
    hint
        What the user may change, if anything.
    """

    def __init__(
        self,
        message: str,
        numbers: Mapping[str, float | int | str] | None = None,
        hint: str = "",
    ) -> None:
        self.message = message
        self.numbers = dict(numbers or {})
        self.hint = hint
        super().__init__(message)

    def __reduce__(self) -> tuple[type, tuple[str, dict[str, float | int | str], str]]:
        return type(self), (self.message, self.numbers, self.hint)


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known name nearest to `name`, or ``""``."""
    nearest = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""
