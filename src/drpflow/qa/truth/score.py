"""A row of the scoreboard: a figure of merit of a stage, with what is asked of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.qa.merit import Figure

STAGES = (
    "isr", "calibrateImage", "consolidateVisit", "fgcm", "solveAstrometry",
    "modelVisitBackground", "finalizeCharacterization", "finalizeAstrometry",
    "compareWarpAssembleCoadd", "finalizeImage", "fitStellarMotions",
)  # fmt: skip
"""In the order of the flow."""


@dataclass(frozen=True)
class Score:
    """One figure.

    Parameters
    ----------
    stage
        Label of the task.
    metric, unit
        What it is.
    value, low, high
        The figure and its 95 % interval.
    number
        Values that it was made from.
    least, most
        What is asked; NaN where nothing is.
    """

    stage: str
    metric: str
    unit: str
    value: float
    low: float
    high: float
    number: int
    least: float = np.nan
    most: float = np.nan

    @classmethod
    def of(
        cls, stage: str, metric: str, unit: str, figure: Figure, *, least: float = np.nan,
        most: float = np.nan,
    ) -> Score:  # fmt: skip
        """Return the row of a figure."""
        value, low, high = (float(v) for v in (figure.value, figure.low, figure.high))
        return cls(stage, metric, unit, value, low, high, int(figure.number), least, most)

    @property
    def asked(self) -> str:
        """What is asked, in words."""
        if np.isfinite(self.least) and np.isfinite(self.most):
            return f"{self.least:g} to {self.most:g}"
        if np.isfinite(self.most):
            return f"≤ {self.most:g}"
        return f"≥ {self.least:g}" if np.isfinite(self.least) else ""

    @property
    def mood(self) -> str:
        """``"good"``, ``"bad"``, or empty where nothing is asked or nothing was measured."""
        if not self.asked or not np.isfinite(self.value):
            return ""
        low = not np.isfinite(self.least) or self.value >= self.least
        return "good" if low and not self.value > self.most else "bad"

    @property
    def verdict(self) -> str:
        """Whether what is asked is met; with ``?`` where the interval allows both."""
        if not self.mood:
            return ""
        outside = self.low < self.least or self.high > self.most
        inside = not (self.high < self.least or self.low > self.most)
        doubt = outside if self.mood == "good" else inside
        return ("yes" if self.mood == "good" else "no") + ("?" if doubt else "")

    def text(self) -> str:
        """Return figure and interval with as many digits as the interval allows."""
        digits = digits_of(self.value, self.high - self.low)
        if not np.isfinite(self.value):
            return "–"
        value, low, high = (f"{v:z.{digits}f}" for v in (self.value, self.low, self.high))
        return value if self.low == self.high else f"{value} ({low} to {high})"


def digits_of(value: float, span: float) -> int:
    """Return after how many decimals a number of a given uncertainty is cut."""
    known = abs(span) if np.isfinite(span) and span > 0 else abs(value)
    if not np.isfinite(known) or known == 0:
        return 1
    return int(np.clip(1 - np.floor(np.log10(known)), 0, 6))


def to_columns(scores: Sequence[Score]) -> dict[str, NDArray[Any]]:
    """Return scores as columns of ``truth_scores``."""
    kinds = {"stage": str, "metric": str, "unit": str, "number": np.int64}
    columns: dict[str, NDArray[Any]] = {
        f.name: np.array([getattr(s, f.name) for s in scores], kinds.get(f.name, np.float64))
        for f in fields(Score)
    }
    return columns | {"verdict": np.array([s.verdict for s in scores], str)}


def from_columns(columns: dict[str, NDArray[Any]]) -> list[Score]:
    """Return the scores of a table."""
    rows = zip(*(columns[f.name].tolist() for f in fields(Score)), strict=True)
    return [Score(*row) for row in rows]
