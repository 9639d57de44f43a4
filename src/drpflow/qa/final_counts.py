"""How many final sources each visit has, how deep it is, and what is flagged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.data.photo_calib import NJY_ZERO_POINT_MAG
from drpflow.qa.calibration_section import middle
from drpflow.qa.final_data import final_visits, read_final

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.io.store import Store

    Floats: TypeAlias = NDArray[np.float64]

STEP_MAG = 0.5
"""Width of the bins of number counts."""

ARTIFACTS = ("pixelFlags_artifactCenter", "pixelFlags_streakCenter")
_SUMMARY = "final_visit_summary"
_COLUMNS = [
    "detector", "psfFlux", "psfFluxErr", "psfFlux_flag", "extendedness", "detect_isPrimary",
    "sky_source", "deblend_nPeaks", "deblend_skipped", "pixelFlags_transientCenter", *ARTIFACTS,
]  # fmt: skip
_DEPTH_SNR = (4.0, 20.0)
_LIMIT_SNR, _CLASS_SNR = 5.0, 10.0
_EXTENDED = 0.5


@dataclass(frozen=True, eq=False)
class VisitCounts:
    """Final sources of a visit.

    Parameters
    ----------
    visit, band
        Which.
    detectors, missing
        Detectors with sources; those that have none though the visit's summary has them.
    area_arcmin2
        Of these detectors; NaN if it is not known.
    number, blended, skipped
        Primary sources; those of blends of several; those of blends that were not separated.
    stars, extended
        Of those with S/N above 10.
    flagged
        Primary sources with artifacts at their centres, streaks at their centres, and light that
        other visits lack.
    sky
        Places of sky.
    sky_mean, sky_width
        Of fluxes over their errors there.
    depth_mag
        At which point sources have a signal-to-noise ratio of 5; NaN of too few.
    stated_mag
        The same by the visit's summary.
    edges_mag, counts
        Number counts of all primary sources.
    """

    visit: int
    band: str
    detectors: list[int]
    missing: list[int]
    area_arcmin2: float
    number: int
    blended: int
    skipped: int
    stars: int
    extended: int
    flagged: tuple[int, int, int]
    sky: int
    sky_mean: float
    sky_width: float
    depth_mag: float
    stated_mag: float
    edges_mag: Floats = field(default_factory=lambda: np.zeros(0))
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))


def read_counts(store: Store) -> list[VisitCounts]:
    """Return the counts of all visits; one visit is held at a time."""
    return [_visit(store, visit) for visit in final_visits(store)]


def _visit(store: Store, visit: int) -> VisitCounts:
    s = read_final(store, visit, _COLUMNS)
    known = store.exists("visit_info", visit=visit)
    band = str(store.get("visit_info", visit=visit).band or "–") if known else "–"
    expected, area, stated = _summary(store, visit, s["detector"])
    with np.errstate(invalid="ignore", divide="ignore"):
        snr = s["psfFlux"] / s["psfFluxErr"]
        mag = NJY_ZERO_POINT_MAG - 2.5 * np.log10(s["psfFlux"])
    primary, sky = s["detect_isPrimary"] & ~s["sky_source"], s["sky_source"] & np.isfinite(snr)
    good = primary & np.isfinite(mag) & ~s["psfFlux_flag"]
    sure = primary & (snr > _CLASS_SNR)
    faint = good & (snr > _DEPTH_SNR[0]) & (snr < _DEPTH_SNR[1])
    pulls = snr[sky]
    edges, counts = _number_counts(mag[good])
    artifact = s[ARTIFACTS[0]] | s[ARTIFACTS[1]]
    flags = artifact, s[ARTIFACTS[1]], s["pixelFlags_transientCenter"]
    detectors = sorted(set(s["detector"].tolist()))
    with np.errstate(invalid="ignore", divide="ignore"):
        limits = mag[faint] + 2.5 * np.log10(snr[faint] / _LIMIT_SNR)
    return VisitCounts(
        visit, band, detectors, sorted(set(expected) - set(detectors)), area,
        int(primary.sum()), int((primary & (s["deblend_nPeaks"] > 1)).sum()),
        int((primary & s["deblend_skipped"]).sum()),
        int((sure & (s["extendedness"] <= _EXTENDED)).sum()),
        int((sure & (s["extendedness"] > _EXTENDED)).sum()),
        tuple(int((primary & f).sum()) for f in flags),  # type: ignore[arg-type]
        int(s["sky_source"].sum()), float(np.mean(pulls)) if pulls.size else np.nan,
        _width(pulls), middle(np.asarray(limits)), stated, edges, counts,
    )  # fmt: skip


def _width(pulls: Floats) -> float:
    """Return half the distance of the 16th and 84th percentiles."""
    if pulls.size < 10:
        return float("nan")
    low, high = np.percentile(pulls, [15.865, 84.135])
    return float(high - low) / 2


def _number_counts(mag: Floats) -> tuple[Floats, NDArray[Any]]:
    if not mag.size:
        return np.zeros(0), np.zeros(0, np.int64)
    low, high = (np.floor(v / STEP_MAG) for v in (mag.min(), mag.max()))
    edges = STEP_MAG * np.arange(low, high + 2)
    return edges, np.histogram(mag, edges)[0]


def _summary(
    store: Store, visit: int, detector: NDArray[Any]
) -> tuple[list[int], float, float]:  # fmt: skip
    """Return the detectors of a visit, the area of those with sources, and the stated depth."""
    if not store.exists(_SUMMARY, visit=visit):
        return [], float("nan"), float("nan")
    corners = [f"{c}{axis}" for c in ("llc", "lrc", "urc", "ulc") for axis in ("ra", "dec")]
    table = store.get(_SUMMARY, columns=["detector", "magLim", *corners], visit=visit).to_dict()
    here = np.isin(table["detector"], detector)
    ra, dec = (np.stack([table[c] for c in corners[k::2]]) for k in (0, 1))
    east = 60 * ((ra - ra[0] + 180) % 360 - 180) * np.cos(np.radians(dec[0]))
    north = 60 * (dec - dec[0])
    area = 0.5 * np.abs((east * np.roll(north, -1, 0) - np.roll(east, -1, 0) * north).sum(axis=0))
    depth = middle(table["magLim"][here])
    return table["detector"].tolist(), float(np.nansum(area[here])), depth
