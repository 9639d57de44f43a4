"""PSF models of a visit against the true image of a star, and what noise alone would leave."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scoring import polynomial_design, resampled, rms, shape_errors

from drpflow.data.psf_moments import adaptive_moments
from drpflow.sim.psf_image import psf_image
from drpflow.sim.random_field import E_FOLDING_K0_R
from drpflow.sim.sed import REFERENCE_TEMPERATURE_K
from drpflow.sim.wings import build_wings, wing_fraction

if TYPE_CHECKING:
    from truth_survey import TruthFrame

Floats = NDArray[np.float64]

TEMPERATURES_K = (4000.0, 7500.0)
"""Stars between which the trend with colour is told."""
_SIZE = 41
_NODE_STEP = 6
_FAINTEST_WING = 1e-9
# The optics of a visit over the field; coefficients are not known beforehand.
_OPTICS_ORDER = 2
_WIDE = 0.1
_MEDIAN_CHI2 = 0.4549


def star_image(frame: TruthFrame, x: float, y: float, temperature_k: float) -> Floats:
    """Return all light of a star of unit flux in 41² pixels: its disc, aureole and spikes."""
    model = frame.survey.model(frame.visit)
    config = frame.survey.survey.config.artifacts
    turn = model.optics.detectors[frame.detector].place.rotation_deg
    wings = build_wings(config, frame.pixel_arcsec, frame.fwhm_pix, turn)
    image = psf_image(model, frame.detector, x, y, temperature_k, _SIZE)
    image = image * (1 - wing_fraction(config))
    middle = _SIZE // 2
    at = middle + x - round(x), middle + y - round(y)
    wings.add_aureole(image, *at, 1.0, _FAINTEST_WING)
    wings.add_spikes(image, *at, 1.0, _FAINTEST_WING)
    return image


def true_shapes(
    frame: TruthFrame, x: Floats, y: Floats, temperature_k: float = REFERENCE_TEMPERATURE_K
) -> tuple[Floats, Floats, Floats]:
    """Return adaptive moments (xx, yy, xy) of the whole star, pix²."""
    images = [
        star_image(frame, float(a), float(b), temperature_k) for a, b in zip(x, y, strict=True)
    ]
    moments = adaptive_moments(np.array(images))[0]
    return moments.xx, moments.yy, moments.xy


@dataclass(frozen=True)
class FrameTruth:
    """True moments on a grid of places of one frame, and those of cool and hot stars.

    Parameters
    ----------
    x, y
        Places, pixels.
    shapes
        xx, yy, xy of a reference star there.
    extremes
        The same at three places, of stars of `TEMPERATURES_K`.
    """

    x: Floats
    y: Floats
    shapes: tuple[Floats, Floats, Floats]
    places: tuple[Floats, Floats]
    extremes: list[tuple[Floats, Floats, Floats]] = field(default_factory=list)

    @classmethod
    def of_frame(cls, frame: TruthFrame) -> FrameTruth:
        """Return the truth of a frame."""
        nodes = np.arange(len(frame.grid["x"]))[::_NODE_STEP]
        x, y = frame.grid["x"][nodes], frame.grid["y"][nodes]
        across = np.array([0.2, 0.5, 0.8]) * frame.grid["x"].max()
        places = across, across[::-1]
        extremes = [true_shapes(frame, *places, t) for t in TEMPERATURES_K]
        return cls(x, y, true_shapes(frame, x, y), places, extremes)


def score_psf(psf: Any, truth: FrameTruth, color_of: Any) -> dict[str, float]:
    """Return errors of a model over a frame.

    Parameters
    ----------
    psf
        The model.
    truth
        The truth.
    color_of
        Colour [mag] of a star of a temperature [K].

    Returns
    -------
    dict
        ``mean_t``, ``rms_t``: of dT/T; ``mean_e1``, ``mean_e2``, ``rms_e`` (each component);
        ``size``: rms of dσ/σ; ``color``: change of dT/T by a magnitude of colour.
    """
    errors = shape_errors(
        _moments(psf, truth.x, truth.y, _color(psf, color_of, None)), truth.shapes
    )
    trend = []
    for temperature, shapes in zip(TEMPERATURES_K, truth.extremes, strict=True):
        seen = _moments(psf, *truth.places, _color(psf, color_of, temperature))
        trend.append(float(np.mean(shape_errors(seen, shapes)["trace"])))
    span = color_of(TEMPERATURES_K[0]) - color_of(TEMPERATURES_K[1])
    return {
        "mean_t": float(errors["trace"].mean()),
        "rms_t": rms(errors["trace"]),
        "mean_e1": float(errors["e1"].mean()),
        "mean_e2": float(errors["e2"].mean()),
        "rms_e": rms(np.concatenate([errors["e1"], errors["e2"]])),
        "size": rms(errors["size"]),
        "color": (trend[0] - trend[1]) / span,
    }


def _color(psf: Any, color_of: Any, temperature: float | None) -> float | None:
    if psf.color_ref is None:
        return None
    return float(color_of(REFERENCE_TEMPERATURE_K if temperature is None else temperature))


def _moments(psf: Any, x: Floats, y: Floats, color: float | None) -> tuple[Floats, Floats, Floats]:
    found = psf.compute_shape(x, y, None if color is None else np.full(len(x), color))
    return found.xx, found.yy, found.xy


@dataclass(frozen=True)
class StarNoise:
    """What a star of a signal-to-noise ratio tells of its shape, by Cramér and Rao.

    Parameters
    ----------
    log_snr
        Nodes.
    log_trace, log_distortion
        Logarithms of the errors of log T and of each distortion there.
    """

    log_snr: Floats
    log_trace: Floats
    log_distortion: Floats

    @classmethod
    def of_image(cls, image: Floats, sky_variance: float) -> StarNoise:
        """Return that of a true image of unit flux.

        Size and distortion change as by a further blur, δp = ½ ∇ᵀ δΣ ∇ p, all else being known
        but flux and place.
        """
        along_y, along_x = np.gradient(image)
        yy, xx = (np.roll(image, 1, k) + np.roll(image, -1, k) - 2 * image for k in (0, 1))
        nuisance = [image, along_x, along_y]
        rows = []
        for flux in np.geomspace(20 * np.sqrt(sky_variance), 3e6, 24):
            weight = 1 / (sky_variance + flux * image)
            snr = np.sqrt((weight * np.square(flux * image)).sum())
            errors = [
                _error_of(flux * np.array([blur, *nuisance]), weight) * _response(image, blur, k)
                for k, blur in enumerate((xx + yy, xx - yy))
            ]
            rows.append([snr, *errors])
        return cls(*np.log(rows).T)

    def trace(self, snr: Floats) -> Floats:
        """Return the error of log T."""
        return np.exp(np.interp(np.log(snr), self.log_snr, self.log_trace))

    def distortion(self, snr: Floats) -> Floats:
        """Return the error of each distortion."""
        return np.exp(np.interp(np.log(snr), self.log_snr, self.log_distortion))


def _error_of(images: Floats, weight: Floats) -> float:
    """Return the standard deviation of the amplitude of the first of some images."""
    flat = images.reshape(len(images), -1)
    return float(np.sqrt(np.linalg.inv((flat * weight.ravel()) @ flat.T)[0, 0]))


def _response(image: Floats, change: Floats, which: int) -> float:
    """Return how log T (0) or e1 (1) follow a small change of an image."""
    step = 1e-3
    moments = adaptive_moments(np.array([image + step * change, image - step * change]))[0]
    trace = moments.xx + moments.yy
    value = np.log(trace) if which == 0 else (moments.xx - moments.yy) / trace
    return float(abs(value[0] - value[1]) / (2 * step))


@dataclass(frozen=True)
class TrueField:
    """What an oracle knows of how shapes change over the focal plane of a visit.

    Parameters
    ----------
    x, y
        The grid, mm.
    shapes
        True log T, e1, e2 there, shape (M, 3).
    coherence_mm
        Separation over which the air's ellipticities correlate by 1/e.
    air
        Ellipticities by the air at the grid, shape (M, 2), and their expected rms.
    """

    x: Floats
    y: Floats
    shapes: Floats
    coherence_mm: float
    air: Floats
    air_rms: float

    def amplitudes(self) -> Floats:
        """Return the rms of what the air adds to log T, e1 and e2."""
        smooth = polynomial_design(*self._unit(self.x, self.y), _OPTICS_ORDER)
        size = np.hypot(*self.air.T)
        # |e| of two normal components of unit variance has the standard deviation 0.655.
        sources = ((size, 0.655), (self.air[:, 0], 1.0), (self.air[:, 1], 1.0))
        found = []
        for values, (source, width) in zip(self.shapes.T, sources, strict=True):
            design = np.column_stack([smooth, source])
            slope = np.linalg.lstsq(design, values, rcond=None)[0][-1]
            found.append(abs(slope) * self.air_rms * width)
        return np.array(found)

    def oracle(self, stars: tuple[Floats, Floats], errors: Floats) -> Floats:
        """Return the rms errors of log T, e1, e2 that remain over the grid.

        The best linear estimate: the optics are quadratic over the field, the air is a random
        field of known size and correlation, and each star is known as well as its photons allow.
        Size follows |e| of the air, which changes over shorter distances than its components.

        Parameters
        ----------
        stars
            x and y, mm.
        errors
            Of each star in log T, e1 and e2, shape (N, 3).
        """
        own = polynomial_design(*self._unit(*stars), _OPTICS_ORDER)
        there = polynomial_design(*self._unit(self.x, self.y), _OPTICS_ORDER)
        among = self._correlation(stars, stars)
        to_grid = self._correlation((self.x, self.y), stars)
        left = []
        laws = correlation_of_length, np.asarray, np.asarray
        for law, amplitude, noise in zip(laws, self.amplitudes(), errors.T, strict=True):
            own_cov = _WIDE**2 * own @ own.T + amplitude**2 * law(among) + np.diag(noise**2)
            cross = _WIDE**2 * there @ own.T + amplitude**2 * law(to_grid)
            known = np.einsum("gs,gs->g", cross, np.linalg.solve(own_cov, cross.T).T)
            prior = _WIDE**2 * np.square(there).sum(axis=1) + amplitude**2
            left.append(np.sqrt(np.maximum(prior - known, 0).mean()))
        return np.array(left)

    def _unit(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        scale = max(np.ptp(self.x), np.ptp(self.y)) / 2
        middle = [(v.max() + v.min()) / 2 for v in (self.x, self.y)]
        return (x - middle[0]) / scale, (y - middle[1]) / scale

    def _correlation(self, a: tuple[Floats, Floats], b: tuple[Floats, Floats]) -> Floats:
        apart = np.hypot(a[0][:, None] - b[0], a[1][:, None] - b[1])
        return von_karman(apart / self.coherence_mm)


def von_karman(separation: Floats) -> Floats:
    """Return the correlation of a field of spectrum (k² + k0²)^(-11/6); 1/e at separation 1."""
    from scipy.special import gamma, kv

    z = E_FOLDING_K0_R * np.maximum(separation, 1e-9)
    return np.asarray(2 ** (1 / 6) / gamma(5 / 6) * z ** (5 / 6) * kv(5 / 6, z))


def correlation_of_length(correlation: Floats) -> Floats:
    """Return the correlation of |e| where that of either normal component of e is given.

    ⟨|e||e'|⟩ / ⟨e1²⟩ = (π/2) ₂F₁(-½, -½; 1; ρ²), the lengths of two correlated Gaussian
    vectors: about ρ². The tests compare it with draws.
    """
    from scipy.special import hyp2f1

    squared = np.minimum(np.square(correlation), 1.0)
    return np.asarray((hyp2f1(-0.5, -0.5, 1, squared) - 1) / (4 / np.pi - 1))


def rho1(
    x_arcmin: Floats, y_arcmin: Floats, de1: Floats, de2: Floats, bins: Floats
) -> tuple[Floats, NDArray[np.int64]]:
    """Return the sum of δe·δe over pairs of stars by separation, and the number of pairs.

    Parameters
    ----------
    x_arcmin, y_arcmin
        Places, N.
    de1, de2
        Star minus model.
    bins
        Edges of the separations, arcmin.
    """
    i, j = np.triu_indices(len(x_arcmin), 1)
    apart = np.hypot(x_arcmin[i] - x_arcmin[j], y_arcmin[i] - y_arcmin[j])
    product = de1[i] * de1[j] + de2[i] * de2[j]
    sums = np.histogram(apart, bins, weights=product)[0]
    return sums, np.histogram(apart, bins)[0]


class LeftOut:
    """Stars beside models that have not seen them."""

    RHO_BINS_ARCMIN = np.array([0.5, 1.5, 3.0, 6.0])
    BRIGHT = 100.0

    def __init__(self) -> None:
        self.errors: list[Floats] = []
        self.pairs: list[tuple[Floats, NDArray[np.int64]]] = []

    def add(self, stars: dict[str, NDArray[Any]], places_arcmin: Floats) -> None:
        """Add the reserved stars of a visit.

        Parameters
        ----------
        stars
            Columns of ``final_characterization_stars``.
        places_arcmin
            Where they are in the focal plane, (2, N).
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            snr = stars["psfFlux_instFlux"] / stars["psfFlux_instFluxErr"]
            rows = stars["calib_psf_reserved"] & ~stars["shape_flag"] & (snr > self.BRIGHT)
        if not rows.any():
            return
        xx, yy, xy, mxx, myy, mxy, sxx, syy, sxy = (
            np.asarray(stars[f"i{axis}{of}"][rows], float)
            for of in ("", "PSF", "Err")
            for axis in ("xx", "yy", "xy")
        )
        trace = xx + yy
        errors = np.stack(
            [
                np.log(trace / (mxx + myy)),
                (xx - yy) / trace - (mxx - myy) / (mxx + myy),
                2 * xy / trace - 2 * mxy / (mxx + myy),
                np.hypot(sxx, syy) / trace,
                2 * sxy / trace,
            ]
        )
        good = np.isfinite(errors).all(axis=0)
        self.errors.append(errors[:, good])
        at = places_arcmin[:, rows][:, good]
        self.pairs.append(rho1(*at, *errors[1:3, good], self.RHO_BINS_ARCMIN))

    def intrinsic(self, which: int) -> float:
        """Return the scatter of log T (0), e1 (1) or e2 (2) beyond the stars' own noise.

        That for which the median of χ² is that of a normal variable; 0 if noise explains all.
        """
        errors = np.concatenate(self.errors, axis=1)
        noise2 = np.square(errors[3] if which == 0 else errors[4])
        off2 = np.square(errors[which] - np.median(errors[which]))
        low, high = 0.0, float(off2.max())
        for _ in range(60):
            middle = (low + high) / 2
            wide = np.median(off2 / (noise2 + middle)) < _MEDIAN_CHI2
            low, high = (low, middle) if wide else (middle, high)
        return float(np.sqrt(low))

    def lines(self) -> list[str]:
        """Return rows of a table."""
        if not self.errors:
            return []
        errors = np.concatenate(self.errors, axis=1)
        lines = []
        for which, name in enumerate(("dT/T", "de1", "de2")):
            middle = resampled(errors[which], np.median, resamplings=300)
            lines.append(
                f"| {name} of {middle.number} stars left out, S/N > {self.BRIGHT:g}, median "
                f"| | {middle.text(5)} | |"
            )
            lines.append(f"| its scatter beyond noise | | {self.intrinsic(which):.4f} | |")
        sums, pairs = np.sum([p[0] for p in self.pairs], 0), np.sum([p[1] for p in self.pairs], 0)
        for k, (total, number) in enumerate(zip(sums, pairs, strict=True)):
            low, high = self.RHO_BINS_ARCMIN[k : k + 2]
            each = [p[0][k] for p in self.pairs]
            error = np.std(each) * np.sqrt(len(each)) / max(number, 1)
            label = f"ρ1, {low:g}′ to {high:g}′, {number} pairs"
            lines.append(f"| {label} | | {total / max(number, 1):.1e} ± {error:.1e} | 2e-5 |")
        return lines
