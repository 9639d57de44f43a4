"""The spectrum of a visit's turbulence from the correlation of its residuals.

Weighted residuals are laid on a grid and correlated by Fourier transforms; the spectrum is the one
whose correlation function, averaged over cells of that grid, agrees best up to some separation.
What visits have in common (size and coherence) comes from all together; single visits, whose few
patches say less, are drawn towards it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.turbulence.projection import FittedField
from drpflow.algorithms.turbulence.spectrum import Spectrum, modes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.algorithms.turbulence.process import ResidualSet

    Floats: TypeAlias = NDArray[np.float64]

_LAG_STEPS = 20
_PRIOR_LOG = 0.4
"""Scatter of ln rms and ln coherence between visits."""
_PRIOR_STRETCH = 0.4
_COMMON_LOG = 2.0
"""How far the common spectrum may be from where the search begins: a factor of seven."""


@dataclass(frozen=True, eq=False)
class LagSums:
    """Sums over pairs of stars of one visit or several, by separation vector.

    Parameters
    ----------
    step_deg
        Size of the cells of separation.
    products
        Σ w₁ w₂ (x₁x₂, y₁y₂, x₁y₂), shape (3, L, L), separations from -(L-1)/2 to (L-1)/2 cells.
    weights
        Σ w₁ w₂, shape (L, L).
    squares
        Σ w₁² w₂², shape (L, L).
    variance_mas2
        Weighted mean variance of a coordinate, of what was summed.
    field
        What they were taken over.
    """

    step_deg: float
    products: Floats
    weights: Floats
    squares: Floats
    variance_mas2: float
    field: FittedField


def lag_sums(residuals: ResidualSet, reach_deg: float, order: int = -1) -> LagSums:
    """Correlate the residuals of a visit.

    Parameters
    ----------
    residuals
        Residuals with the variance of their noise.
    reach_deg
        Largest separation.
    order
        Of the polynomial over the field that was fitted before; -1 for none.
    """
    step = reach_deg / _LAG_STEPS
    weight = _weights(residuals)
    vectors = np.stack([residuals.dx_mas, residuals.dy_mas])
    vectors = vectors - (vectors * weight).sum(axis=1, keepdims=True) / weight.sum()
    columns, rows = (
        ((p - p.min()) / step).astype(np.int64) for p in (residuals.x_deg, residuals.y_deg)
    )
    shape = (int(rows.max()) + _LAG_STEPS + 1, int(columns.max()) + _LAG_STEPS + 1)
    cell = rows * shape[1] + columns
    layers = [weight * vectors[0], weight * vectors[1], weight, weight**2]
    n = shape[0] * shape[1]
    grids = [np.bincount(cell, v, minlength=n).reshape(shape).astype(float) for v in layers]
    pairs = ((0, 0), (1, 1), (0, 1), (2, 2), (3, 3))
    found = [_correlate(grids[i], grids[j]) for i, j in pairs]
    # No star is a pair with itself.
    for item, (i, j) in zip(found, pairs, strict=True):
        item[_LAG_STEPS, _LAG_STEPS] -= float((layers[i] * layers[j]).sum())
    variance = float((weight * vectors**2).sum() / (2 * weight.sum()))
    side = float(np.ptp(residuals.x_deg)), float(np.ptp(residuals.y_deg))
    field = FittedField(side, order)
    return LagSums(step, np.array(found[:3]), found[3], found[4], variance, field)


def _weights(residuals: ResidualSet) -> Floats:
    """Return weights by the noise: stars much better than the rest count as those of the median."""
    noise = (residuals.xx + residuals.yy) / 2
    return np.asarray(1.0 / (noise + np.median(noise)))


def _correlate(a: Floats, b: Floats) -> Floats:
    """Return Σ a(p) b(p + lag), lags up to the limit, shape (L, L)."""
    from scipy.fft import irfft2, rfft2

    full = irfft2(np.conj(rfft2(a)) * rfft2(b), s=a.shape)
    lags = np.arange(-_LAG_STEPS, _LAG_STEPS + 1)
    return np.asarray(full[np.ix_(lags, lags)])


def together(parts: Sequence[LagSums]) -> LagSums:
    """Return the sums over all visits, which have one step."""
    weights = np.sum([p.weights for p in parts], axis=0)
    share = np.array([p.weights.sum() for p in parts])
    variance = float((share * [p.variance_mas2 for p in parts]).sum() / share.sum())
    return LagSums(
        parts[0].step_deg,
        np.sum([p.products for p in parts], axis=0),
        weights,
        np.sum([p.squares for p in parts], axis=0),
        variance,
        _typical_field(parts),
    )


def _typical_field(parts: Sequence[LagSums]) -> FittedField:
    sides = np.median([p.field.side_deg for p in parts], axis=0)
    order = int(np.median([p.field.order for p in parts]))
    return FittedField((float(sides[0]), float(sides[1])), order)


def fit_spectrum(sums: LagSums, start: Spectrum, *, common: bool, visits: int = 1) -> Spectrum:
    """Return the spectrum that explains correlations.

    Parameters
    ----------
    sums
        Of one visit, or of all.
    start
        Where the search begins, and towards which a single visit is drawn.
    common
        Whether this is the spectrum of all visits: without a direction of the wind, its curl free.
    visits
        Visits in the sums.
    """
    from scipy.optimize import least_squares

    problem = _Problem(sums, start, common=common, visits=visits)
    # Thousandths of parameters that scatter by a third from visit to visit.
    found = least_squares(
        problem.residuals, problem.start(), method="lm", xtol=1e-3, ftol=1e-4, max_nfev=200
    )
    return problem.spectrum(found.x)


class _Problem:
    """Correlations against those of a spectrum, with what is expected of it."""

    def __init__(self, sums: LagSums, start: Spectrum, *, common: bool, visits: int) -> None:
        self.common, self.first = common, start
        self.reach = _LAG_STEPS
        self.step = sums.step_deg
        lags = np.arange(-self.reach, self.reach + 1, dtype=np.int64)
        used = np.hypot(lags[:, None], lags) <= self.reach
        used &= sums.weights > 1e-6 * sums.weights.max()
        self.used = used
        with np.errstate(invalid="ignore", divide="ignore"):
            self.measured = (sums.products / sums.weights)[:, used]
            pairs = (sums.weights**2 / sums.squares)[used]
        # Each pair is there and back. Correlations of neighbouring separations share patches of
        # the turbulence: they count once for each patch in the plane of separations.
        shot = sums.variance_mas2 / np.sqrt(np.maximum(pairs, 1.0) / 2)
        patch = sums.variance_mas2 * 0.3 / np.sqrt(visits)
        shared = max(start.coherence_deg / self.step, 1.0)
        self.sigma = np.hypot(shot, patch) * shared
        self.lags = lags
        self.field = sums.field
        # Visits differ little in what a polynomial takes of a given strength.
        self.taken = None if common else self._taken(start) / start.rms_mas**2
        self.shape = (8 * self.reach, 8 * self.reach)
        k = 2 * np.pi * np.fft.fftfreq(self.shape[0], 1.0)
        half = 2 * np.pi * np.fft.rfftfreq(self.shape[1], 1.0)
        # Both stars of a pair are anywhere in their cells.
        sinc = [np.sinc(w / (2 * np.pi)) ** 2 for w in (k, half)]
        self.window = sinc[0][:, None] * sinc[1]

    def start(self) -> Floats:
        """Return the parameters to begin with."""
        return np.zeros(6 if self.common else 7)

    def spectrum(self, parameters: Floats) -> Spectrum:
        """Return the spectrum of parameters; the last three are even offsets."""
        first = self.first
        size, length = np.exp(np.clip(parameters[:2], -3, 3))
        curl, stretch = first.curl_fraction, (first.stretch_1, first.stretch_2)
        if self.common:
            # From 0 to 1, through the start.
            slope = np.log(curl / (1 - curl)) + parameters[2]
            curl = float(1 / (1 + np.exp(-slope)))
        else:
            stretch = (stretch[0] + parameters[2], stretch[1] + parameters[3])
        return Spectrum(
            float(first.rms_mas * size),
            float(first.coherence_deg * length),
            float(np.clip(stretch[0], -1.4, 1.4)),
            float(np.clip(stretch[1], -1.4, 1.4)),
            curl,
        )

    def _taken(self, spectrum: Spectrum) -> Floats:
        """Return what polynomials change of the correlations that are used, shape (3, n)."""
        return self.field.taken(spectrum, self.step * self.lags.astype(np.float64))[:, self.used]

    def residuals(self, parameters: Floats) -> Floats:
        """Return deviations in units of their errors, those from what is expected among them."""
        spectrum = self.spectrum(parameters)
        waves = modes(spectrum, self.shape, self.step)
        model = waves.correlation(self.window)
        at_lags = np.array([c[np.ix_(self.lags, self.lags)][self.used] for c in model])
        taken = self._taken(spectrum) if self.taken is None else self.taken * spectrum.rms_mas**2
        at_lags += taken
        # What else was fitted has taken the same at all separations, nearly.
        offset = np.asarray(parameters[-3:])[:, None] * self.first.rms_mas**2
        off = (self.measured - at_lags - offset) / self.sigma
        width = _COMMON_LOG if self.common else _PRIOR_LOG
        own = parameters[2:-3] / (2.0 if self.common else _PRIOR_STRETCH)
        expected = np.concatenate([parameters[:2] / width, own, parameters[-3:] / 0.5])
        return np.concatenate([off.ravel(), expected])
