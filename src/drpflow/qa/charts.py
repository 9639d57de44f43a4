"""The sheet of charts: panels one below or beside the other, in the page's style."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from drpflow.data.visit_info import VisitInfo

WIDE_IN, NARROW_IN = 11.5, 5.9
"""Widths of a figure that takes the page, and of one that stands beside another, inches."""

# Nights with a smaller share of the visits have no room for their names.
_LEAST_SHARE = 0.065
# Numbers on a logarithmic axis, and on one that spans less than this factor.
_DECADE, _NARROW, _SPAN = (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0), 6.0


def stack(number: int, each_in: float, width_in: float = WIDE_IN) -> tuple[Figure, list[Axes]]:
    """Return panels one below the other that share their abscissa."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, each_in * number + 0.75), layout="constrained")
    panels = list(figure.subplots(number, 1, sharex=True, squeeze=False)[:, 0])
    for axes in panels:
        tidy(axes)
    return figure, panels


def row(number: int, tall_in: float, width_in: float, *, share: bool = True) -> tuple[Any, Any]:
    """Return panels beside each other, three a row at most."""
    from matplotlib.figure import Figure

    across = min(number, 3)
    down = -(-number // across)
    figure = Figure(figsize=(width_in, tall_in * down), layout="constrained")
    grid = figure.subplots(down, across, sharex=share, sharey=share, squeeze=False)
    panels = list(grid.ravel())
    for axes in panels[number:]:
        axes.set_visible(False)
    for axes in panels[:number]:
        tidy(axes)
    return figure, panels[:number]


def tidy(axes: Axes) -> None:
    """Take away what a chart does not need."""
    axes.tick_params(labelsize=8)
    axes.grid(axis="y", color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def label(axes: Axes, x: str = "", y: str = "") -> None:
    """Name the axes."""
    if x:
        axes.set_xlabel(x, fontsize=8)
    if y:
        axes.set_ylabel(y, fontsize=8)


def logarithmic(axis: Axis, straight: float = 0.0) -> None:
    """Make an axis logarithmic with plain numbers on it.

    Parameters
    ----------
    axis
        Abscissa or ordinate of a panel.
    straight
        Up to this distance from zero the scale is straight; 0 for nowhere.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    class Ticks(LogLocator):
        """More ticks in a decade where the axis spans less than one."""

        def tick_values(self, vmin: float, vmax: float) -> Any:
            self.set_params(subs=_NARROW if vmax < _SPAN * vmin else _DECADE)
            return super().tick_values(vmin, vmax)

    scaled = getattr(axis.axes, f"set_{axis.axis_name}scale")  # type: ignore[attr-defined]
    if straight:
        scaled("symlog", linthresh=straight, linscale=1.0)
    else:
        scaled("log")
        axis.set_major_locator(Ticks(subs=_DECADE))
        axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def legend_above(axes: Axes, number: int) -> None:
    """Put the legend above a panel, on the left."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(
            ncols=number, fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 1.0),
            handletextpad=0.2, borderpad=0.1,
        )  # fmt: skip


def night_label(night: int) -> str:
    """Return a night as its date, if the number is one."""
    if night < 0:
        return ""
    text = str(night)
    dated = len(text) == 8 and 1 <= int(text[4:6]) <= 12 and 1 <= int(text[6:]) <= 31
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if dated else text


def night_number(info: VisitInfo | None) -> int:
    """Return the night of a visit as a number: its digits, else the MJD of the UTC day's noon."""
    if info is None:
        return -1
    digits = "".join(c for c in info.night if c.isdigit())
    if digits:
        return int(digits)
    return -1 if info.mjd is None else int(np.floor(info.mjd - 0.5))


@dataclass(frozen=True)
class Order:
    """Visits in the order of time, evenly spaced, with the nights to which they belong.

    Parameters
    ----------
    visits, nights
        Shape (V,), in that order.
    """

    visits: NDArray[np.int64]
    nights: NDArray[np.int64]

    @classmethod
    def of(cls, visits: Sequence[int], mjd: Sequence[float], nights: Sequence[int]) -> Order:
        """Return the order of visits; those of unknown time come by their night and number."""
        time = np.asarray(mjd, float)
        number, night = np.asarray(visits, np.int64), np.asarray(nights, np.int64)
        order = np.lexsort((number, np.where(np.isfinite(time), time, np.inf), night))
        return cls(number[order], night[order])

    def place(self, visits: NDArray[np.int64]) -> NDArray[np.intp]:
        """Return where visits stand."""
        order = np.argsort(self.visits, kind="stable")
        return np.asarray(order[np.searchsorted(self.visits[order], visits)])

    def draw(self, panels: Sequence[Axes]) -> None:
        """Mark the nights, and name the visits below the last panel."""
        edges = np.flatnonzero(np.diff(self.nights)) + 0.5
        starts = np.concatenate([[-0.5], edges])
        for axes in panels:
            for x in edges:
                axes.axvline(x, color="0.82", linewidth=0.8, zorder=0)
        ends = np.append(edges, len(self.visits) - 0.5)
        for start, end in zip(starts, ends, strict=True):
            if end - start < _LEAST_SHARE * len(self.visits):
                continue
            panels[-1].annotate(
                night_label(int(self.nights[int(start + 0.5)])), ((start + end) / 2, 0),
                xycoords=("data", "axes fraction"), xytext=(0, -17), ha="center", va="top",
                textcoords="offset points", fontsize=7, color="0.35", annotation_clip=False,
            )  # fmt: skip
        step = max(1, len(self.visits) // 30)
        places = np.arange(len(self.visits))[::step]
        panels[-1].set_xticks(places, self.visits[::step].astype(str))
        panels[-1].set_xlim(-0.7, len(self.visits) - 0.3)
        label(panels[-1], "visits in the order of time, and their nights")
        panels[-1].xaxis.labelpad = 17
