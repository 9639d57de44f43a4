"""What the report says of the flags of stars: how many carry each, visit by visit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.qa.page import Block, Column, Section, make_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from drpflow.data.table import Table

# Flags that say what a row is for are counts, those that say what is wrong are shares.
_ROLES = ("calib_psf_used", "calib_psf_reserved", "calib_apcorr_used", "calib_astrometry_used",
          "calib_photometry_used")  # fmt: skip
_NOT_FAULTS = frozenset({"sky_source", "detect_isPrimary", "calib_psf_candidate", *_ROLES})


@dataclass(frozen=True)
class FlagCounts:
    """How many rows of a visit carry each flag.

    Parameters
    ----------
    visit
        Its number.
    sources
        Rows that are sources.
    counts
        By flag, among the sources.
    """

    visit: int
    sources: int
    counts: Mapping[str, int]


def flag_counts(visit: int, stars: Table) -> FlagCounts:
    """Count the flags of a visit's stars: every column of truth values."""
    sky = stars["sky_source"] if "sky_source" in stars else np.zeros(len(stars), bool)
    flags = {name: stars[name] for name in stars.columns if stars.arrow[name].type == "bool"}
    counts = {name: int((values & ~sky).sum()) for name, values in flags.items()}
    return FlagCounts(visit, int((~sky).sum()), counts)


def flags_section(visits: Sequence[FlagCounts]) -> Section:
    """Return two tables: what stars were used for, and what is wrong with them."""
    if not visits:
        return Section("flags", "Flags", "There are none yet.")
    names = list(dict.fromkeys(name for v in visits for name in v.counts))
    roles = [name for name in _ROLES if name in names]
    faults = [n for n in names if n not in _NOT_FAULTS and any(v.counts.get(n) for v in visits)]
    used = make_table(
        [Column("visit"), Column("sources"), Column("primary"),
         *(Column(_words(name)) for name in roles)],
        [
            [v.visit, v.sources, v.counts.get("detect_isPrimary"),
             *(v.counts.get(name) for name in roles)]
            for v in visits
        ],
    )  # fmt: skip
    wrong = make_table(
        [Column("visit"), *(Column(_words(name), "%", 2) for name in faults)],
        [[v.visit, *(_percent(v, name) for name in faults)] for v in visits],
    )
    return Section(
        "flags",
        "Flags",
        "Sources by what they were used for, and the share of them that carries a flag. Flags "
        "that no source carries are left out.",
        blocks=[Block("Used", table=used), Block("Flagged", table=wrong)],
    )


def _percent(visit: FlagCounts, name: str) -> float:
    return 100 * visit.counts.get(name, 0) / visit.sources if visit.sources else float("nan")


def _words(name: str) -> str:
    """Return the name of a flag so that it may be broken into lines."""
    for prefix in ("calib_", "pixelFlags_", "detect_"):
        name = name.removeprefix(prefix)
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in name)
    return words.replace("_", " ").strip()
