"""What the report says of calibrated stars: scatter from visit to visit, residual maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.qa.canvas import is_large
from drpflow.qa.page import Block, Column, Picture, make_table
from drpflow.qa.photometry_data import Measurements, read_measurements
from drpflow.qa.photometry_figures import cell_maps, repeatability_figure
from drpflow.qa.photometry_scores import (
    BRIGHT_ERROR_MAG,
    Deviations,
    ResidualMaps,
    Scatter,
    by_magnitude,
    deviations,
    scatter,
)

if TYPE_CHECKING:
    from drpflow.io.store import Store
    from drpflow.qa.photometry_data import Photometry

_SCATTER_COLUMNS = (
    Column("measurements"),
    Column("calibrateImage", "zero points alone, mmag", 2),
    Column("calibrateImage", "mmag", 2),
    Column("all stars alike", "mmag", 2),
    Column("with their colours", "mmag", 2),
    Column("noise", "mmag", 2),
    Column("intrinsic", "mmag", 2),
    Column("of calibrateImage", "intrinsic, mmag", 2),
)
_MAP_COLUMNS = (
    Column("band", text=True),
    Column("detector"),
    Column("measurements"),
    Column("mean", "mmag", 2),
    Column("its error", "mmag", 2),
    Column("structure", "rms, mmag", 2),
    Column("largest cell", "mmag", 1),
    Column("its error", "mmag", 1),
)
_NO_SCATTER = Scatter(0, *7 * (float("nan"),))


@dataclass(frozen=True, eq=False)
class Residuals:
    """Calibrated stars.

    Parameters
    ----------
    reserved, off
        Measurements of reserved stars with their deviations, None without any.
    maps
        Residuals of all stars over the detectors.
    """

    reserved: Measurements | None
    off: Deviations | None
    maps: ResidualMaps

    def bright(self, *, photometric: bool, band: int | None = None) -> Scatter:
        """Return the scatter of bright reserved stars on visits of one kind."""
        if self.reserved is None or self.off is None:
            return _NO_SCATTER
        rows = (self.reserved.mag_err < BRIGHT_ERROR_MAG) & (
            self.reserved.photometric == photometric
        )
        rows &= (self.reserved.band == band) if band is not None else True
        return scatter(self.off, rows)


def read_residuals(store: Store, found: Photometry) -> Residuals:
    """Go through the measurements, one piece of the sky after the other."""
    maps = ResidualMaps(found.detectors, len(found.bands))
    reserved = []
    for part in read_measurements(store, found):
        maps.add(part)
        reserved.append(part.select(part.reserved))
    joined = Measurements.join(reserved) if reserved else None
    if joined is None or not joined.star.size:
        return Residuals(None, None, maps)
    return Residuals(joined, deviations(joined), maps)


def residual_blocks(residuals: Residuals, found: Photometry) -> list[Block]:
    """Return scatter and residual maps with their numbers."""
    return [*_scatter_blocks(residuals, found), *_map_blocks(residuals, found)]


def _scatter_blocks(residuals: Residuals, found: Photometry) -> list[Block]:
    of, off = residuals.reserved, residuals.off
    title = "Repeatability of reserved stars"
    if of is None or off is None or not np.isfinite(off.corrected).any():
        return [Block(title, "There are too few of them, or too few visits of each.")]
    curves = {
        band: by_magnitude(of, off, of.band == k)
        for k, band in enumerate(found.bands)
        if (of.band == k).any()
    }
    curves = {band: bins for band, bins in curves.items() if bins}
    note = (
        "Stars that no fit has used, against their own mean over at least three visits of a "
        "band: 1.4826 times the median deviation, enlarged by √(n/(n−1)) for the mean taken. "
        "Noise is the width that the errors of the fluxes would make alone, intrinsic the scatter "
        "that has to be added to them."
    )
    rows = [[band, m, *_cells(s)] for band, bins in curves.items() for m, s in bins]
    bright = [
        [band, kind, *_cells(s)]
        for band, k in [("all", None), *((b, k) for k, b in enumerate(found.bands))]
        for kind, clear in (("photometric", True), ("not photometric", False))
        if (s := residuals.bright(photometric=clear, band=k)).number
    ]
    names = Column("band", text=True), Column("visits", text=True)
    magnitudes = Column("band", text=True), Column("magnitude", "", 1)
    blocks = [
        Block(
            title,
            note,
            [Picture(repeatability_figure(curves), "Scatter against magnitude, by band.")]
            if curves
            else (),
            make_table((*magnitudes, *_SCATTER_COLUMNS), rows),
            "Numbers of each bin",
            wide=True,
        )
    ]
    if bright:
        limit = f"Those with an error below {1e3 * BRIGHT_ERROR_MAG:g} mmag."
        blocks.append(
            Block("Bright ones", limit, table=make_table((*names, *_SCATTER_COLUMNS), bright))
        )
    return blocks


def _cells(s: Scatter) -> list[Any]:
    return [
        s.number,
        s.first_mean,
        s.first,
        s.raw,
        s.corrected,
        s.noise,
        s.intrinsic,
        s.intrinsic_first,
    ]


def _map_blocks(residuals: Residuals, found: Photometry) -> list[Block]:
    detectors = [found.detectors[key] for key in sorted(found.detectors)]
    if not detectors:
        return []
    pictures, rows = [], []
    for k, band in enumerate(found.bands):
        result = residuals.maps.band(k)
        if not any(result.number.values()):
            continue
        unit = "calibrated − standard magnitude [mmag]"
        pictures.append(Picture(cell_maps(result.mean, detectors, unit), f"{band}: mean residual"))
        rows += [
            [band, key, result.number[key], *result.average(key), result.structure(key),
             *result.largest(key)]
            for key in sorted(result.mean)
        ]  # fmt: skip
    note = (
        "Mean over all photometric visits of what stars, reserved or not, differ from their "
        "standard magnitude by: red where the calibration makes them too faint. The structure is "
        "the rms over the cells beyond what their errors explain."
    )
    table = make_table(_MAP_COLUMNS, rows)
    return [
        Block(
            "Residuals over the focal plane",
            note,
            pictures,
            table,
            "Numbers of each detector",
            wide=is_large(detectors),
        )
    ]
