"""What the report says of the first calibrations: the run at a glance, and its visits in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.qa.charts import Order, night_number
from drpflow.qa.page import Block, Column, Marked, Picture, Section, Tile, make_table
from drpflow.qa.trend_figures import Trend, trends
from drpflow.qa.visit_states import VisitFigures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.qa.visit_data import VisitData
    from drpflow.qa.visit_states import VisitState

    Floats = NDArray[np.float64]

# Columns of a visit's summary that the overview needs, as medians over the detectors.
_VISIT_COLUMNS = (
    Column("visit"),
    Column("state", text=True),
    Column("night", text=True),
    Column("band", text=True),
    Column("exposure", "s", 1),
    Column("airmass", "", 2),
    Column("of use", "detectors"),
    Column("rescued", "detectors"),
    Column("lost", "detectors"),
    Column("PSF width", "arcsec", 2),
    Column("ellipticity", "", 3),
    Column("zero point", "mag", 3),
    Column("its scatter", "mmag", 0),
    Column("sky", "electron", 0),
    Column("residual", "mas", 1),
    Column("5 sigma", "mag", 2),
    Column("effective time", "s", 1),
    Column("stars"),
)
# Where the figures stand by which a visit is judged, without its state.
_JUDGED = {"lost": 7, "width": 8, "ellipticity": 9, "scatter": 11, "residual": 13, "shallow": 14}
_LOST_COLUMNS = (
    Column("visit"),
    Column("detector"),
    Column("WCS from", text=True),
    Column("zero point from", text=True),
    Column("why it is of no use", text=True),
)


@dataclass(frozen=True)
class VisitNumbers:
    """Numbers of a visit that outlive its pixels; arrays have an entry a detector."""

    visit: int
    row: list[Any]
    lost_rows: list[list[Any]]
    band: str
    mjd: float
    night: int
    panels: dict[str, NDArray[np.float64]]
    of_use: int
    rescued: int
    lost: int

    @property
    def figures(self) -> VisitFigures:
        """What the visit is judged by."""
        width, ellipticity, scatter, residual, depth = (
            float(self.row[k]) if self.row[k] is not None else float("nan")
            for name, k in _JUDGED.items()
            if name != "lost"
        )
        return VisitFigures(
            self.visit, self.band, self.lost, self.of_use + self.lost, width, ellipticity, scatter,
            residual, depth,
        )  # fmt: skip


def visit_numbers(data: VisitData) -> VisitNumbers:
    """Return the overview's share of a visit."""
    lost = [bool(reason) for reason in data.text("lost")]
    rescued = [
        not gone and not {wcs, zero} <= {"fit", ""}
        for gone, wcs, zero in zip(
            lost, data.text("wcs_source"), data.text("photo_calib_source"), strict=True
        )
    ]
    panels = {
        "PSF width [arcsec]": data.fwhm_arcsec,
        "zero point of 1 e/s −\nmedian of band [mag]": of_a_second(
            data.column("zeroPoint"), data.info.exposure_time_s if data.info is not None else None
        ),
        "sky [electron]": data.column("skyBg"),
        "5 sigma [mag]": data.column("magLim"),
        "to reference\nstars [mas]": 1e3 * data.column("astromOffsetMean"),
    }
    rows = zip(
        data.summary["detector"].tolist(),
        data.text("wcs_source"),
        data.text("photo_calib_source"),
        data.text("lost"),
        rescued,
        strict=True,
    )
    return VisitNumbers(
        data.visit,
        _row(data, sum(lost), sum(rescued)),
        [[data.visit, d, wcs, zero, why or "–"] for d, wcs, zero, why, r in rows if why or r],
        data.band,
        data.info.mjd if data.info is not None and data.info.mjd is not None else float("nan"),
        night_number(data.info),
        panels,
        len(lost) - sum(lost),
        sum(rescued),
        sum(lost),
    )


def _row(data: VisitData, lost: int, rescued: int) -> list[Any]:
    info = data.info
    number = len(data.summary)
    zero = data.column("zeroPoint")
    return [
        data.visit,
        info.night if info is not None else None,
        data.band,
        info.exposure_time_s if info is not None else None,
        info.airmass if info is not None else None,
        f"{number - lost} / {number}",
        rescued,
        lost,
        middle(data.fwhm_arcsec),
        middle(data.ellipticity),
        middle(zero),
        1e3 * float(np.nanstd(zero)) if np.isfinite(zero).sum() > 1 else None,
        middle(data.column("skyBg")),
        1e3 * middle(data.column("astromOffsetMean")),
        middle(data.column("magLim")),
        middle(data.column("effTime")),
        int(np.nansum(data.column("n_stars"))),
    ]


def middle(values: NDArray[np.float64]) -> float:
    """Return the median of what is finite, NaN if nothing is."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float("nan")


def of_a_second(zero_point: Floats, exposure_s: Floats | float | None) -> Floats:
    """Return zero points of 1 electron/s from those of exposures; as they are without a time."""
    known = np.nan_to_num(np.asarray(exposure_s if exposure_s is not None else 0.0, np.float64))
    return zero_point - 2.5 * np.log10(np.where(known > 0, known, 1.0))


def about_band(values: Floats, bands: NDArray[np.str_]) -> Floats:
    """Return values less the median of their band."""
    medians = {band: middle(values[bands == band]) for band in dict.fromkeys(bands.tolist())}
    return values - np.array([medians[band] for band in bands.tolist()])


def _judged_row(of: VisitNumbers, state: VisitState, anchors: Mapping[int, str]) -> list[Any]:
    """Return the row of a visit with what is not good of it."""
    row = list(of.row)
    for name, mood in state.moods.items():
        row[_JUDGED[name]] = Marked(row[_JUDGED[name]], mood)
    visit = Marked(of.visit, "", anchors.get(of.visit, ""))
    return [visit, Marked(state.text(), state.mood), *row[1:]]


def calibration_section(
    visits: Sequence[VisitNumbers],
    states: Mapping[int, VisitState],
    anchors: Mapping[int, str],
) -> Section:
    """Return the run at a glance: numbers, trends, visits, what was lost or rescued.

    Parameters
    ----------
    visits
        All of them.
    states
        What has come of each.
    anchors
        Where the pages of some of them are.
    """
    if not visits:
        return Section("calibration", "Calibration", "There is none yet.")
    blocks = [
        Block(
            figures=[Picture(_trends(visits), "Every detector of every visit, by band.")],
            wide=True,
        ),
        Block(
            "Visits",
            "Medians over the detectors of a visit. The residual is the mean distance of matched "
            "stars to the reference catalogue; 5 sigma is the depth for a point source. The state "
            "follows from the limits makeReport.visit_limits of the configuration; a visit's "
            "number leads to its page.",
            table=make_table(
                _VISIT_COLUMNS, [_judged_row(v, states[v.visit], anchors) for v in visits]
            ),
        ),
    ]
    lost = [row for v in visits for row in v.lost_rows]
    if lost:
        blocks.append(
            Block(
                "Lost and rescued detectors",
                "Whose calibration is not its own, and what could not be saved.",
                table=make_table(_LOST_COLUMNS, lost),
            )
        )
    return Section(
        "calibration",
        "Calibration",
        "First PSF, astrometry and photometry of each detector by itself, and what the "
        "detectors of a visit could do for each other.",
        _tiles(visits),
        blocks,
    )


def _tiles(visits: Sequence[VisitNumbers]) -> list[Tile]:
    of_use, rescued, lost = (
        sum(getattr(v, n) for v in visits) for n in ("of_use", "rescued", "lost")
    )
    pooled = {name: np.concatenate([v.panels[name] for v in visits]) for name in visits[0].panels}
    width, _, _, _, offset = (middle(pooled[name]) for name in visits[0].panels)
    tiles = [
        Tile(f"{of_use} / {of_use + lost}", "detectors of use", "bad" if lost else "good"),
        Tile(str(rescued), "of them rescued"),
    ]
    if np.isfinite(width):
        tiles.append(Tile(f"{width:.2f}″", "median PSF width"))
    if np.isfinite(offset):
        tiles.append(Tile(f"{offset:.0f} mas", "to reference stars"))
    return tiles


def _trends(visits: Sequence[VisitNumbers]) -> str:
    """Draw the panels; zero points are taken relative to the median of their band."""
    number = [len(next(iter(v.panels.values()))) for v in visits]
    bands = np.repeat([v.band for v in visits], number)
    panels = []
    for label in visits[0].panels:
        values = np.concatenate([v.panels[label] for v in visits])
        if label.startswith("zero point"):
            values = about_band(values, bands)
        panels.append(Trend(label, values))
    order = Order.of([v.visit for v in visits], [v.mjd for v in visits], [v.night for v in visits])
    return trends(np.repeat([v.visit for v in visits], number), bands, panels, order)
