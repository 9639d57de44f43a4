"""What the report says of final visit summaries: seeing, zero points, sky, depth, what was lost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.qa.calibration_section import about_band, middle, of_a_second
from drpflow.qa.charts import Order, night_label, night_number
from drpflow.qa.checks import Check, percent
from drpflow.qa.page import Block, Column, Picture, Section, Tile, linked, make_table
from drpflow.qa.trend_figures import Trend, band_colors, trends

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.data.visit_info import VisitInfo
    from drpflow.io.store import Store

    Columns = dict[str, NDArray[Any]]

_TITLE = "Final visit summaries"
FINAL, FIRST = "final_visit_summary", "initial_visit_summary"
_OPEN_ROWS = 20
_TIMES = ("exposure_s", "effective_s")
_SHARED = ["detector", "psfSigma", "psfIxx", "psfIyy", "psfIxy", "pixelScale", "zeroPoint",
           "skyBg", "skyNoise", "magLim", "effTime"]  # fmt: skip
_MORE = ["wcs_change", "zero_point_err", "pointing_offset", "expTime", "effTimePsfSigmaScale",
         "effTimeSkyBgScale", "effTimeZeroPointScale", "maskedFraction", "astromOffsetMean",
         "has_background", "psf_source", "lost"]  # fmt: skip
_VISIT_COLUMNS = (
    Column("visit"),
    Column("night", text=True),
    Column("band", text=True),
    Column("exposure", "s", 0),
    Column("airmass", "", 2),
    Column("complete", "detectors"),
    Column("PSF width", "arcsec", 3),
    Column("changed by", "%", 2),
    Column("ellipticity", "", 3),
    Column("zero point", "mag", 4),
    Column("changed by", "mmag", 1),
    Column("sky", "electron", 1),
    Column("5 sigma", "mag", 3),
    Column("changed by", "mag", 3),
    Column("effective time", "s", 2),
    Column("share", "%", 0),
    Column("by seeing", "factor", 2),
    Column("by sky", "factor", 2),
    Column("by zero point", "factor", 2),
    Column("to reference", "mas", 1),
    Column("WCS moved", "corner, mas", 0),
    Column("masked", "%", 2),
)
_BAND_COLUMNS = (
    Column("band", text=True),
    Column("visits"),
    Column("detectors", "complete"),
    Column("PSF width", "median, arcsec", 2),
    Column("5 sigma", "median, mag", 2),
    Column("exposure", "sum, s", 0),
    Column("effective time", "sum, s", 1),
    Column("share", "%", 0),
)
_LOST_COLUMNS = (
    Column("visit"),
    Column("detector"),
    Column("band", text=True),
    Column("WCS moved", "corner, mas", 0),
    Column("what is missing, and why", text=True),
)


@dataclass(frozen=True, eq=False)
class Summary:
    """A visit: what is known of it, its final columns, and the first ones of the same detectors."""

    visit: int
    info: VisitInfo | None
    final: Columns
    first: Columns

    @property
    def exposure_s(self) -> float:
        """Exposure time, NaN if it is not known."""
        known = self.info.exposure_time_s if self.info is not None else None
        return float(known) if known is not None else middle(self.final["expTime"])

    @property
    def effective_s(self) -> float:
        """Mean effective time of the detectors; those without one count as 0."""
        effective = np.nan_to_num(self.final["effTime"])
        return float(effective.mean()) if effective.size else 0.0

    @property
    def band(self) -> str:
        """Band, or a dash."""
        return self.info.band if self.info is not None and self.info.band else "–"

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Whether nothing is missing of a detector."""
        return np.asarray((self.final["lost"] == "") & self.final["has_background"])


def width_arcsec(of: Columns) -> NDArray[np.float64]:
    """Return the width of the PSF in the middle of each detector, 2.355 σ."""
    return np.asarray(2.3548 * of["psfSigma"] * of["pixelScale"], np.float64)


def read_summaries(store: Store) -> list[Summary]:
    """Return all visits that have a final summary."""
    found = []
    for visit in sorted(int(i["visit"]) for i in store.query(FINAL)):
        known = store.exists("visit_info", visit=visit)
        info = store.get("visit_info", visit=visit) if known else None
        final = store.get(FINAL, columns=[*_SHARED, *_MORE], visit=visit).to_dict()
        found.append(Summary(visit, info, final, _first(store, visit, final)))
    return found


def relative_times(visits: Sequence[Summary]) -> list[Summary]:
    """Return visits with effective times relative to the median depth of their band.

    The noise of the sky falls as the square root of the time, so that a depth m5 takes the time
    t 10^(0.8 (m5 - m)) if m takes t: here the medians of depth and exposure of the band.
    """
    found = []
    for v in visits:
        band = [w for w in visits if w.band == v.band]
        depth = middle(np.concatenate([w.final["magLim"] for w in band]))
        usual_s = middle(np.array([w.exposure_s for w in band]))
        time_s = usual_s * 10 ** (0.8 * (v.final["magLim"] - depth))
        found.append(replace(v, final=v.final | {"effTime": time_s}))
    return found


def _first(store: Store, visit: int, final: Columns) -> Columns:
    """Return the first summary in the rows of the final one, NaN where it has none."""
    nothing = {n: np.full(final["detector"].size, np.nan) for n in _SHARED}
    if not store.exists(FIRST, visit=visit):
        return nothing
    table = store.get(FIRST, columns=_SHARED, visit=visit).to_dict()
    row = {d: k for k, d in enumerate(table["detector"].tolist())}
    at = np.array([row.get(d, -1) for d in final["detector"].tolist()], int)
    return {n: np.append(table[n].astype(float), np.nan)[at] for n in _SHARED}


def summary_section(store: Store) -> Section | None:
    """Return the chapter, None if there is no final summary yet."""
    visits = read_summaries(store)
    if not visits:
        return None
    note = (
        "The best calibrations of each detector and its statistics with them; what has changed is "
        "the final figure less that of the first look. In the figure zero points are those of a "
        "second, in the tables those of the exposure. The effective time is that in which the "
        "same depth would be reached under "
    )
    told = any(np.isfinite(v.final["effTime"]).any() for v in visits)
    if told:
        note += "the fiducial conditions of the configuration."
    else:
        note += (
            "conditions in which the median exposure of the band reaches the median depth: the "
            "configuration names no fiducial conditions."
        )
        visits = relative_times(visits)
    order = Order.of(
        [v.visit for v in visits],
        [v.info.mjd if v.info and v.info.mjd is not None else np.nan for v in visits],
        [night_number(v.info) for v in visits],
    )
    by = {v.visit: v for v in visits}
    rows = [_row(by[k]) for k in order.visits.tolist()]
    blocks = [
        Block(
            "Visits in the order of time",
            "Every detector of every visit, by band.",
            [Picture(_trends(visits, order), "Seeing, zero point, sky, depth, effective time.")],
            make_table(_VISIT_COLUMNS, rows),
            "Numbers of each visit: medians over its detectors",
            wide=True,
        ),
        Block("Bands", table=make_table(_BAND_COLUMNS, _band_rows(visits))),
        *_lost_block(visits),
    ]
    complete = np.concatenate([v.complete for v in visits])
    check = Check("lost_detectors", percent(int((~complete).sum()), complete.size), complete.size)
    return Section(
        "summary", _TITLE, note, _tiles(visits, fiducial=told), linked("summary", blocks), [check]
    )


def _tiles(visits: Sequence[Summary], *, fiducial: bool) -> list[Tile]:
    complete = sum(int(v.complete.sum()) for v in visits)
    total = sum(v.complete.size for v in visits)
    exposure, effective = (sum(getattr(v, n) for v in visits) for n in _TIMES)
    tiles = [
        Tile(
            f"{complete} / {total}", "detectors with all calibrations",
            "good" if complete == total else "bad",
        )
    ]  # fmt: skip
    width = middle(np.concatenate([width_arcsec(v.final) for v in visits]))
    if np.isfinite(width):
        tiles.append(Tile(f"{width:.2f}″", "median PSF width"))
    if exposure > 0 and fiducial:
        share = f"{100 * effective / exposure:.0f} %"
        tiles.append(Tile(share, f"effective of {exposure:.0f} s exposed"))
    return tiles


def _trends(visits: Sequence[Summary], order: Order) -> str:
    number = [v.final["detector"].size for v in visits]
    bands = np.repeat([v.band for v in visits], number)
    of = {n: np.concatenate([v.final[n] for v in visits]) for n in visits[0].final}
    exposure = np.repeat([v.exposure_s for v in visits], number)
    zero = about_band(of_a_second(of["zeroPoint"], exposure), bands)
    panels = [
        Trend("PSF width\n[arcsec]", width_arcsec(of)),
        Trend("zero point of 1 e/s −\nmedian of band [mag]", zero),
        Trend("sky\n[electron/pix]", of["skyBg"]),
        Trend("5 sigma [mag]", of["magLim"]),
        Trend("effective time\n[% of exposure]", 100 * of["effTime"] / exposure),
    ]
    return trends(np.repeat([v.visit for v in visits], number), bands, panels, order)


def _row(of: Summary) -> list[Any]:
    final, first, info = of.final, of.first, of.info
    width, first_width = width_arcsec(final), width_arcsec(first)
    ellipticity = np.hypot(final["psfIxx"] - final["psfIyy"], 2 * final["psfIxy"])
    with np.errstate(invalid="ignore", divide="ignore"):
        ellipticity /= final["psfIxx"] + final["psfIyy"]
    factors = (middle(final[f"effTime{n}Scale"]) for n in ("PsfSigma", "SkyBg", "ZeroPoint"))
    return [
        of.visit, night_label(night_number(info)), of.band, of.exposure_s,
        info.airmass if info is not None else None,
        f"{int(of.complete.sum())} / {of.complete.size}", middle(width),
        100 * middle(width / first_width - 1),
        middle(ellipticity), middle(final["zeroPoint"]),
        1e3 * middle(final["zeroPoint"] - first["zeroPoint"]), middle(final["skyBg"]),
        middle(final["magLim"]), middle(final["magLim"] - first["magLim"]),
        middle(final["effTime"]), 100 * middle(final["effTime"]) / of.exposure_s, *factors,
        1e3 * middle(final["astromOffsetMean"]), 1e3 * middle(final["wcs_change"]),
        100 * middle(final["maskedFraction"]),
    ]  # fmt: skip


def _band_rows(visits: Sequence[Summary]) -> list[list[Any]]:
    rows = []
    for band in band_colors(v.band for v in visits):
        mine = [v for v in visits if v.band == band]
        widths = np.concatenate([width_arcsec(v.final) for v in mine])
        limits = np.concatenate([v.final["magLim"] for v in mine])
        complete = np.concatenate([v.complete for v in mine])
        exposure, effective = (sum(getattr(v, n) for v in mine) for n in _TIMES)
        rows.append([
            band, len(mine), f"{int(complete.sum())} / {complete.size}", middle(widths),
            middle(limits), exposure, effective, 100 * effective / exposure,
        ])  # fmt: skip
    return rows


def _lost_block(visits: Sequence[Summary]) -> list[Block]:
    """Return what detectors lack, and why."""
    rows = []
    for v in visits:
        for k in np.flatnonzero(~v.complete):
            why = str(v.final["lost"][k])
            if not v.final["has_background"][k]:
                why = "; ".join(filter(None, [why, "background: see modelVisitBackground"]))
            moved = 1e3 * float(v.final["wcs_change"][k])
            rows.append([v.visit, int(v.final["detector"][k]), v.band, moved, why])
    if not rows:
        return []
    folded = f"all {len(rows)} detector images" if len(rows) > _OPEN_ROWS else ""
    return [
        Block("What was lost, and why", table=make_table(_LOST_COLUMNS, rows), folded=folded)
    ]  # fmt: skip
