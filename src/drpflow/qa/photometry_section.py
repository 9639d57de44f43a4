"""What the report says of the global photometric calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.qa.air_blocks import air_blocks, instrument_blocks
from drpflow.qa.charts import Order, night_label
from drpflow.qa.checks import Check, percent
from drpflow.qa.page import Block, Column, Picture, Section, Tile, linked, make_table
from drpflow.qa.photometry_data import (
    CLOUDY,
    CLOUDY_NOT_IN_FIT,
    FEW_STARS,
    IMPOSSIBLE,
    IN_FIT,
    NOT_IN_FIT,
    PHOTOMETRIC,
    read_photometry,
)
from drpflow.qa.photometry_figures import zero_point_trends
from drpflow.qa.residual_blocks import Residuals, read_residuals, residual_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.io.status_files import Outcome
    from drpflow.io.store import Store
    from drpflow.qa.photometry_data import Photometry

_TITLE = "Photometric calibration"
_NO_REFERENCES, _NO_COLORS = 64, 128
_FLAGS = (
    (IN_FIT, "photometric", "night of many visits"),
    (NOT_IN_FIT, "photometric", "night of few visits"),
    (CLOUDY, "not photometric", "night of many visits"),
    (CLOUDY_NOT_IN_FIT, "not photometric", "night of few visits"),
    (IMPOSSIBLE, "no zero point", ""),
    (FEW_STARS, "few stars", "follows its visit"),
    (_NO_REFERENCES, "no references", "relative"),
    (_NO_COLORS, "no colours", "one band"),
)
_VISIT_COLUMNS = (
    Column("visit"),
    Column("night", text=True),
    Column("band", text=True),
    Column("airmass", "", 2),
    Column("of use", "detectors"),
    Column("sky", text=True),
    Column("chance to be clear", "%", 0),
    Column("zero point", "mag", 4),
    Column("its range", "mmag", 1),
    Column("gray", "mmag", 1),
    Column("its range", "mmag", 1),
    Column("error", "mmag", 1),
    Column("common error", "mmag", 1),
    Column("flux for clouds", "offset, mmag", 1),
    Column("stars"),
    Column("group"),
)
_LOST_COLUMNS = (
    Column("visit"),
    Column("detector"),
    Column("band", text=True),
    Column("why it has no zero point", text=True),
)
_STAR_COLUMNS = (
    Column("band", text=True),
    Column("stars"),
    Column("reserved"),
    Column("variable"),
    Column("without colour"),
    Column("visits a star", "median", 1),
    Column("error", "median, mmag", 2),
    Column("χ² a degree of freedom", "mean", 2),
)


def photometry_section(store: Store, outcomes: Sequence[Outcome]) -> Section | None:
    """Return the chapter, None if there is no calibration yet.

    Parameters
    ----------
    store
        The run.
    outcomes
        Of all jobs; those of fgcm tell what must be known of the result.
    """
    found = read_photometry(store)
    if found is None:
        return None
    notes = _notes(outcomes)
    if not len(found.zero_points["visit"]):
        return Section("photometry", _TITLE, "It failed: no visit has a zero point.", blocks=notes)
    residuals = read_residuals(store, found)
    blocks = [
        *notes,
        *_zero_point_blocks(found),
        *residual_blocks(residuals, found),
        *air_blocks(store, found),
        *instrument_blocks(found),
        *_star_blocks(store),
    ]
    note = (
        "One fit of air, instrument, clouds and stars to all visits. Gray is what is left of the "
        "light beside air and instrument, negative behind clouds; magnitudes are AB in the "
        "standard passbands."
    )
    return Section(
        "photometry", _TITLE, note, _tiles(found, residuals), linked("photometry", blocks),
        _checks(found, residuals),
    )  # fmt: skip


def _checks(found: Photometry, residuals: Residuals) -> list[Check]:
    z = found.zero_points
    visits = np.unique(z["visit"]).size
    usable = np.unique(z["visit"][np.isfinite(z["zero_point"])]).size
    error = z["zero_point_err"][np.isfinite(z["zero_point_err"])]
    bright = residuals.bright(photometric=True)
    return [
        Check("no_zero_point", percent(visits - usable, visits), visits),
        Check("zero_point_error", 1e3 * _middle(error), error.size),
        Check("repeatability", bright.corrected, bright.number),
    ]


def _notes(outcomes: Sequence[Outcome]) -> list[Block]:
    """Return what fgcm wants to be known, a row a note."""
    rows = []
    for outcome in outcomes:
        if outcome.task == "fgcm":
            rows += [[note] for note in str(outcome.numbers.get("notes") or "").split("; ") if note]
            rows += [[outcome.reason]] if outcome.reason else []
    if not rows:
        return []
    return [Block("What must be known", table=make_table([Column("note", text=True)], rows))]


def _tiles(found: Photometry, residuals: Residuals) -> list[Tile]:
    z = found.zero_points
    visits = np.unique(z["visit"])
    usable = np.unique(z["visit"][np.isfinite(z["zero_point"])])
    clear = np.unique(z["visit"][(z["flag"] & PHOTOMETRIC) > 0])
    tiles = [
        Tile(
            f"{usable.size} / {visits.size}", "visits with a zero point",
            "good" if usable.size == visits.size else "bad",
        ),
        Tile(str(clear.size), "of them photometric"),
    ]  # fmt: skip
    error = z["zero_point_err"][np.isfinite(z["zero_point_err"])]
    if error.size:
        tiles.append(Tile(f"{1e3 * np.median(error):.1f} mmag", "error of a zero point, median"))
    bright = residuals.bright(photometric=True)
    if np.isfinite(bright.corrected):
        tiles.append(
            Tile(
                f"{bright.corrected:.1f} mmag",
                f"bright reserved stars, clear visits ({bright.first:.1f} after calibrateImage)",
            )
        )
    bright = residuals.bright(photometric=False)
    if np.isfinite(bright.corrected):
        tiles.append(
            Tile(
                f"{bright.corrected:.1f} mmag",
                f"the same behind clouds ({bright.first:.1f} after calibrateImage)",
            )
        )
    return tiles


def _zero_point_blocks(found: Photometry) -> list[Block]:
    z = found.zero_points
    first = np.unique(z["visit"], return_index=True)[1]
    order = Order.of(
        z["visit"][first].tolist(),
        [found.mjd(v) for v in z["visit"][first].tolist()],
        z["night"][first].tolist(),
    )
    note = (
        "AB magnitude of 1 electron/s, of every detector: discs are photometric visits, rings "
        "are not. The scale of the gray is straight up to 20 mmag, then logarithmic. Errors are "
        "those beside what all zero points of a band have in common."
    )
    if found.has_cloud_flux:
        note += (
            " Clouds inside an image are followed by a flux of less noise; its offset is the mean "
            "of the calibrated magnitude less that one, in effect an aperture correction."
        )
    blocks = [
        Block(
            "Zero points",
            note,
            [Picture(zero_point_trends(found, order), "Zero points, gray and errors by visit.")],
            make_table(_VISIT_COLUMNS, [_visit_row(found, int(v)) for v in order.visits]),
            "Numbers of each visit",
            wide=True,
        ),
        Block(
            "Flags",
            "Detector images that carry each flag. The air of nights of few photometric visits is "
            "told by what is usual more than by stars.",
            table=_flag_table(found),
        ),
    ]
    lost = _lost_rows(found)
    if lost:
        table = make_table(_LOST_COLUMNS, lost)
        folded = f"all {len(lost)} detector images" if len(lost) > 20 else ""
        blocks.append(Block("Without a zero point", table=table, folded=folded))
    return blocks


def _visit_row(found: Photometry, visit: int) -> list[Any]:
    z = found.zero_points
    mine = z["visit"] == visit
    row = {name: values[mine] for name, values in z.items()}
    info = found.visits.get(visit)
    good = np.isfinite(row["zero_point"])
    clear = ((row["flag"] & PHOTOMETRIC) > 0).any()
    what = "photometric" if clear else "clouds" if good.any() else "none"
    return [
        visit,
        night_label(int(row["night"][0])),
        str(row["band"][0]),
        info.airmass if info is not None else None,
        f"{int(good.sum())} / {good.size}",
        what,
        100 * float(row["clear_probability"][0]),
        _middle(row["zero_point"]),
        1e3 * _range(row["zero_point"]),
        1e3 * _middle(row["gray"]),
        1e3 * _range(row["gray"]),
        1e3 * _middle(row["zero_point_err"]),
        1e3 * _middle(row["offset_err"]),
        1e3 * _middle(row["cloud_flux_offset"]) if found.has_cloud_flux else None,
        int(row["n_star"].sum()),
        int(row["group"][0]),
    ]


def _middle(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float("nan")


def _range(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    return float(np.ptp(finite)) if finite.size else float("nan")


def _flag_table(found: Photometry) -> Any:
    z = found.zero_points
    columns = [
        Column("band", text=True),
        Column("visits"),
        Column("detector images"),
        *(Column(name, what) for _, name, what in _FLAGS),
    ]
    rows = []
    for band in found.bands:
        mine = z["band"] == band
        counts = [int(((z["flag"][mine] & bit) > 0).sum()) for bit, _, _ in _FLAGS]
        rows.append([band, np.unique(z["visit"][mine]).size, int(mine.sum()), *counts])
    return make_table(columns, rows)


def _lost_rows(found: Photometry) -> list[list[Any]]:
    """Return the detector images without a zero point, and visits that took no part."""
    z = found.zero_points
    keys = list(zip(z["visit"].tolist(), z["detector"].tolist(), strict=True))
    band = dict(zip(keys, z["band"].tolist(), strict=True))
    lost = dict.fromkeys((k for k, m in zip(keys, z["zero_point"], strict=True) if m != m), "")
    lost |= found.lost
    return [[v, d, band.get((v, d), "–"), why or "–"] for (v, d), why in sorted(lost.items())]


def _star_blocks(store: Store) -> list[Block]:
    """Return the standard magnitudes by band."""
    if not store.query("fgcm_standard_stars"):
        return []
    columns = ["band", "mag_std", "mag_err", "n_good", "chi2", "color_assumed", "variable",
               "reserved"]  # fmt: skip
    stars = store.get("fgcm_standard_stars_run", columns=columns).to_dict()
    rows = []
    for band in dict.fromkeys(stars["band"].tolist()):
        mine = (stars["band"] == band) & np.isfinite(stars["mag_std"])
        s = {name: values[mine] for name, values in stars.items()}
        steady = (s["n_good"] > 1) & ~s["variable"] & np.isfinite(s["chi2"])
        freedom = (s["n_good"][steady] - 1).sum()
        chi2 = float(s["chi2"][steady].sum() / freedom) if freedom else float("nan")
        rows.append([
            band, int(mine.sum()), int(s["reserved"].sum()), int(s["variable"].sum()),
            int(s["color_assumed"].sum()), _middle(s["n_good"].astype(float)),
            1e3 * _middle(s["mag_err"]), chi2,
        ])  # fmt: skip
    return [Block("Standard stars", table=make_table(_STAR_COLUMNS, rows))]
