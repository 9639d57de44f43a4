"""Where commands print to."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@cache
def console() -> Console:
    """Return standard output; tables keep their full width where it is no terminal."""
    from rich.console import Console

    return _wide(Console())


@cache
def errors() -> Console:
    """Return standard error."""
    from rich.console import Console

    return _wide(Console(stderr=True))


def _wide(target: Console) -> Console:
    if not target.is_terminal:
        target.width = 200
    return target
