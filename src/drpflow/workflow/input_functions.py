"""Input functions of rules: what a job reads follows from look-ups made once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


def filled(
    pattern: str, name: str, lists: Mapping[str, Iterable[object]], wildcard: str
) -> Callable[[Any], list[str]]:
    """Return the input function that fills a path pattern with one of many lists.

    Parameters
    ----------
    pattern
        Path, with `name` in braces.
    name
        What the lists hold.
    lists
        By value of the job's wildcard.
    wildcard
        Which of the job's wildcards chooses the list.
    """

    def paths(wildcards: Any) -> list[str]:
        chosen = lists[getattr(wildcards, wildcard)]
        return [pattern.format(**{name: value}) for value in chosen]

    return paths
