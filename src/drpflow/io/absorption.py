"""Reading the table of what the air absorbs."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from drpflow import paths
from drpflow.data.air import ABSORPTION_COLUMNS, AirAbsorption
from drpflow.errors import InputError


def absorption_file() -> Path:
    """Return the table that comes with drpflow."""
    return paths.share_root() / "config" / "atmosphere" / "absorption.csv"


def read_absorption(path: str | Path | None = None) -> AirAbsorption:
    """Read a table of absorption; that which comes with drpflow if no path is given.

    Raises
    ------
    InputError
        If the file is absent, lacks a column, or holds what is no coefficient.
    """
    source = absorption_file() if path is None else Path(path)
    try:
        with source.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(line for line in stream if not line.startswith("#")))
        columns = {
            name: np.array([float(row[name]) for row in rows]) for name in ABSORPTION_COLUMNS
        }
        return AirAbsorption.from_columns(columns)
    except (OSError, KeyError, TypeError, ValueError) as fault:
        raise InputError(
            source,
            f"the absorption of the air cannot be read ({fault})",
            f"It is a CSV file with the columns {', '.join(ABSORPTION_COLUMNS)}",
        ) from None
