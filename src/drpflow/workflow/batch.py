"""Several detectors of a visit in one process: one command line for all of them.

Where a script's command line says ``--for-detectors 0-61 WORDS``, once or several times, the
script does its work for each of these detectors in turn. A detector's own command line is the
common one followed by its WORDS, with ``{detector}`` replaced by its id throughout, and
``{detector:03d}`` by the id in three digits. Products, status files and logs are what single
processes would write.
"""

from __future__ import annotations

import logging
import re
import shlex
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Mapping

OPTION: Final = "--for-detectors"
_FIELD: Final = re.compile(r"\{detector(?::0(\d+)d)?\}")
_DIGITS: Final = re.compile(r"\d+")
# Of the patterns found so far, so many are tried on a detector before it gets its own.
_CANDIDATES: Final = 3


class Job(NamedTuple):
    """A detector and its own command line."""

    detector: int
    words: list[str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every script understands beside its own arguments."""
    parser.add_argument(
        OPTION,
        nargs=2,
        metavar=("IDS", "WORDS"),
        help="do this for each of these detectors (such as 0-3,7), with {detector} in all "
        "arguments replaced by its id and WORDS added; may be repeated",
    )
    parser.add_argument("--log", type=Path, help="with --for-detectors: log file of a detector")


def jobs(words: list[str]) -> list[Job] | None:
    """Return the command line of each detector; None where `words` are those of one job.

    Parameters
    ----------
    words
        Command line of a script.
    """
    common: list[str] = []
    groups: list[tuple[str, str]] = []
    given = iter(words)
    for word in given:
        if word == OPTION:
            groups.append((next(given, ""), next(given, "")))
        else:
            common.append(word)
    if not groups:
        return None
    found = [
        Job(detector, [fill(word, detector) for word in [*common, *shlex.split(own)]])
        for ids, own in groups
        for detector in parse_ids(ids)
    ]
    return sorted(found, key=lambda job: job.detector)


@contextmanager
def noted(job: Job, path: Path | None) -> Iterator[None]:
    """Write what is logged meanwhile to the detector's own file, too."""
    logger = logging.getLogger()
    logger.info("detector %d", job.detector)
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="w")
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


def fill(text: str, detector: int) -> str:
    """Return a text with every ``{detector}`` replaced; other braces stay as they are.

    >>> fill("raw_{detector:02d}.fits {}", 7)
    'raw_07.fits {}'
    """
    return _FIELD.sub(lambda match: f"{detector:0{match[1] or 1}d}", text)


def pattern(text: str, detector: int) -> str:
    """Return a text with the detector's id, wherever it stands as a number, as a field.

    ``fill(pattern(text, d), d) == text``, unless `text` has such a field by itself.

    >>> pattern("night1/raw_07.fits --hdu 7", 7)
    'night1/raw_{detector:02d}.fits --hdu {detector}'
    """

    def field(match: re.Match[str]) -> str:
        if int(match[0]) != detector:
            return match[0]
        return "{detector}" if len(match[0]) == 1 else f"{{detector:0{len(match[0])}d}}"

    return _DIGITS.sub(field, text)


def command_words(words: Mapping[int, str]) -> str:
    """Return the ``--for-detectors`` options that give each detector its own words.

    Detectors whose words differ by their id alone share an option.

    Parameters
    ----------
    words
        Shell words by detector.

    Returns
    -------
    str
        Words for the shell.
    """
    groups: dict[str, list[int]] = {}
    for detector, text in sorted(words.items()):
        groups.setdefault(_shared(text, detector, groups), []).append(detector)
    return " ".join(
        f"{OPTION} {shlex.quote(format_ids(ids))} {shlex.quote(text)}"
        for text, ids in groups.items()
    )


def _shared(text: str, detector: int, known: Iterable[str]) -> str:
    """Return the first known pattern that gives `text`, or a new one."""
    for candidate in islice(known, _CANDIDATES):
        if fill(candidate, detector) == text:
            return candidate
    return pattern(text, detector)


def format_ids(ids: Iterable[int]) -> str:
    """Return ids as ranges.

    >>> format_ids([0, 1, 2, 5])
    '0-2,5'
    """
    spans: list[list[int]] = []
    for item in sorted(ids):
        if spans and item == spans[-1][1] + 1:
            spans[-1][1] = item
        else:
            spans.append([item, item])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)


def parse_ids(text: str) -> list[int]:
    """Return the ids that :func:`format_ids` has written."""
    spans = (part.partition("-") for part in text.split(",") if part)
    return [n for first, _, last in spans for n in range(int(first), int(last or first) + 1)]
