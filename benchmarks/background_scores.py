"""What a background of a frame is against the truth: pure functions, and the truth of a frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from drpflow.algorithms.measurement.psf_fit import typical_sigma
from drpflow.algorithms.visit_background.samples import SkyPixels, sky_pixels
from drpflow.config.measure_sky import MeasureSkyConfig
from drpflow.qa.truth.pixels import smoothed
from drpflow.sim.ghosts import ghost_image
from drpflow.sim.placement import pixel_arcsec, place_sources
from drpflow.sim.scene import render_sky
from drpflow.sim.wings import build_wings

if TYPE_CHECKING:
    from truth_survey import TruthFrame

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

WING_MAGS = (11.0, 13.0, 14.0, 15.5)
"""Limits of the bins of stars whose wings are looked at."""

WING_ANNULUS_PIX = (50.0, 200.0)
_FAR_WING = 0.1423
"""Kolmogorov's image falls as this, times the turbulence, times r^(-11/3)."""

_FAR_WING_PIX = 30.0
_FAR_WING_LIMIT_ELECTRON = 1e-3
_BRIGHT_MAG = 17.0
_APERTURE_PIX = 8.0
_GHOST_SIGMA = 0.01
"""A ghost that gives a pixel more of its noise is seen over its size of 100 pixels and more."""

_FAINT_MAGS = (22.0, 23.5)
_NEAR_STAR_PIX = 50.0


@dataclass
class BackgroundScore:
    """Numbers of one frame and one background."""

    visit: int
    detector: int
    band: str
    numbers: dict[str, float] = field(default_factory=dict)
    samples: dict[str, NDArray] = field(default_factory=dict)


class TrueSky:
    """The sky of a frame in detrended electrons.

    Parameters
    ----------
    frame
        The truth.
    exposure
        ``initial_pvi``: its masks say what counts.
    scale
        Detrended electrons for one electron of the truth over the lamp's: flats are relative to
        the camera's median, and one number a filter is not theirs to know.
    """

    def __init__(self, frame: TruthFrame, exposure: Any, scale: float) -> None:
        self.frame, self.exposure, self.scale = frame, exposure, scale
        self.model = frame.survey.model(frame.visit)
        survey = frame.survey.survey
        lamp = survey.dome_illumination(frame.detector, self.model.truth.physical_filter)
        self._to_detrended = scale / lamp
        self.undetected: float | None = None

    @cached_property
    def pixels(self) -> SkyPixels:
        """Pixels that show the sky, as measureSky takes them."""
        psf, config = self.exposure.psf, MeasureSkyConfig()
        sigma = typical_sigma(psf, self.exposure.shape) if psf else config.default_sigma_pix
        return sky_pixels(self.exposure, sigma, config)

    @cached_property
    def sky(self) -> Floats:
        """Sky and scattered light."""
        return render_sky(self.model, self.frame.detector) * self._to_detrended

    @cached_property
    def light(self) -> Floats:
        """All light without noise."""
        return self.frame.image("ELECTRONS") * self._to_detrended

    @cached_property
    def wings(self) -> Floats:
        """Aureoles and spikes of all stars, and far wings of the seeing of bright ones."""
        model, key = self.model, self.frame.detector
        image = np.zeros(self.sky.shape)
        if key in model.truth.empty_detectors:
            return image
        placed = place_sources(model, key, self.frame.survey.survey.sources(self.frame.visit))
        true = model.optics.detectors[key]
        scale = pixel_arcsec(model, key)
        fwhm_pix = float(model.psf.fwhm_arcsec(model.geometry.wavelength_nm)) / scale
        wings = build_wings(model.config.artifacts, scale, fwhm_pix, true.place.rotation_deg)
        for x, y, flux in zip(placed.x, placed.y, placed.flux_electron, strict=True):
            wings.add_aureole(image, x, y, flux, 0.02)
            wings.add_spikes(image, x, y, flux, 0.02)
        for i in np.flatnonzero(placed.sources["mag"] < _BRIGHT_MAG):
            strength = _FAR_WING * placed.cumulants.turbulence[i] * placed.flux_electron[i]
            add_far_wing(image, placed.x[i], placed.y[i], strength)
        return image * self._to_detrended

    @cached_property
    def ghosts(self) -> Floats:
        """Ghosts of bright stars."""
        model, key = self.model, self.frame.detector
        image, artifacts = np.zeros(self.sky.shape), model.config.artifacts
        if not artifacts.ghosts or key in model.truth.empty_detectors:
            return image
        placed = place_sources(model, key, self.frame.survey.survey.sources(self.frame.visit))
        bright = (placed.sources["mag"] < artifacts.ghost_mag) & (placed.sources["kind"] == 0)
        # Only light that passes through the corrector is reflected there.
        bright &= np.hypot(placed.x_mm, placed.y_mm) < 1.3 * model.optics.radius_mm
        for i in np.flatnonzero(bright):
            star = float(placed.x_mm[i]), float(placed.y_mm[i])
            light = artifacts.ghost_fraction * placed.flux_electron[i]
            found = ghost_image(model.optics.detectors[key].place, star, light)
            if found is not None:
                ghost, x0, y0 = found
                image[y0 : y0 + ghost.shape[0], x0 : x0 + ghost.shape[1]] += ghost
        return image * self._to_detrended

    def rest(self) -> tuple[float, int]:
        """Return the mean of all other light outside masks, and the number of its pixels."""
        rest = (self.light - self.sky - self.wings - self.ghosts)[self.quiet]
        return float(rest.mean()), rest.size

    @cached_property
    def clean(self) -> Bools:
        """Pixels without a satellite trail and without a ghost that can be seen.

        Such ghosts are found by comparing visits; those that are fainter are diffuse light.
        """
        return (self.ghosts < _GHOST_SIGMA * self.pixels.noise) & ~self.frame.flagged("TRAIL")

    @cached_property
    def quiet(self) -> Bools:
        """Pixels that show the sky alone."""
        return self.pixels.used & self.clean

    @cached_property
    def smooth(self) -> Floats:
        """Sky, wings and ghosts, and the mean of what else is left outside masks.

        That mean is the visit's where `undetected` says so: undetected sources have no steps at
        the edges of detectors.
        """
        rest = self.rest()[0] if self.undetected is None else self.undetected
        return self.sky + self.wings + self.ghosts + rest


def add_far_wing(image: Floats, x: float, y: float, strength: float) -> None:
    """Add strength · r^(-11/3) where it is more than the least and not of the star's core."""
    reach = int(np.ceil((strength / _FAR_WING_LIMIT_ELECTRON) ** (3 / 11)))
    if reach <= _FAR_WING_PIX:
        return
    rows, columns = (
        slice(max(int(c) - reach, 0), max(min(int(c) + reach + 1, n), 0))
        for c, n in zip((y, x), image.shape, strict=True)
    )
    patch = image[rows, columns]
    r = distances(patch.shape, x - columns.start, y - rows.start)
    patch += np.where(r > _FAR_WING_PIX, strength / np.maximum(r, 1.0) ** (11 / 3), 0.0)


def distances(shape: tuple[int, int], x: float, y: float) -> Floats:
    """Return the distance of each pixel from a place."""
    return np.hypot(np.arange(shape[0])[:, None] - y, np.arange(shape[1]) - x)


def score_background(true: TrueSky, background: Floats, seed: int = 1) -> BackgroundScore:
    """Return the figures of one background.

    Parameters
    ----------
    true
        The truth.
    background
        In detrended electrons, shape (ny, nx).
    seed
        Of the places of apertures.
    """
    frame = true.frame
    found = BackgroundScore(frame.visit, frame.detector, str(frame.row["band"]))
    used, sky = true.quiet, float(np.median(true.sky))
    for name, truth in (("smooth", true.smooth), ("light", true.light)):
        error, enough = smoothed(background - truth, used)
        there = used & enough
        values = error[there]
        found.numbers[f"rms_{name}"] = float(np.sqrt(np.mean(values**2))) / sky
        found.numbers[f"mean_{name}"] = float(np.mean(values)) / sky
    found.numbers["sky"] = sky
    left = true.pixels.image - true.light
    found.numbers["isr"] = float(left[used].mean()) / sky
    found.numbers["undetected"] = (
        true.rest()[0] if true.undetected is None else true.undetected
    ) / sky
    found.samples["apertures"] = empty_apertures(true, background, seed)
    found.samples["apertures_smooth"] = empty_apertures(true, true.smooth, seed)
    found.samples["apertures_sky"] = empty_apertures(
        true, true.sky + true.wings + true.ghosts, seed
    )
    found.samples["galaxies"] = galaxy_bias(true, background)
    _score_wings(true, background, found)
    return found


def empty_apertures(true: TrueSky, background: Floats, seed: int) -> Floats:
    """Return fluxes, over their errors, of apertures where the truth has no source."""
    s, image = true.frame.sources, true.pixels.image - background
    free = true.quiet
    reach = int(np.ceil(_APERTURE_PIX))
    rng = np.random.default_rng([seed, true.frame.visit, true.frame.detector])
    ny, nx = image.shape
    x, y = rng.uniform(reach, nx - reach - 1, 600), rng.uniform(reach, ny - reach - 1, 600)
    apart = 2.5 * true.frame.fwhm_pix + _APERTURE_PIX
    pulls = []
    for u, v in zip(x, y, strict=True):
        near = np.hypot(s["x"] - u, s["y"] - v) < apart * np.maximum(1.0, (s["snr"] / 50) ** 0.3)
        rows, columns = (
            slice(int(v) - reach, int(v) + reach + 1),
            slice(int(u) - reach, int(u) + reach + 1),
        )
        inside = distances((2 * reach + 1,) * 2, u - columns.start, v - rows.start) <= _APERTURE_PIX
        if near.any() or not free[rows, columns][inside].all():
            continue
        pulls.append(
            image[rows, columns][inside].sum() / (true.pixels.noise * np.sqrt(inside.sum()))
        )
    return np.array(pulls)


def galaxy_bias(true: TrueSky, background: Floats) -> Floats:
    """Return by what share of their flux the background makes faint galaxies fainter."""
    s = true.frame.sources
    ny, nx = background.shape
    faint = (s["kind"] == 1) & (s["mag"] >= _FAINT_MAGS[0]) & (s["mag"] < _FAINT_MAGS[1])
    faint &= (s["x"] > 8) & (s["x"] < nx - 9) & (s["y"] > 8) & (s["y"] < ny - 9)
    bright = np.flatnonzero((s["kind"] == 0) & (s["mag"] < _BRIGHT_MAG))
    faint[faint] = true.clean[s["y"][faint].astype(int), s["x"][faint].astype(int)]
    for k in bright:
        faint &= np.hypot(s["x"] - s["x"][k], s["y"] - s["y"][k]) > _NEAR_STAR_PIX
    rest = background - true.smooth
    found = []
    for k in np.flatnonzero(faint):
        u, v = int(s["x"][k]), int(s["y"][k])
        area = np.pi * _APERTURE_PIX**2
        found.append(
            rest[v - 8 : v + 9, u - 8 : u + 9].mean() * area / (s["flux_electron"][k] * true.scale)
        )
    return np.array(found)


def _score_wings(true: TrueSky, background: Floats, found: BackgroundScore) -> None:
    """Note what a background takes too much, or leaves, 50 to 200 pixels from bright stars."""
    s, used = true.frame.sources, true.quiet
    star = (s["kind"] == 0) & (s["mag"] < WING_MAGS[-1])
    sky = true.smooth - true.wings
    for low, high in pairwise(WING_MAGS):
        total, over, light = [], [], []
        for k in np.flatnonzero(star & (s["mag"] >= low) & (s["mag"] < high)):
            r = distances(used.shape, s["x"][k], s["y"][k])
            ring = used & (r >= WING_ANNULUS_PIX[0]) & (r < WING_ANNULUS_PIX[1])
            if ring.sum() > 5000:
                total.append(float((true.smooth - background)[ring].mean()))
                over.append(float((background - sky)[ring].mean()))
                light.append(float(true.wings[ring].mean()))
        name = f"{low:g}_{high:g}"
        for label, values in (("residual", total), ("over", over), ("light", light)):
            found.samples[f"wing_{label}_{name}"] = np.array(values)


def edge_steps(errors: dict[int, Floats], strip_pix: int = 64) -> dict[int, dict[str, Floats]]:
    """Return the error of backgrounds along each edge of each detector, in segments.

    Parameters
    ----------
    errors
        Background less truth by detector, masked pixels NaN.
    strip_pix
        Depth of the strips, and length of the segments.
    """
    found = {}
    for key, error in errors.items():
        sides = {
            "left": error[:, :strip_pix].T,
            "right": error[:, -strip_pix:].T,
            "bottom": error[:strip_pix],
            "top": error[-strip_pix:],
        }
        n = error.shape[0] // strip_pix
        found[key] = {
            name: np.array([np.nanmean(part) for part in np.array_split(strip, n, axis=1)])
            for name, strip in sides.items()
        }
    return found
