"""Benchmark files: time and memory of each job, a line of TSV with names of Snakemake's own."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

_FOLDER = "benchmarks"
COLUMNS = ("s", "cpu_time", "max_rss", "io_in", "io_out")
"""Seconds from start to end, CPU seconds, most memory held, read and written [MB]."""


def read_benchmarks(root: str | Path) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return what the jobs of a run have cost, by task in alphabetical order.

    Parameters
    ----------
    root
        Output root of a run.

    Returns
    -------
    dict
        By task: the columns ``COLUMNS`` and ``end``, when the job ended, seconds since 1970;
        shape (N,) each, in the order of the paths. A number that a file does not tell is NaN.
    """
    import numpy as np

    folder = Path(root) / _FOLDER
    found = {}
    for task in sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else ():
        columns: dict[str, list[float]] = defaultdict(list)
        for path, end in _files(str(folder / task)):
            row = _row(path)
            for name in COLUMNS:
                columns[name].append(_number(row.get(name, "")))
            columns["end"].append(end)
        if columns:
            found[task] = {name: np.array(values) for name, values in columns.items()}
    return found


def write_benchmark(path: str | Path, cost: Mapping[str, float]) -> None:
    """Write what a job has cost.

    Parameters
    ----------
    path
        File to write.
    cost
        Values of ``COLUMNS``; others may follow.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    values = "\t".join(f"{value:.4f}" for value in cost.values())
    path.write_text("\t".join(cost) + "\n" + values + "\n")


def _row(path: str) -> dict[str, str]:
    """Return the last line of a file by its head; empty if there is none."""
    lines = Path(path).read_text().splitlines()
    if len(lines) < 2:
        return {}
    return dict(zip(lines[0].split("\t"), lines[-1].split("\t"), strict=False))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _files(folder: str) -> Iterator[tuple[str, float]]:
    """Yield path and time of all files below a folder, in order."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _files(entry.path)
        elif entry.name.endswith(".tsv"):
            yield entry.path, entry.stat().st_mtime
