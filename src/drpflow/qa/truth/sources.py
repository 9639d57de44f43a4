"""Sources of a detector image against the true ones: the same figures of both looks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.qa.merit import (
    Figure,
    away_from,
    match,
    pull_width,
    resampled,
    resampled_groups,
    robust_sigma,
    share,
)
from drpflow.qa.truth.detection import BLENDED, DEPTH_BINS, Depth, match_radius_pix
from drpflow.qa.truth.score import Score
from drpflow.qa.truth.tables import GALAXY, STAR_LIKE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.qa.truth.tables import Frame

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]
    Columns: TypeAlias = dict[str, NDArray[Any]]

PULL_BINS = ((5, 10), (10, 20), (20, 50), (50, 200), (200, 500))
"""Limits of the bins of true signal to noise of pulls."""

CLASS_BINS = (("S/N 10 to 50", 10.0, 50.0), ("S/N above 50", 50.0, np.inf))
"""Bins of true signal to noise in which classes are counted."""

_BRIGHT, _CLASS_SNR = 100.0, 50.0
_SMALLEST_GALAXY = 0.3
_EXTENDED = 0.5
_ARTIFACTS = ("pixelFlags_artifact", "pixelFlags_streak")
_FWHM_OF_SIGMA = 2.3548
# Half of the light of an exponential disc, and of a de Vaucouleurs bulge, is given by its radius;
# the rms size of one coordinate of a disc is 1.03 of it (the bulge's has no end).
_SIGMA_OF_RADIUS = 1.03
_FEWEST = 10
_RESAMPLINGS = 300
_MMAG = 2500.0
_MAS_PER_DEG = 3.6e6


@dataclass
class SourceTally:
    """What all detector images together have, by name.

    Parameters
    ----------
    counts
        Hits and tries.
    samples
        Values of single sources.
    groups
        Detector image of each of these values.
    """

    counts: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    samples: dict[str, list[Floats]] = field(default_factory=lambda: defaultdict(list))
    groups: dict[str, list[Floats]] = field(default_factory=lambda: defaultdict(list))

    def count(self, name: str, hits: int, tries: int) -> None:
        """Add to a share."""
        self.counts[name][0] += int(hits)
        self.counts[name][1] += int(tries)

    def add(self, name: str, values: Floats, image: int) -> None:
        """Add values of a detector image."""
        values = values[np.isfinite(values)]
        self.samples[name].append(values)
        self.groups[name].append(np.full(values.size, image))

    def share(self, name: str) -> Figure:
        """Return a share, %."""
        found = share(*self.counts[name])
        return Figure(100 * found.value, 100 * found.low, 100 * found.high, found.number)

    def values(self, name: str) -> Floats:
        """Return all values of a sample."""
        return np.concatenate(self.samples.get(name) or [np.zeros(0)])

    def figure(self, name: str, statistic: Any) -> Figure:
        """Return a statistic of a sample; detector images are drawn for its interval."""
        groups = np.concatenate(self.groups.get(name) or [np.zeros(0)])
        return resampled_groups(self.values(name), groups, statistic, resamplings=_RESAMPLINGS)


def galaxy_sizes(galaxies: Columns) -> tuple[NDArray[np.int64], Floats]:
    """Return identifiers of galaxies, sorted, and their rms sizes in arcsec."""
    share_of, disc, bulge = (
        galaxies[n] for n in ("bulge_fraction", "disc_radius_arcsec", "bulge_radius_arcsec")
    )
    order = np.argsort(galaxies["id"])
    radius = (1 - share_of) * disc + share_of * bulge
    return galaxies["id"][order], (_SIGMA_OF_RADIUS * radius * np.sqrt(galaxies["axis_ratio"]))[
        order
    ]


def add_frame(
    tally: SourceTally,
    frame: Frame,
    table: Columns,
    dead: Bools,
    true_njy: Floats | None,
    sizes: tuple[NDArray[np.int64], Floats],
    *,
    masks_known: bool = True,
) -> None:
    """Add the sources of a detector image.

    Parameters
    ----------
    tally
        Changed.
    frame, table
        The truth, and the sources that were found.
    dead
        Pixels that no method can use, trails and ghosts included.
    true_njy
        Fluxes that the calibration should give the true sources, None if they are not known.
    sizes
        Of the galaxies (:func:`galaxy_sizes`).
    masks_known
        Whether `dead` tells where a detection may be of a cosmic ray or a trail; if not, those of
        nothing are not counted.
    """
    t = {n: v[table["detect_isPrimary"] & ~table["sky_source"]] for n, v in table.items()}
    image = frame.visit * 1024 + frame.detector
    depth = Depth(frame, dead)
    for name, (hits, tries) in depth.completeness(t["x"], t["y"]).items():
        tally.count(f"complete at {name}", hits, tries)
    if masks_known:
        near = away_from(t["x"], t["y"], dead, depth.reach)
        tally.count("false", depth.false(t["x"], t["y"]), int(near.sum()))
    s = frame.sources
    seen = np.flatnonzero(s["snr"] >= 2)
    radius = match_radius_pix(frame.fwhm_pix)
    mine, true = match(t["x"], t["y"], s["x"][seen], s["y"][seen], radius)
    true = seen[true]
    clean = s["isolated"] & ~s["saturated"] & away_from(s["x"], s["y"], dead, depth.reach)
    point = np.isin(s["kind"], STAR_LIKE)
    keep = (clean & point)[true] & ~t["psfFlux_flag"][mine] & ~t["centroid_flag"][mine]
    _add_classes(tally, frame, t, (mine, true), clean, sizes)
    mine, true = mine[keep], true[keep]
    _add_positions(tally, frame, t, mine, true, image)
    if true_njy is not None:
        _add_fluxes(tally, t, mine, (s["snr"][true], true_njy[true]), image)
    _add_sky(tally, table, image)
    if _ARTIFACTS[0] in t and frame.has_images:
        _add_trails(tally, frame, t)


def _add_trails(tally: SourceTally, frame: Frame, t: Columns) -> None:
    """Count sources with their centres on satellite trails that are flagged."""
    trail = frame.flagged("TRAIL")
    row, column = (
        np.clip(np.rint(t[n]).astype(int), 0, size - 1)
        for n, size in zip(("y", "x"), trail.shape, strict=True)
    )
    on = trail[row, column]
    flagged = np.logical_or.reduce([t[n] for n in _ARTIFACTS])
    tally.count("on trails", int((on & flagged).sum()), int(on.sum()))


def _add_positions(
    tally: SourceTally, frame: Frame, t: Columns, mine: NDArray[np.intp], true: NDArray[np.intp],
    image: int,
) -> None:  # fmt: skip
    """Add errors of pixels over what they are said to be, and errors on the sky."""
    s, snr = frame.sources, frame.sources["snr"][true]
    bright = snr >= _BRIGHT
    for axis in ("x", "y"):
        off = t[axis][mine] - s[axis][true]
        middle = np.median(off[bright]) if bright.sum() >= 3 else 0.0
        pull = (off - middle) / t[f"{axis}Err"][mine]
        for low, high in PULL_BINS:
            tally.add(f"position {low}", pull[(snr >= low) & (snr < high)], image)
    cos = np.cos(np.radians(s["dec"][true]))
    off_mas = [
        _MAS_PER_DEG * ((t["ra"][mine] - s["ra"][true] + 180) % 360 - 180) * cos,
        _MAS_PER_DEG * (t["dec"][mine] - s["dec"][true]),
    ]
    for values in off_mas:
        tally.add("sky", values[bright], image)


def _add_fluxes(
    tally: SourceTally, t: Columns, mine: NDArray[np.intp], of: tuple[Floats, Floats], image: int
) -> None:
    """Add errors of fluxes over what they are said to be, and those of bright stars, mmag.

    Those over the stated errors are about the detector's own zero point, which all its stars share.
    """
    snr, njy = of
    bright = snr >= _BRIGHT
    with np.errstate(invalid="ignore", divide="ignore"):
        mag = {n: -_MMAG * np.log10(t[n][mine] / njy) for n in ("psfFlux", "calibFlux")}
    for name, values in mag.items():
        tally.add(f"{name} of stars", values[bright], image)
    if np.isfinite(mag["psfFlux"][bright]).sum() < 3:
        return
    zero = float(np.nanmedian(mag["psfFlux"][bright]))
    tally.add("zero point", np.array([zero]), image)
    tally.add("PSF less aperture", (mag["psfFlux"] - mag["calibFlux"])[snr >= 2 * _BRIGHT], image)
    scale = 10 ** (zero / _MMAG)
    pull = (t["psfFlux"][mine] * scale - njy) / (t["psfFluxErr"][mine] * scale)
    for low, high in PULL_BINS:
        tally.add(f"flux {low}", pull[(snr >= low) & (snr < high)], image)


def _add_classes(
    tally: SourceTally, frame: Frame, t: Columns, pairs: tuple[NDArray[np.intp], NDArray[np.intp]],
    clean: Bools, sizes: tuple[NDArray[np.int64], Floats],
) -> None:  # fmt: skip
    """Count stars and galaxies of some size that are called what they are, and purity."""
    s, (mine, true) = frame.sources, pairs
    ids, widths = sizes
    at = np.minimum(np.searchsorted(ids, s["id"]), ids.size - 1)
    sigma = frame.fwhm_pix * frame.pixel_arcsec / _FWHM_OF_SIGMA
    large = (s["kind"] == GALAXY) & (ids[at] == s["id"]) & (widths[at] > _SMALLEST_GALAXY * sigma)
    star = np.isin(s["kind"], STAR_LIKE)
    called, snr = t["extendedness"][mine], s["snr"][true]
    known: Bools = np.isfinite(called)
    extended = called > _EXTENDED
    for name, low, high in CLASS_BINS:
        sure = known & (snr > low) & (snr <= high) & clean[true]
        rows = sure & star[true]
        tally.count(f"stars right, {name}", int((rows & ~extended).sum()), int(rows.sum()))
        rows = sure & large[true]
        tally.count(f"galaxies right, {name}", int((rows & extended).sum()), int(rows.sum()))
    rows = known & (snr > CLASS_BINS[0][1]) & ~extended
    tally.count("purity of stars", int((rows & star[true]).sum()), int(rows.sum()))


def _add_sky(tally: SourceTally, table: Columns, image: int) -> None:
    """Add what is measured where there is nothing."""
    rows = table["sky_source"] & ~table["psfFlux_flag"]
    with np.errstate(invalid="ignore", divide="ignore"):
        tally.add("sky flux", (table["psfFlux"] / table["psfFluxErr"])[rows], image)


def source_rows(stage: str, tally: SourceTally, *, final: bool) -> list[Score]:
    """Return the figures of all detector images; `final` says what is asked."""
    nan = float("nan")
    rows = []

    def add(metric: str, unit: str, figure: Figure, least: float = nan, most: float = nan) -> None:
        if figure.number:
            rows.append(Score.of(stage, metric, unit, figure, least=least, most=most))

    asked = {"complete at S/N 10": 99.0 if final else 97.0}
    for name in (f"complete at {b}{suffix}" for suffix in ("", BLENDED) for b in DEPTH_BINS):
        add(name, "%", tally.share(name), asked.get(name, nan))
    add(
        "detections of nothing, outside masks",
        "%",
        tally.share("false"),
        most=1.0 if final else nan,
    )
    zero = tally.values("zero point")
    add("zero points against truth, rms", "mmag", resampled(zero, _rms), most=nan if final else 10)
    limit = 2.0 if final else 5.0
    add("PSF flux less aperture flux, bright stars, median", "mmag",
        tally.figure("PSF less aperture", np.median), -limit, limit)  # fmt: skip
    add("PSF flux of bright stars against truth, robust scatter", "mmag",
        tally.figure("psfFlux of stars", robust_sigma))  # fmt: skip
    if final:
        add("PSF flux of bright stars against truth, median", "mmag",
            tally.figure("psfFlux of stars", np.median), -limit, limit)  # fmt: skip
    add("position of bright stars on the sky, rms of a coordinate", "mas",
        tally.figure("sky", _robust))  # fmt: skip
    inside = (0.95, 1.1) if final else (0.9, 1.15)
    for low, high in PULL_BINS:
        bounds = inside if final or low in (10, 20) else (nan, nan)
        for kind in ("flux", "position"):
            values = tally.values(f"{kind} {low}")
            if values.size >= _FEWEST:
                figure = resampled(values, pull_width, resamplings=_RESAMPLINGS)
                add(f"width of {kind} pulls, S/N {low} to {high}", "", figure, *bounds)
    for name, least, _ in CLASS_BINS:
        stars, galaxies = (99.0, 95.0) if final and least >= _CLASS_SNR else (nan, nan)
        add(f"stars called points, {name}", "%", tally.share(f"stars right, {name}"), stars)
        metric = f"galaxies wider than 0.3 PSF called extended, {name}"
        add(metric, "%", tally.share(f"galaxies right, {name}"), galaxies)
    add("stars among what is called a point, S/N above 10", "%", tally.share("purity of stars"))
    add("sources on satellite trails flagged", "%", tally.share("on trails"), 97)
    add("PSF flux on empty sky, mean over sigma", "", tally.figure("sky flux", np.mean),
        -0.1, 0.1)  # fmt: skip
    add("PSF flux on empty sky, width over sigma", "", tally.figure("sky flux", pull_width))
    return rows


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _robust(values: Floats) -> float:
    return 1.4826 * float(np.median(np.abs(values)))
