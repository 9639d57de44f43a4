"""Whole numbers in few words: a command line that names thousands of visits stays short."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


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


def _span(first: int, last: int | None) -> str:
    return str(first) if last in {None, first} else f"{first}-{last}"
