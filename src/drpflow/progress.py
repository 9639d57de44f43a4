"""Progress of long loops: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sized
from typing import TYPE_CHECKING, Final, TextIO, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Item = TypeVar("Item")

LINE_INTERVAL_S: Final = 5.0


def track(
    iterable: Iterable[Item], total: int | None = None, description: str = "working"
) -> Iterator[Item]:
    """Yield the items of `iterable` while showing how far it has come.

    Parameters
    ----------
    iterable
        What to go through.
    total
        Number of items; by default ``len(iterable)`` where that is known.
    description
        What is being done, in a few words.

    Yields
    ------
    Item
        The items, unchanged. Shown on standard error: a bar with rate and time left on a
        terminal, else one line every five seconds and one at the end.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    if sys.stderr.isatty():
        yield from _bar(iterable, total, description)
    else:
        yield from _lines(iterable, total, description)


def duration(seconds: float) -> str:
    """Return a duration as people say it: ``8 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Pace:
    """Rate and time left of a count that grows.

    Parameters
    ----------
    total
        Where the count ends, if known.
    """

    def __init__(self, total: int | None) -> None:
        self.total = total
        self._started = time.monotonic()

    def elapsed_s(self) -> float:
        """Return the seconds since the count began."""
        return time.monotonic() - self._started

    def describe(self, done: int) -> str:
        """Return e.g. ``12/40, 3.1 per s, 9 s left`` for a count of `done`."""
        parts = [f"{done}/{self.total}" if self.total is not None else str(done)]
        if done:
            parts.append(self.rate(done))
            if self.total is not None and done < self.total:
                left_s = (self.total - done) * self.elapsed_s() / done
                parts.append(f"{duration(left_s)} left")
        return ", ".join(parts)

    def rate(self, done: int) -> str:
        """Return e.g. ``3.1 per s`` for a count of `done`."""
        rate_hz = done / max(self.elapsed_s(), 1e-6)
        return f"{rate_hz:.3g} per s" if rate_hz >= 0.1 else f"{60 * rate_hz:.3g} per min"


def _bar(iterable: Iterable[Item], total: int | None, description: str) -> Iterator[Item]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(*Progress.get_default_columns(), console=console, transient=False) as progress:
        yield from progress.track(iterable, total=total, description=description)


def _lines(
    iterable: Iterable[Item],
    total: int | None,
    description: str,
    stream: TextIO | None = None,
) -> Iterator[Item]:
    out = stream or sys.stderr
    pace = Pace(total)
    shown_at = time.monotonic()
    done = 0
    for item in iterable:
        yield item
        done += 1
        now = time.monotonic()
        if now - shown_at >= LINE_INTERVAL_S:
            shown_at = now
            print(f"{description}: {pace.describe(done)}", file=out, flush=True)
    print(f"{description}: {done} done in {duration(pace.elapsed_s())}", file=out, flush=True)
