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

Anything else fails the job: a fault of the machine (:func:`machine_fault`), such as a full disk,
with a sentence, a defect of the program with its traceback.
"""

from __future__ import annotations

import errno
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_RIGHTS: Final = frozenset({errno.EACCES, errno.EPERM})
# What an operation may meet on any file at any time, and what to do about it.
_REMEDIES: Final = {
    errno.ENOSPC: "Free some space",
    errno.EDQUOT: "Free some space, or ask for more",
    errno.EFBIG: "Raise the limit of file sizes (ulimit -f)",
    errno.EROFS: "Write elsewhere, or have it mounted to be written to",
    errno.EIO: "See what the system's log says of the disk",
    errno.ESTALE: "See whether the file server is up",
    errno.ETIMEDOUT: "See whether the file server is up",
    errno.ENOTCONN: "See whether the file server is up",
    errno.ENOMEM: "Run fewer jobs at a time",
    errno.E2BIG: "Name fewer files at a time, or their rule (-- --forcerun RULE)",
    errno.EMFILE: "Raise the number of open files (ulimit -n)",
    errno.ENFILE: "Run fewer jobs at a time",
    **dict.fromkeys(_RIGHTS, "Give yourself the right to read and write it (ls -l, chmod)"),
}


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
        super().__init__(f"{self.source}: {self.without_source}")

    @property
    def without_source(self) -> str:
        """Problem and remedy, for a table that names the file by itself."""
        end = "" if self.problem.endswith("?") else "."
        return f"{self.problem}{end} {self.remedy}."

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


def raise_machine_fault(error: BaseException) -> None:
    """Raise an error again if a fault of the machine is behind it.

    For whoever goes on without a product that cannot be read: of one that a fault of the machine
    hides, nothing is known.
    """
    if machine_fault(error):
        raise error


def machine_fault(error: BaseException, *, rights: bool = True) -> str:
    """Return a sentence on the fault of the machine behind an error; empty where there is none.

    Such a fault (a full disk, a file server that is down) says nothing of the data: the work must
    be done again, not recorded as lost.

    Parameters
    ----------
    error
        The error; what it was raised from, or while handling what, counts as well.
    rights
        Whether the lack of a right to a file is such a fault.
    """
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError) and link.errno in _REMEDIES:
            place = f"{link.filename}: " if link.filename else ""
            if rights or link.errno not in _RIGHTS:
                return f"{place}{link.strerror}. {_REMEDIES[link.errno]}, and run again."
        link = link.__cause__ or link.__context__
    return ""
