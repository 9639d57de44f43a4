"""What the report says of run time and memory: what each task has cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.io.benchmark_files import read_benchmarks
from drpflow.qa.attrition_section import in_order
from drpflow.qa.canvas import data_uri
from drpflow.qa.charts import WIDE_IN, label, tidy
from drpflow.qa.page import Block, Column, Picture, Section, Tile, make_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    Costs = Mapping[str, Mapping[str, NDArray[np.float64]]]

_TITLE = "Run time and memory"
# So long without any job is a pause between two calls of `drpflow run`.
_PAUSE_S = 600.0
_COLUMNS = (
    Column("task", text=True),
    Column("jobs"),
    Column("CPU", "sum, s", 1),
    Column("share", "%", 1),
    Column("CPU", "median a job, s", 2),
    Column("CPU", "most, s", 2),
    Column("wall", "sum, s", 1),
    Column("wall", "median a job, s", 2),
    Column("wall", "most, s", 2),
    Column("not computing", "% of wall", 0),
    Column("memory", "median, MB", 0),
    Column("memory", "most, MB", 0),
    Column("read", "sum, MB", 0),
    Column("written", "sum, MB", 0),
)


@dataclass(frozen=True)
class Occupation:
    """When jobs ran.

    Parameters
    ----------
    busy_s
        Time in which at least one job ran.
    idle_s
        Time between the first start and the last end in which none did, pauses left out.
    at_once
        Jobs at a time, mean over the busy time.
    most_at_once
        The largest number of jobs at a time.
    """

    busy_s: float
    idle_s: float
    at_once: float
    most_at_once: int


def occupation(begin_s: NDArray[np.float64], end_s: NDArray[np.float64]) -> Occupation:
    """Return when jobs ran.

    Parameters
    ----------
    begin_s, end_s
        Of each job, shape (N,), N ≥ 1.
    """
    times = np.concatenate([begin_s, end_s])
    step = np.repeat([1, -1], begin_s.size)
    # Where one job ends as the next begins, there are not two.
    order = np.lexsort((step, times))
    times, running = times[order], np.cumsum(step[order])
    spans, running = np.diff(times), running[:-1]
    busy = running > 0
    pause = ~busy & (spans > _PAUSE_S)
    busy_s = float(spans[busy].sum())
    total = float((spans * running).sum())
    return Occupation(
        busy_s, float(spans[~busy & ~pause].sum()), total / busy_s if busy_s else float("nan"),
        int(running.max()),
    )  # fmt: skip


def resources_section(root: Path) -> Section | None:
    """Return the chapter, None if no job has been measured.

    Parameters
    ----------
    root
        Output root of the run.
    """
    costs = read_benchmarks(root)
    if not costs:
        return None
    tasks = in_order(costs)
    total = sum(float(np.nansum(c["cpu_time"])) for c in costs.values())
    note = (
        "Of each job, by the job itself at its end. Not computing is the share of the wall time "
        "beyond the CPU time: waiting for disks and for other jobs. Of a job that ran again, the "
        "last run counts."
    )
    picture = Picture(_figure(costs, tasks), "CPU time and largest memory of each task.")
    rows = [_row(task, costs[task], total) for task in tasks]
    block = Block(figures=[picture], table=make_table(_COLUMNS, rows), wide=True)
    return Section("resources", _TITLE, note, _tiles(costs, total), [block])


def _tiles(costs: Costs, total_s: float) -> list[Tile]:
    columns = {n: np.concatenate([c[n] for c in costs.values()]) for n in ("s", "end", "max_rss")}
    known = np.isfinite(columns["s"])
    tiles = [
        Tile(f"{known.size:,}", "jobs"),
        Tile(_time(total_s), "CPU time"),
    ]
    if known.any():
        end = columns["end"][known]
        found = occupation(end - columns["s"][known], end)
        tiles += [
            Tile(_time(found.busy_s), "wall time with a job running"),
            Tile(_time(found.idle_s), "overhead: wall time between jobs, pauses left out"),
            Tile(f"{found.at_once:.1f}", f"jobs at a time, mean ({found.most_at_once} at most)"),
        ]
    if np.isfinite(columns["max_rss"]).any():
        tiles.append(Tile(f"{np.nanmax(columns['max_rss']) / 1e3:.2f} GB", "largest job"))
    return tiles


def _time(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 3 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def _row(task: str, of: Mapping[str, NDArray[np.float64]], total_s: float) -> list[Any]:
    cpu, wall = of["cpu_time"], of["s"]
    # With several threads there is more CPU time than wall time.
    waiting = max(0.0, 1 - _sum(cpu) / _sum(wall)) if _sum(wall) else float("nan")
    return [
        task, wall.size, _sum(cpu), 100 * _sum(cpu) / total_s if total_s else None, _middle(cpu),
        _most(cpu), _sum(wall), _middle(wall), _most(wall), 100 * waiting, _middle(of["max_rss"]),
        _most(of["max_rss"]), _sum(of["io_in"]), _sum(of["io_out"]),
    ]  # fmt: skip


def _sum(values: NDArray[np.float64]) -> float:
    return float(np.nansum(values))


def _middle(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def _most(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.max()) if known.size else float("nan")


def _figure(costs: Costs, tasks: list[str]) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDE_IN, 0.24 * len(tasks) + 0.8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    place = np.arange(len(tasks))
    cpu = [_sum(costs[t]["cpu_time"]) for t in tasks]
    memory = [_most(costs[t]["max_rss"]) for t in tasks]
    for axes, values, name, color in (
        (panels[0], cpu, "CPU time of all jobs [s]", "#1f4e79"),
        (panels[1], memory, "memory of the largest job [MB]", "#7a8b1f"),
    ):
        tidy(axes)
        axes.grid(visible=False, axis="y")
        axes.grid(axis="x", color="0.92")
        bars = axes.barh(place, np.nan_to_num(values), color=color, height=0.7)
        axes.bar_label(bars, [f"{v:,.0f}" for v in np.nan_to_num(values)], fontsize=7, padding=2)
        axes.margins(x=0.1)
        label(axes, name)
    panels[0].set_yticks(place, tasks, fontsize=8)
    panels[0].invert_yaxis()
    return data_uri(figure)
