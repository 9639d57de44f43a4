"""Brightness of a place of the sky from visit to visit, from the final sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.sky_match import match_nearest
from drpflow.data.photo_calib import NJY_ZERO_POINT_MAG
from drpflow.errors import MissingDatasetError
from drpflow.qa.canvas import data_uri
from drpflow.qa.charts import label, tidy
from drpflow.qa.final_data import final_visits, read_final
from drpflow.qa.trend_figures import band_colors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from drpflow.io.store import Store
    from drpflow.qa.final_data import Columns

    Floats: TypeAlias = NDArray[np.float64]

RADIUS_ARCSEC = 1.0
"""Farthest that a source may be from the place."""

_SUMMARY = "final_visit_summary"
_COLUMNS = [
    "detector", "sourceId", "x", "y", "ra", "dec", "psfFlux", "psfFluxErr", "psfFlux_flag",
    "extendedness", "detect_isPrimary", "pixelFlags_artifactCenter", "pixelFlags_saturatedCenter",
]  # fmt: skip
_FLUX_STEP = 1e3
# A source so near may hold the light of the place as well.
_BLEND_FWHM, _FWHM_OF_SIGMA = 2.0, 2.3548
_NIGHT_DAYS, _MOST_PANELS = 0.5, 8
_WIDTH_IN = 8.6
# The least that a panel shows, so that a lone visit has times of two decimals, room for each of
# them, and what a label on one line needs, inches.
_LEAST_DAYS, _TICK_IN, _LABEL_IN = 0.1, 0.42, 1.0


@dataclass(frozen=True, eq=False)
class LightCurve:
    """What visits saw at a place of the sky; one entry a visit that covers it, by time.

    Parameters
    ----------
    name, ra_deg, dec_deg
        Of the place.
    visit, detector, mjd, band
        When, and where.
    flux_njy, error_njy
        PSF flux of the source there; NaN where none was detected, or its flux failed.
    limit_njy
        Five sigma of a point source on that detector; NaN where no source is at the place and
        another one within 2 FWHM may hold its light.
    separation_arcsec
        Of the source from the place.
    source_id
        0 where there is none.
    flagged
        Whether the flux is not to be trusted.
    """

    name: str
    ra_deg: float
    dec_deg: float
    visit: NDArray[np.int64]
    detector: NDArray[np.int64]
    mjd: Floats
    band: NDArray[np.str_]
    flux_njy: Floats
    error_njy: Floats
    limit_njy: Floats
    separation_arcsec: Floats
    source_id: NDArray[np.int64]
    flagged: NDArray[np.bool_]

    @property
    def detected(self) -> NDArray[np.bool_]:
        """Whether there is a source, with a flux or without."""
        return self.source_id != 0

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the table that is written."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mag = NJY_ZERO_POINT_MAG - 2.5 * np.log10(self.flux_njy)
            mag_err = 2.5 / np.log(10) * self.error_njy / self.flux_njy
        return {
            "visit": self.visit, "detector": self.detector, "mjd": self.mjd, "band": self.band,
            "psfFlux": self.flux_njy, "psfFluxErr": self.error_njy, "limit": self.limit_njy,
            "mag": mag, "magErr": mag_err, "separation": self.separation_arcsec,
            "sourceId": self.source_id, "flagged": self.flagged,
        }  # fmt: skip


def read_light_curve(
    store: Store, name: str, ra_deg: float, dec_deg: float, radius_arcsec: float = RADIUS_ARCSEC
) -> LightCurve:
    """Return the light curve of a place.

    Parameters
    ----------
    store
        The run.
    name
        What to call it.
    ra_deg, dec_deg
        The place.
    radius_arcsec
        Farthest that a source may be from it; the nearest counts.
    """
    return read_light_curves(store, {name: (ra_deg, dec_deg)}, radius_arcsec)[0]


def read_light_curves(
    store: Store, places: Mapping[str, tuple[float, float]], radius_arcsec: float = RADIUS_ARCSEC
) -> list[LightCurve]:
    """Return the light curves of several places; each visit is read once.

    Parameters
    ----------
    store
        The run.
    places
        Right ascension and declination [deg] by name.
    radius_arcsec
        As for :func:`read_light_curve`.
    """
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in places}
    for visit in final_visits(store):
        sources = read_final(store, visit, _COLUMNS)
        for name, (ra, dec) in places.items():
            found = _of_visit(store, visit, sources, (ra, dec), radius_arcsec)
            if found is not None:
                rows[name].append(found)
    return [_curve(name, ra, dec, rows[name]) for name, (ra, dec) in places.items()]


def _curve(name: str, ra_deg: float, dec_deg: float, rows: list[tuple[Any, ...]]) -> LightCurve:
    rows.sort(key=lambda r: (r[2], r[0]))
    columns = list(zip(*rows, strict=True)) or [()] * 10
    kinds: tuple[Any, ...] = (int, int, float, str, float, float, float, float, np.int64, bool)
    arrays = [np.array(c, k) for c, k in zip(columns, kinds, strict=True)]
    return LightCurve(name, ra_deg, dec_deg, *arrays)


def _of_visit(
    store: Store, visit: int, s: Columns, place: tuple[float, float], radius_arcsec: float
) -> tuple[Any, ...] | None:
    """Return the entry of a visit, None if no detector of it covers the place."""
    info = store.get("visit_info", visit=visit) if store.exists("visit_info", visit=visit) else None
    about = (
        float("nan") if info is None or info.mjd is None else float(info.mjd),
        "–" if info is None or not info.band else str(info.band),
    )
    covering = _covering(store, visit, place)
    rows = np.flatnonzero(s["detect_isPrimary"])
    near = match_nearest(
        np.array([place[0]]), np.array([place[1]]), s["ra"][rows], s["dec"][rows], radius_arcsec
    )
    if not len(near):
        if not covering:
            return None
        detector, (limit, reach) = next(iter(covering.items()))
        blend = match_nearest(
            np.array([place[0]]), np.array([place[1]]), s["ra"][rows], s["dec"][rows], reach
        )
        limit = np.nan if len(blend) else limit
        return visit, detector, *about, np.nan, np.nan, limit, np.nan, 0, False
    k = int(rows[near.second[0]])
    detector = int(s["detector"][k])
    flags = ("psfFlux_flag", "pixelFlags_artifactCenter", "pixelFlags_saturatedCenter")
    return (
        visit, detector, *about, float(s["psfFlux"][k]), float(s["psfFluxErr"][k]),
        covering.get(detector, (np.nan, np.nan))[0], float(near.separation_arcsec[0]),
        int(s["sourceId"][k]), bool(any(s[f][k] for f in flags)),
    )  # fmt: skip


def _covering(
    store: Store, visit: int, place: tuple[float, float]
) -> dict[int, tuple[float, float]]:
    """Return depth [nJy] and reach of blends [arcsec] of the detectors on which a place lies."""
    if not store.exists(_SUMMARY, visit=visit):
        return {}
    table = store.get(_SUMMARY, visit=visit)
    columns = (table[n].tolist() for n in ("detector", "magLim", "psfSigma", "pixelScale"))
    found = {}
    for detector, limit, sigma, scale in zip(*columns, strict=True):
        try:
            wcs = table.component("wcs", detector=detector)
            size = table.component("detector", detector=detector).detector.size_pix
        except MissingDatasetError:
            continue
        x, y = (float(v) for v in wcs.world_to_pixel_values(*place))
        if -0.5 <= x < size[0] - 0.5 and -0.5 <= y < size[1] - 0.5:
            depth = float(10 ** (0.4 * (NJY_ZERO_POINT_MAG - limit)))
            reach = _BLEND_FWHM * _FWHM_OF_SIGMA * sigma * scale
            found[int(detector)] = depth, float(np.nan_to_num(reach))
    return found


def place_of(
    store: Store, visit: int, detector: int, x: float, y: float
) -> tuple[float, float]:  # fmt: skip
    """Return right ascension and declination of a pixel by the final WCS.

    Raises
    ------
    MissingDatasetError
        If the detector has none.
    """
    wcs = store.get(f"{_SUMMARY}.wcs", visit=visit, detector=detector)
    ra, dec = (float(v) for v in wcs.pixel_to_world_values(x, y))
    return ra, dec


def draw_light_curve(of: LightCurve) -> Figure:
    """Draw flux against time: discs are sources, rings flagged ones, triangles upper limits.

    Nights have panels of their own, side by side, if there are few of them; of many, the one with
    most visits has one beside that of all.
    """
    from matplotlib.figure import Figure

    nights = _nights(of.mjd)
    figure = Figure(figsize=(_WIDTH_IN, 3.4), layout="constrained")
    share = np.array([np.sqrt(n.size) + 0.5 for n in nights])
    width_in = 0.9 * _WIDTH_IN * share / share.sum()
    panels = figure.subplots(
        1, len(nights), sharey=True, squeeze=False, width_ratios=share.tolist()
    )[0]
    unit = _FLUX_STEP if np.nanmax(np.abs(of.flux_njy), initial=0) > 2 * _FLUX_STEP else 1.0
    for rows, axes, width in zip(nights, panels, width_in.tolist(), strict=True):
        tidy(axes)
        origin = np.floor(np.nanmin(of.mjd[rows])) if np.ptp(of.mjd[rows]) < 1 else 0.0
        _draw_night(axes, of, rows, origin, unit)
        axes.axhline(0, color="0.7", linewidth=0.8)
        _set_times(axes, of.mjd[rows] - origin, width)
        between = " " if width > _LABEL_IN else "\n"
        label(axes, f"MJD −{between}{origin:.0f}" if origin else "MJD (TAI)")
    label(panels[0], y=f"PSF flux [{'µJy' if unit > 1 else 'nJy'}]")
    handles: dict[str, Any] = {}
    for axes in panels:
        items, names = axes.get_legend_handles_labels()
        handles |= dict(zip(names, items, strict=True))
    figure.suptitle(
        f"{of.name}  ({of.ra_deg:.5f}, {of.dec_deg:+.5f})", fontsize=9, x=0.99, ha="right"
    )
    if handles:
        figure.legend(handles.values(), handles.keys(), ncols=6, fontsize=8, frameon=False,
                      loc="outside upper left")  # fmt: skip
    return figure


def _set_times(axes: Axes, days: Floats, width_in: float) -> None:
    """Set what a panel shows, and as many times at its axis as it has room for."""
    from matplotlib.ticker import MaxNLocator

    first, last = float(np.nanmin(days)), float(np.nanmax(days))
    half = max(0.55 * (last - first), _LEAST_DAYS / 2)
    axes.set_xlim((first + last) / 2 - half, (first + last) / 2 + half)
    steps = max(1, int(width_in / _TICK_IN))
    axes.xaxis.set_major_locator(MaxNLocator(steps, steps=[1, 2, 5, 10], min_n_ticks=1))


def _nights(mjd: Floats) -> list[NDArray[np.intp]]:
    """Return the rows of each night; if there are many, all, and those of the longest night."""
    if mjd.size < 2:
        return [np.arange(mjd.size)]
    new = np.flatnonzero(np.diff(mjd) > _NIGHT_DAYS) + 1
    parts = np.split(np.arange(mjd.size), new)
    return parts if len(parts) <= _MOST_PANELS else [np.arange(mjd.size), max(parts, key=len)]


def _draw_night(
    axes: Axes, of: LightCurve, night: NDArray[np.intp], origin: float, unit: float
) -> None:
    here = np.zeros(of.mjd.size, bool)
    here[night] = True
    for band, color in band_colors(of.band.tolist()).items():
        mine = (of.band == band) & here
        for rows, face in (
            (mine & of.detected & ~of.flagged, color),
            (mine & of.detected & of.flagged, "white"),
        ):
            if rows.any():
                axes.errorbar(
                    of.mjd[rows] - origin, of.flux_njy[rows] / unit, of.error_njy[rows] / unit,
                    fmt="o", markersize=4.5, color=color, markerfacecolor=face, elinewidth=0.9,
                    label=band,
                )  # fmt: skip
        rows = mine & ~of.detected & np.isfinite(of.limit_njy)
        if rows.any():
            axes.plot(
                of.mjd[rows] - origin, of.limit_njy[rows] / unit, "v", markersize=5, color=color,
                markerfacecolor="none", label=f"{band}, 5 sigma",
            )  # fmt: skip


def light_curve_picture(of: LightCurve) -> str:
    """Return the figure as a data URI."""
    return data_uri(draw_light_curve(of))
