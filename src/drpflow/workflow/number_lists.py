"""Whole numbers in few words: a command line that names thousands of visits stays short."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def spans(numbers: Iterable[int]) -> str:
    """Return numbers as spans, ascending.

    >>> spans([7, 1, 2, 3, 9])
    '1-3,7,9'
    """
    words: list[str] = []
    first = last = None
    for number in sorted(set(numbers)):
        if first is None or last is None or number > last + 1:
            if first is not None:
                words.append(_span(first, last))
            first = number
        last = number
    if first is not None:
        words.append(_span(first, last))
    return ",".join(words)


def numbers(text: str) -> list[int]:
    """Return the numbers that spans stand for.

    >>> numbers("1-3,7,9")
    [1, 2, 3, 7, 9]
    """
    found: list[int] = []
    for word in filter(None, text.split(",")):
        first, _, last = word.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def grouped_spans(numbers_of: Mapping[int, Iterable[int]]) -> str:
    """Return numbers that belong to numbers as spans, those alike together.

    >>> grouped_spans({1: [30, 31], 2: [31, 30], 5: [31]})
    '1-2:30-31;5:31'
    """
    alike: dict[str, list[int]] = {}
    for number in sorted(numbers_of):
        alike.setdefault(spans(numbers_of[number]), []).append(number)
    return ";".join(f"{spans(mine)}:{theirs}" for theirs, mine in alike.items())


def grouped_numbers(text: str) -> dict[int, list[int]]:
    """Return what grouped spans stand for.

    >>> grouped_numbers("1-2:30-31;5:31")
    {1: [30, 31], 2: [30, 31], 5: [31]}
    """
    groups = (word.partition(":")[::2] for word in filter(None, text.split(";")))
    return {number: numbers(theirs) for mine, theirs in groups for number in numbers(mine)}


def _span(first: int, last: int | None) -> str:
    return str(first) if last in {None, first} else f"{first}-{last}"
