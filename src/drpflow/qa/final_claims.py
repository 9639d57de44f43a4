"""First look against final products on the same detections, number beside number.

Each figure has its interval, and so has the ratio of the two: groups (stars, detector images) are
drawn with both their numbers, so that what is common to them does not blur the comparison.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms import repeatability
from drpflow.data.flux_errors import own_errors
from drpflow.qa.final_data import offsets_mas
from drpflow.qa.merit import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from drpflow.qa.final_data import Columns, Pairs

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]
    Rows: TypeAlias = NDArray[np.intp]

SNR_BINS = ((20.0, 50.0), (50.0, 100.0), (100.0, 1e9))
_FEWEST = 20
_RESAMPLINGS = 300
_MMAG, _MAS_PER_DEG = 1e3, 3.6e6
_MAG_PER_RELATIVE_ERROR = 2.5 / np.log(10.0)
_PSF_SNR, _CLASS_SNR = 50.0, 20.0
_APART_SNR = (20.0, 50.0)
_EXTENDED = 0.5
_FEWEST_VISITS = 3
_FAR = 4.0


@dataclass(frozen=True)
class Claim:
    """A figure before and after; less is better.

    Parameters
    ----------
    subject
        What it is a figure of: photometry, astrometry, PSF, classes.
    name, unit, digits
        Of the figure.
    first, final
        By the first look and by the final products.
    ratio
        Final over first.
    judged
        Whether one is better than the other by it.
    """

    subject: str
    name: str
    unit: str
    digits: int
    first: Figure
    final: Figure
    ratio: Figure
    judged: bool = True

    @property
    def mood(self) -> str:
        """``"good"`` or ``"bad"`` where the interval of the ratio excludes 1."""
        if not self.judged:
            return ""
        if self.ratio.high < 1:
            return "good"
        return "bad" if self.ratio.low > 1 else ""


def compare(
    label: tuple[str, str, str, int],
    group: NDArray[np.int64],
    statistic: Callable[[Rows, int], float],
) -> Claim | None:
    """Return a figure of both looks, None of too few values.

    Parameters
    ----------
    label
        Subject, name, unit, digits.
    group
        Number of the group of each value.
    statistic
        Function of the rows of values, and of the look (0 for the first, 1 for the final).
    """
    if group.size < _FEWEST:
        return None
    every = np.arange(group.size, dtype=np.intp)
    order = np.argsort(group, kind="stable")
    parts = np.split(every[order], np.flatnonzero(np.diff(group[order])) + 1)
    rng = np.random.default_rng([1, group.size, len(parts)])
    drawn = rng.integers(0, len(parts), (_RESAMPLINGS, len(parts)))
    found = np.empty((_RESAMPLINGS, 2))
    for k, chosen in enumerate(drawn.tolist()):
        rows = np.concatenate([parts[j] for j in chosen])
        found[k] = statistic(rows, 0), statistic(rows, 1)
    value = np.array([statistic(every, 0), statistic(every, 1)])
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = np.column_stack([found, found[:, 1] / found[:, 0]])
        values = [*value, value[1] / value[0]]
    first, final, ratio = (_figure(v, ratios[:, k], group.size) for k, v in enumerate(values))
    return Claim(*label, first, final, ratio)


def _figure(value: float, drawn: Floats, number: int) -> Figure:
    """Return a value with the interval that drawn ones have."""
    known = drawn[np.isfinite(drawn)]
    low, high = np.percentile(known, [2.5, 97.5]) if known.size else (np.nan, np.nan)
    return Figure(float(value), float(low), float(high), number)


def claims(pairs: Pairs, moved_mas: tuple[Floats, Floats]) -> list[Claim]:
    """Return all comparisons that the detections allow.

    Parameters
    ----------
    pairs
        The detections.
    moved_mas
        How far each star has moved by its proper motion, east and north.
    """
    parts = (photometry(pairs), astrometry(pairs, moved_mas), psf(pairs), classes(pairs))
    return [claim for part in parts for claim in part]


@dataclass(frozen=True, eq=False)
class Deviations:
    """Of detections of isolated stars from the means of their stars.

    Parameters
    ----------
    rows
        Which of the pairs have both, shape (M,).
    off, noise
        By the first look and by the final products, and what their errors make of them, each of
        shape (M, K) with K numbers a detection.
    snr, star
        Of each detection.
    """

    rows: Rows
    off: tuple[Floats, Floats]
    noise: tuple[Floats, Floats]
    snr: Floats
    star: NDArray[np.int64]

    @classmethod
    def of(cls, pairs: Pairs, off: list[Floats], noise: list[Floats]) -> Deviations:
        """Return those of the detections that have both, outliers of either look left out."""
        kept = np.isfinite(off[0].sum(axis=1) + off[1].sum(axis=1))
        for values, errors in zip(off, noise, strict=True):
            kept[kept] &= _near(values[kept], errors[kept])
        rows = np.flatnonzero(kept)
        return cls(
            rows, (off[0][rows], off[1][rows]), (noise[0][rows], noise[1][rows]),
            pairs.snr()[rows], pairs.object[rows],
        )  # fmt: skip

    def take(self, which: Bools) -> Deviations:
        """Return some of them."""
        return Deviations(
            self.rows[which], (self.off[0][which], self.off[1][which]),
            (self.noise[0][which], self.noise[1][which]), self.snr[which], self.star[which],
        )  # fmt: skip

    def width(self, drawn: Rows, look: int) -> float:
        """Return the rms of some of them.

        The noise of a centroid or a flux is much the same in both looks, and cancels in the ratio
        of the rms values; it does not in that of medians.
        """
        return float(np.sqrt(np.mean(self.off[look][drawn] ** 2)))

    def over_noise(self, drawn: Rows, look: int) -> float:
        """Return the rms over the errors of the final measurement."""
        return float(np.sqrt(np.mean((self.off[look][drawn] / self.noise[1][drawn]) ** 2)))

    def beyond_noise(self, drawn: Rows, look: int) -> float:
        """Return what the errors do not explain of some of them, in squares."""
        square = self.off[look][drawn] ** 2 - self.noise[look][drawn] ** 2
        return float(np.sqrt(max(float(np.mean(square)), 0.0)))


def _near(off: Floats, noise: Floats) -> Bools:
    """Return which rows have no outlier, by the robust width of all pulls."""
    if not off.size:
        return np.ones(len(off), bool)
    pulls = np.abs(off) / np.maximum(noise, 1e-30)
    return np.asarray((pulls < _FAR * repeatability.width(pulls)).all(axis=1))


def photometric_deviations(pairs: Pairs, flux: str) -> Deviations:
    """Return deviations of a flux in a band, mmag."""
    key = pairs.object * len(pairs.bands) + pairs.band
    good = (pairs.isolated != 0) & (pairs.snr() > SNR_BINS[0][0])
    for of in (pairs.first, pairs.final):
        good &= (of[flux] > 0) & (of[f"{flux}Err"] > 0) & ~of["psfFlux_flag"]
    off, noise = [], []
    for of in (pairs.first, pairs.final):
        with np.errstate(invalid="ignore", divide="ignore"):
            mag = -2.5 * _MMAG * np.log10(np.where(good, of[flux], np.nan))
            error = _MMAG * _MAG_PER_RELATIVE_ERROR * flux_error(of, flux) / of[flux]
        made = repeatability.about_mean(key, mag, np.where(good, error, np.nan))
        off.append(made[0][:, None])
        noise.append(made[1][:, None])
    return Deviations.of(pairs, off, noise)


def flux_error(of: Columns, flux: str) -> Floats:
    """Return errors of a flux without that of its aperture correction, which neighbours share."""
    names = f"{flux}_apCorr", f"{flux}_apCorrErr"
    if any(n not in of for n in names):
        return np.asarray(of[f"{flux}Err"], np.float64)
    return own_errors(of[flux], of[f"{flux}Err"], *(of[n] for n in names))


def astrometric_deviations(pairs: Pairs, moved_mas: tuple[Floats, Floats]) -> Deviations:
    """Return deviations east and north from where each star is at the time, mas."""
    wanted = (pairs.isolated != 0) & (pairs.snr() > SNR_BINS[0][0])
    off, noise = [], []
    for of in (pairs.first, pairs.final):
        places = [p - m for p, m in zip(offsets_mas(pairs, of), moved_mas, strict=True)]
        each = []
        for place, column in zip(places, ("raErr", "decErr"), strict=True):
            error = np.where(wanted, centroid_error_mas(of, column), np.nan)
            each.append(repeatability.about_mean(pairs.object, place, error))
        off.append(np.stack([e[0] for e in each], axis=1))
        noise.append(np.stack([e[1] for e in each], axis=1))
    return Deviations.of(pairs, off, noise)


def photometry(pairs: Pairs) -> Iterator[Claim]:
    """Yield the scatter of isolated stars about their means in a band, from visit to visit."""
    for flux, name in (("psfFlux", "PSF flux"), ("calibFlux", "aperture flux")):
        yield from _by_snr(("photometry", name, "mmag"), photometric_deviations(pairs, flux))


def astrometry(pairs: Pairs, moved_mas: tuple[Floats, Floats]) -> Iterator[Claim]:
    """Yield the scatter in each coordinate, from visit to visit.

    The first WCS of a detector follows the few stars that made it, their noise and all: to judge by
    are those that did not make it.
    """
    stars = astrometric_deviations(pairs, moved_mas)
    for claim in _by_snr(("astrometry", "all stars", "mas"), stars):
        yield replace(claim, judged=False)
    apart = stars.take(~pairs.first["calib_astrometry_used"][stars.rows])
    for least in _APART_SNR:
        mine = apart.take(apart.snr > least)
        name = f"stars that made no first WCS, over centroid errors, S/N above {least:g}"
        yield from _known(compare(("astrometry", name, "", 3), mine.star, mine.over_noise))


def centroid_error_mas(of: Columns, column: str) -> Floats:
    """Return errors of places without that of the WCS, which neighbours share."""
    shared = of.get("wcsErr", np.zeros(len(of[column]))).astype(float)
    own = of[column].astype(float) ** 2 - np.nan_to_num(shared) ** 2
    return np.asarray(_MAS_PER_DEG * np.sqrt(np.maximum(own, 0)), np.float64)


def _by_snr(label: tuple[str, str, str], of: Deviations) -> Iterator[Claim]:
    """Yield widths in bins of signal to noise, and what is beyond the noise in the last."""
    subject, name, unit = label
    for low, high in SNR_BINS:
        mine = of.take((of.snr >= low) & (of.snr < high))
        span = f"S/N {low:g} to {high:g}" if high < 1e6 else f"S/N above {low:g}"
        yield from _known(compare((subject, f"{name}, {span}", unit, 2), mine.star, mine.width))
        if (low, high) == SNR_BINS[-1]:
            title = f"{name}, {span}, beyond noise"
            yield from _known(compare((subject, title, unit, 2), mine.star, mine.beyond_noise))


def _known(claim: Claim | None) -> Iterator[Claim]:
    if claim is not None:
        yield claim


def shape_residuals(of: Columns) -> tuple[Floats, Floats, Floats, Floats]:
    """Return dT/T, the two components of de, and the noise of dT/T of sources against the PSF."""
    xx, yy, xy, mxx, myy, mxy, ex, ey = (
        np.asarray(of[n], np.float64)
        for n in ("ixx", "iyy", "ixy", "ixxPSF", "iyyPSF", "ixyPSF", "ixxErr", "iyyErr")
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        trace, model = xx + yy, mxx + myy
        e1 = (xx - yy) / trace - (mxx - myy) / model
        return trace / model - 1, e1, 2 * xy / trace - 2 * mxy / model, np.hypot(ex, ey) / trace


def psf(pairs: Pairs) -> Iterator[Claim]:
    """Yield how isolated stars differ from the PSF models: all, and those that made neither."""
    stars = (pairs.isolated != 0) & (pairs.snr() > _PSF_SNR)
    for of in (pairs.first, pairs.final):
        stars &= ~of["shape_flag"] & ~of["psfFlux_flag"]
    off, noise = [], []
    for of in (pairs.first, pairs.final):
        dt, e1, e2, error = shape_residuals(of)
        off.append(np.stack([dt, e1, e2], axis=1))
        noise.append(error[:, None])
    stars &= np.isfinite(off[0].sum(axis=1) + off[1].sum(axis=1)) & (noise[0][:, 0] > 0)
    for values, errors in zip(off, noise, strict=True):
        stars[stars] &= _near(values[stars, :1], errors[stars])
    apart = stars & ~pairs.first["calib_psf_used"] & ~pairs.final["calib_psf_used"]
    for whose, kept in (("", stars), (", stars of neither model", apart)):
        rows = np.flatnonzero(kept)
        size, shape = (
            Deviations(rows, (off[0][rows, k], off[1][rows, k]),
                       (noise[0][rows, :1], noise[1][rows, :1]), pairs.snr()[rows],
                       pairs.image[rows])
            for k in (slice(0, 1), slice(1, 3))
        )  # fmt: skip
        for name, digits, of_rows, statistic in (
            ("dT/T", 5, size, size.width), ("dT/T beyond noise", 5, size, size.beyond_noise),
            ("distortion, each component", 4, shape, shape.width),
        ):  # fmt: skip
            label = "PSF", name + whose, "", digits
            yield from _known(compare(label, of_rows.star, statistic))


def classes(pairs: Pairs) -> Iterator[Claim]:
    """Yield how often sources are called otherwise than in most visits, and stars galaxies."""
    snr = pairs.snr()
    seen = snr > _CLASS_SNR
    for of in (pairs.first, pairs.final):
        seen &= np.isfinite(of["extendedness"])
    extended = [of["extendedness"] > _EXTENDED for of in (pairs.first, pairs.final)]
    odd = [_otherwise(pairs.object, e, seen) for e in extended]
    rows = np.flatnonzero(np.isfinite(odd[0]) & np.isfinite(odd[1]))
    yield from _known(compare(
        ("classes", f"called otherwise than in most visits, S/N above {_CLASS_SNR:g}", "%", 2),
        pairs.object[rows], lambda drawn, k: 100 * float(np.mean(odd[k][rows][drawn])),
    ))  # fmt: skip
    named = np.flatnonzero(seen & (pairs.reference != 0))
    yield from _known(compare(
        ("classes", f"reference stars called extended, S/N above {_CLASS_SNR:g}", "%", 2),
        pairs.object[named], lambda drawn, k: 100 * float(np.mean(extended[k][named][drawn])),
    ))  # fmt: skip


def _otherwise(key: NDArray[np.int64], extended: Bools, seen: Bools) -> Floats:
    """Return whether each detection is called otherwise than most of its object, NaN if unknown."""
    size = int(key.max(initial=0)) + 1
    number = np.bincount(key[seen], minlength=size)[key]
    calls = np.bincount(key[seen], extended[seen], minlength=size)[key]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = calls / number
    odd = np.where(extended, share < 0.5, share > 0.5).astype(float)
    return np.where(seen & (number >= _FEWEST_VISITS) & (share != 0.5), odd, np.nan)
