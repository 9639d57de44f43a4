"""Pixels of a detector image against the true light: masks, levels, backgrounds, PSFs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.data.psf_moments import adaptive_moments
from drpflow.errors import AlgorithmError
from drpflow.qa.merit import Figure, away_from, resampled, rms, shape_errors, share
from drpflow.qa.truth.cosmic_rays import count_cosmic_rays, star_cores
from drpflow.qa.truth.score import Score

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.data.background import Background
    from drpflow.data.exposure import Exposure
    from drpflow.qa.truth.tables import Columns, Frame

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

SMOOTH_PIX = 50
"""Side of the square over which backgrounds are compared."""
DEAD = ("BAD", "SAT", "NO_DATA")
"""Planes of pixels that no method can use."""

_READ_VARIANCE = 36.0
_CORE_SHARE = 0.6
_STAMP, _RING_PIX = 20, 18.0
_PSF_SNR, _MOST_STARS = 200.0, 25
_ALONE_PIX, _ALONE_SHARE = 16.0, 0.003
_LEAST_PIXELS = 500


@dataclass
class PixelTally:
    """What all detector images together have, by name.

    Parameters
    ----------
    counts
        Hits and tries.
    values
        One number a detector image or amplifier, with the filter that it was taken in.
    """

    counts: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    values: dict[str, list[tuple[str, float]]] = field(default_factory=lambda: defaultdict(list))

    def count(self, name: str, hits: int, tries: int) -> None:
        """Add to a share."""
        self.counts[name][0] += int(hits)
        self.counts[name][1] += int(tries)

    def share(self, name: str) -> Figure:
        """Return a share, %."""
        found = share(*self.counts[name])
        return Figure(100 * found.value, 100 * found.low, 100 * found.high, found.number)

    def array(self, name: str) -> Floats:
        """Return all numbers of a name."""
        return np.array([v for _, v in self.values.get(name, [])])

    def about_filter(self, name: str) -> Floats:
        """Return numbers over the median of their filter, less 1, %."""
        pairs = self.values.get(name, [])
        values, names = np.array([v for _, v in pairs]), np.array([f for f, _ in pairs])
        for one in set(names.tolist()):
            values[names == one] /= np.median(values[names == one])
        return 100 * (values - 1)


def dome_light(illumination: Columns, detector: int, name: str, shape: tuple[int, int]) -> Floats:
    """Return the light of the dome that a flat was made by, on all pixels of a detector."""
    from scipy.interpolate import RectBivariateSpline

    mine = (illumination["detector"] == detector) & (illumination["physical_filter"] == name)
    x, y = (np.unique(illumination[n][mine]) for n in ("x", "y"))
    values = illumination["dome"][mine].reshape(y.size, x.size)
    made = RectBivariateSpline(y, x, values)(np.arange(shape[0]), np.arange(shape[1]))
    return np.asarray(made, np.float64)


def smoothed(values: Floats, used: Bools, side_pix: int = SMOOTH_PIX) -> tuple[Floats, Bools]:
    """Return means over squares, and the squares of which a fifth counts."""
    from scipy.ndimage import uniform_filter

    part = uniform_filter(used.astype(float), side_pix, mode="constant")
    total = uniform_filter(np.where(used, values, 0.0), side_pix, mode="constant")
    enough = part > 0.2
    return np.divide(total, part, out=np.zeros(part.shape), where=enough), enough


def add_masks(tally: PixelTally, frame: Frame, exposure: Exposure) -> None:
    """Count saturated, defective and hit pixels that are masked, and cores of stars that are."""
    mask = exposure.mask
    for name, planes in (("SATURATED", ("SAT",)), ("DEFECT", ("BAD",))):
        true = frame.flagged(name)
        tally.count(name, int((true & mask.any(planes)).sum()), int(true.sum()))
    hits, usable = frame.image("COSMIC_RAYS"), ~mask.any(DEAD)
    sigma = float(np.sqrt(frame.row["sky_electron"] + _READ_VARIANCE))
    s = frame.sources
    stars = s["psf_star"]
    radius = _CORE_SHARE * frame.fwhm_pix
    cores = star_cores(exposure.shape, s["x"][stars], s["y"][stars], radius)
    found = count_cosmic_rays(mask.any(("CR",)), hits, sigma, cores, usable)
    tally.count("CR", found.hit_masked, found.hit)
    tally.count("cores", found.core_masked, found.core)


def _window(x: float, y: float, half: int, shape: tuple[int, int]) -> tuple[slice, slice]:
    column, row = round(float(x)), round(float(y))
    return (
        slice(max(row - half, 0), min(row + half + 1, shape[0])),
        slice(max(column - half, 0), min(column + half + 1, shape[1])),
    )


@dataclass(frozen=True, eq=False)
class TrueLight:
    """The light of a frame without noise, as a perfect detrending would show it.

    Parameters
    ----------
    frame
        The truth.
    light
        True electrons over the light of the dome.
    detrended
        Pixels as isr left them, electrons.
    used
        Pixels that show the sky alone.
    filter
        Physical filter.
    """

    frame: Frame
    light: Floats
    detrended: Floats
    used: Bools
    filter: str

    @property
    def ratio(self) -> float:
        """Detrended over true light where the sky is alone."""
        return float(self.detrended[self.used].sum() / self.light[self.used].sum())


def true_light(frame: Frame, exposure: Exposure, illumination: Columns) -> TrueLight | None:
    """Return the light of a frame, None if no pixel shows the sky.

    Parameters
    ----------
    frame
        The truth.
    exposure
        ``initial_pvi``: its masks say what is sky.
    illumination
        The truth of that name.
    """
    from drpflow.algorithms.measurement.psf_fit import typical_sigma
    from drpflow.algorithms.visit_background.samples import sky_pixels
    from drpflow.config.measure_sky import MeasureSkyConfig

    info = exposure.visit_info
    if info is None:
        return None
    config, psf = MeasureSkyConfig(), exposure.psf
    sigma = typical_sigma(psf, exposure.shape) if psf else config.default_sigma_pix
    try:
        pixels = sky_pixels(exposure, sigma, config)
    except AlgorithmError:
        return None
    used = np.asarray(pixels.used) & ~frame.flagged("TRAIL", "GHOST")
    if used.sum() < _LEAST_PIXELS:
        return None
    dome = dome_light(illumination, frame.detector, info.physical_filter, exposure.shape)
    light = frame.image("ELECTRONS") / dome
    detrended = np.asarray(pixels.image, np.float64)
    return TrueLight(frame, light, detrended, used, info.physical_filter)


def add_levels(tally: PixelTally, true: TrueLight, exposure: Exposure) -> None:
    """Add the light of each amplifier over the true light."""
    detector = exposure.detector
    for amplifier in detector.amplifiers if detector is not None else ():
        x0, x1, y0, y1 = amplifier.data_section
        box = slice(y0, y1), slice(x0, x1)
        used = true.used[box]
        if used.sum() > _LEAST_PIXELS:
            ratio = true.detrended[box][used].sum() / true.light[box][used].sum()
            tally.values["amplifier"].append((true.filter, float(ratio)))


def add_background(
    tally: PixelTally, name: str, true: TrueLight, background: Background, scale: float
) -> None:
    """Add the rms error of a background over a frame, over the sky.

    Parameters
    ----------
    tally
        Changed.
    name
        Of the background.
    true
        The light.
    background
        In detrended electrons.
    scale
        Detrended electrons for one of the true light, which is one number a filter.
    """
    from drpflow.data.geometry import Box

    image = background.image(Box.from_shape(true.light.shape))
    error, enough = smoothed(image - true.light * scale, true.used)
    there = true.used & enough
    level = float(np.median(true.light[true.used])) * scale
    tally.values[name].append((true.filter, 100 * rms(error[there]) / level))


@dataclass(frozen=True, eq=False)
class TrueShapes:
    """True moments (xx, yy, xy) of the images of bright lonely stars, with their colours."""

    x: Floats
    y: Floats
    color: Floats
    moments: tuple[Floats, Floats, Floats]


def true_shapes(frame: Frame) -> TrueShapes | None:
    """Return shapes of stars measured on the true light, None without any star."""
    s, image = frame.sources, frame.image("ELECTRONS").astype(np.float64)
    inside = away_from(s["x"], s["y"], np.zeros(image.shape, bool), _STAMP + 2)
    rows = np.flatnonzero(s["psf_star"] & inside & (s["snr"] > _PSF_SNR) & np.isfinite(s["color"]))
    rows = rows[np.argsort(-s["snr"][rows])]
    kept: list[int] = []
    stamps = []
    for k in rows.tolist():
        away = np.hypot(s["x"] - s["x"][k], s["y"] - s["y"][k])
        light = s["flux_electron"] > _ALONE_SHARE * s["flux_electron"][k]
        if (light & (away < _ALONE_PIX)).sum() > 1 or len(kept) == _MOST_STARS:
            continue
        stamp = image[_window(s["x"][k], s["y"][k], _STAMP, image.shape)]
        y, x = np.mgrid[-_STAMP : _STAMP + 1, -_STAMP : _STAMP + 1]
        kept.append(k)
        stamps.append(stamp - np.median(stamp[np.hypot(x, y) >= _RING_PIX]))
    if not kept:
        return None
    found = adaptive_moments(np.array(stamps))[0]
    good = np.isfinite(found.xx + found.yy + found.xy)
    at = np.array(kept)[good]
    moments = found.xx[good], found.yy[good], found.xy[good]
    return TrueShapes(s["x"][at], s["y"][at], s["color"][at], moments)


def add_psf(tally: PixelTally, name: str, psf: Any, true: TrueShapes) -> None:
    """Add errors of size and shape of a PSF model at stars, medians and widths of a frame."""
    color = None if psf.color_ref is None else true.color
    seen = psf.compute_shape(true.x, true.y, color)
    errors = shape_errors((seen.xx, seen.yy, seen.xy), true.moments)
    for quantity in ("trace", "e1", "e2"):
        values = errors[quantity][np.isfinite(errors[quantity])]
        tally.values[f"{name} {quantity}"] += [("", float(v)) for v in values]


def pixel_rows(tally: PixelTally) -> list[Score]:
    """Return the figures of all detector images."""
    rows: list[Score] = []

    def add(stage: str, metric: str, unit: str, figure: Figure, **asked: float) -> None:
        if figure.number:
            rows.append(Score.of(stage, metric, unit, figure, **asked))

    add("isr", "saturated pixels masked", "%", tally.share("SATURATED"))
    add("isr", "defective pixels masked", "%", tally.share("DEFECT"))
    add("isr", "light of an amplifier against truth, rms", "%",
        resampled(tally.about_filter("amplifier"), rms))  # fmt: skip
    add(
        "calibrateImage",
        "cosmic-ray pixels above 10 sigma masked",
        "%",
        tally.share("CR"),
        least=95,
    )
    add(
        "calibrateImage", "pixels of star cores masked falsely", "%", tally.share("cores"), most=0.1
    )
    for name, stage in (("first", "calibrateImage"), ("final", "modelVisitBackground")):
        values = tally.array(f"{name} background")
        add(stage, "background against all true light, rms", "% of the sky", resampled(values, rms))
    for name, stage in (("first", "calibrateImage"), ("final", "finalizeCharacterization")):
        asked = {"most": 0.5} if name == "final" else {}
        size = 100 * tally.array(f"{name} trace")
        add(stage, "PSF size T against true stars, robust", "%", resampled(size, _robust), **asked)
        add(stage, "PSF size T against true stars, median", "%", resampled(size, np.median))
        shape = np.concatenate([tally.array(f"{name} e1"), tally.array(f"{name} e2")])
        asked = {"most": 0.002} if name == "final" else {}
        add(stage, "PSF ellipticity against true stars, robust, each component", "",
            resampled(shape, _robust), **asked)  # fmt: skip
    return rows


def _robust(values: Floats) -> float:
    return 1.4826 * float(np.median(np.abs(values)))
