"""What the report says of stellar motions, and of images made smaller for the archive."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.io.fits_index import FitsIndex
from drpflow.qa.calibration_section import middle
from drpflow.qa.final_figures import histograms
from drpflow.qa.page import Block, Column, Picture, make_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.io.store import Store

MOTIONS, SMALL = "stellar_motions", "compressed_pvi"
_SNR_EDGES = (0.0, 7.0, 10.0, 20.0, 50.0, np.inf)
_FEWEST = 20
_BYTES_A_PIXEL = 4
_MOTION_COLUMNS = (
    Column("signal to noise", "of a source", text=True),
    Column("stars"),
    Column("with motions"),
    Column("proper motion", "median error, mas/yr", 2),
    Column("parallax", "median error, mas", 2),
    Column("chi2 / dof", "median", 2),
)
_SIZE_COLUMNS = (
    Column("visit"),
    Column("images"),
    Column("image and variance", "MB", 1),
    Column("compressed", "MB", 1),
    Column("factor", "", 2),
    Column("whole file", "MB", 1),
)
_OPEN_ROWS = 20


def motion_blocks(store: Store) -> list[Block]:
    """Return stellar motions by signal to noise: errors, and scatter about them."""
    tables = [store.get(MOTIONS, **i).to_dict() for i in store.query(MOTIONS)]
    if not tables:
        return []
    s = {n: np.concatenate([t[n] for t in tables]) for n in tables[0]}
    rows = []
    for low, high in pairwise(_SNR_EDGES):
        mine = (s["snr"] >= low) & (s["snr"] < high)
        if mine.any():
            rows.append(_motion_row(s, mine, _span(low, high)))
    with np.errstate(invalid="ignore", divide="ignore"):
        excess = (s["chi2"] - s["dof"]) / np.sqrt(2 * s["dof"])
    drawn = {}
    for low, high in pairwise(_SNR_EDGES):
        values = excess[np.isfinite(excess) & (s["snr"] >= low) & (s["snr"] < high)]
        if values.size >= _FEWEST:
            drawn[f"S/N {_span(low, high)}"] = values
    caption = (
        "Scatter of the sources of each star about its motion; the line is the normal distribution."
    )
    figures = [Picture(histograms(drawn, "(chi2 - dof) / sqrt(2 dof)"), caption)] if drawn else []
    note = (
        "Stars from all their sources, WCSs held fixed. Motions are not told where the visits do "
        "not determine them."
    )
    table = make_table(_MOTION_COLUMNS, rows)
    return [Block("Stellar motions", note, figures, table, wide=True)]


def _motion_row(s: dict[str, Any], mine: NDArray[np.bool_], name: str) -> list[Any]:
    told = mine & np.isfinite(s["raPM"])
    with np.errstate(invalid="ignore", divide="ignore"):
        chi2 = s["chi2"] / s["dof"]
    return [
        name, int(mine.sum()), int(told.sum()), middle(s["raPMErr"][told]),
        middle(s["parallaxErr"][told]), middle(chi2[mine]),
    ]  # fmt: skip


def _span(low: float, high: float) -> str:
    return f"above {low:g}" if np.isinf(high) else f"{low:g} to {high:g}"


@dataclass
class _Sizes:
    """Bytes of the images of a visit."""

    images: int = 0
    planes: int = 0
    compressed: int = 0
    file: int = 0

    def row(self, visit: int) -> list[Any]:
        """Return the row of the table."""
        return [
            visit, self.images, self.planes / 1e6, self.compressed / 1e6,
            self.planes / self.compressed if self.compressed else None, self.file / 1e6,
        ]  # fmt: skip


def compression_block(store: Store) -> list[Block]:
    """Return by what factor image and variance have become smaller."""
    sizes: dict[int, _Sizes] = {}
    for data_id in store.query(SMALL):
        of = sizes.setdefault(int(data_id["visit"]), _Sizes())
        path = store.path(SMALL, **data_id)
        of.images += 1
        of.file += path.stat().st_size
        for entry in FitsIndex(path).entries.values():
            if entry.name in {"IMAGE", "VARIANCE"} and entry.is_compressed:
                h = entry.header
                of.planes += _BYTES_A_PIXEL * int(h["ZNAXIS1"]) * int(h["ZNAXIS2"])
                of.compressed += entry.data_size
    if not sizes:
        return []
    rows = [sizes[v].row(v) for v in sorted(sizes)]
    total = [sum(getattr(s, n) for s in sizes.values()) for n in ("planes", "compressed")]
    note = (
        f"Image and variance of all visits: {total[0] / 1e6:.0f} MB of float32 in "
        f"{total[1] / 1e6:.0f} MB, a factor of {total[0] / max(total[1], 1):.2f}. Files hold the "
        "mask and all components as well, without loss."
    )
    folded = f"all {len(rows)} visits" if len(rows) > _OPEN_ROWS else ""
    return [Block("Compressed images", note, (), make_table(_SIZE_COLUMNS, rows), folded)]
