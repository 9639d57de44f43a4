"""What the global calibration found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.fgcm.field import local_design
from drpflow.algorithms.fgcm.layout import n_terms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.fgcm.cycles import Cycle
    from drpflow.algorithms.fgcm.rows import Rejected
    from drpflow.data.photometric_tables import Observations

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int32]
    Bools: TypeAlias = NDArray[np.bool_]

_A = 2.5 / np.log(10.0)
_LEAST_LIGHT = 0.2


@dataclass(frozen=True)
class Parameter:
    """A parameter of the model with its error; fields that do not apply are None.

    Parameters
    ----------
    name, unit
        What it is.
    value, error
        Most probable value and standard deviation.
    night, epoch, filter, band, visit, detector
        To what it belongs: night and visit as numbered in the tables, detector by its id.
    """

    name: str
    unit: str
    value: float
    error: float
    night: int | None = None
    epoch: int | None = None
    filter: str | None = None
    band: str | None = None
    visit: int | None = None
    detector: int | None = None


@dataclass(frozen=True, eq=False)
class StandardStars:
    """Magnitudes of all stars, reserved and variable ones too, in the standard passbands.

    Parameters
    ----------
    mag, err
        Shape (S, B); NaN without a usable observation. Errors hold the noise of the star alone.
    n_good, n_total
        Observations that count, and all with a calibration, (S, B).
    chi2
        Σ (residual/error)² of those that count, (S, B).
    slope
        Slope of the spectrum with sensitivity, κ F' [1/nm], (S, B).
    slope_measured
        Whether the star's colour is known; else the median star's stands in, (S, B).
    variable
        Taken to be variable, (S,).
    """

    mag: Floats
    err: Floats
    n_good: Ints
    n_total: Ints
    chi2: Floats
    slope: Floats
    slope_measured: Bools
    variable: Bools


@dataclass(frozen=True, eq=False)
class FgcmResult:
    """The global calibration of V visits of D detectors and S stars in B bands.

    ``m_standard = mag + zero_point[v, d] + Σ_k field[v, d, k] P_k(u, v) + chromatic``; see
    :meth:`calibrated`.

    Parameters
    ----------
    bands
        Names.
    visit_band
        Of each visit, (V,).
    zero_point
        Mean over the detector, for a star of the reference slope [mag]; NaN where impossible, (V,
        D). The star flat and the gray are in it.
    zero_point_error
        Error beside what the zero points of a band (and connected group) have in common, (V, D).
    offset_error
        Error of that common part, NaN in visits without stars, (V,).
    flag
        Bits of :class:`drpflow.algorithms.fgcm.zero_points.Flag`, (V, D).
    gray
        Gain against a clear sky, negative for clouds [mag], NaN in visits without stars, (V, D).
    n_star
        Observations behind each zero point, (V, D).
    n_fit
        Observations in the fit, whether they count or not, (V, D).
    field
        Star flat and smooth gray over the detector, without the mean: Legendre coefficients of unit
        mean square by total degree, then by growing power of v: (1,0), (0,1), (2,0), (1,1), (0,2);
        (V, D, K).
    patches
        Clouds beyond it, by visit, alike, without the mean: (D, K') with any K'. :meth:`field_of`
        gives the sum.
    star_flat
        The part of the star flat in it, (E, D, K + 1), with E the rows of `star_flat_of`; [..., 0]
        is the mean.
    star_flat_of
        Filter and epoch of each, (E, 2).
    i10
        First moments of the passbands [nm], (V, D).
    i10_standard, reference_slope
        Of the bands, (B,): the standard passband's, and the median κ F' of the stars [1/nm].
    photometric
        Which visits are, (V,).
    clear_probability
        To be without clouds, NaN in visits without stars, (V,).
    group
        Connected group of each visit, (V,): zero points of different groups share no stars.
    tied
        Whether there are reference stars in the visit's group, (V,): without, its scale is that of
        clear nights being alike.
    cloud_flux_offset
        Flux of the fit less second flux, by which clouds were followed; NaN where it was not used
        [mag], (V, D).
    air
        Parameters of the air of each visit, by the names of the look-up table, (V,) each.
    stars
        Standard magnitudes.
    parameters
        All parameters with errors, but those of the gray.
    noise_floor_mag
        Scatter beside the known errors, by band, (B,).
    history
        The cycles.
    rejected
        Observations that were not used.
    notes
        What whoever reads the result must know, in sentences.
    """

    bands: tuple[str, ...]
    visit_band: NDArray[np.int16]
    zero_point: Floats
    zero_point_error: Floats
    offset_error: Floats
    flag: Ints
    gray: Floats
    n_star: Ints
    n_fit: Ints
    field: Floats
    patches: dict[int, Floats]
    star_flat: Floats
    star_flat_of: Ints
    i10: Floats
    i10_standard: Floats
    reference_slope: Floats
    photometric: Bools
    clear_probability: Floats
    group: Ints
    tied: Bools
    cloud_flux_offset: Floats
    air: dict[str, Floats]
    stars: StandardStars
    parameters: tuple[Parameter, ...]
    noise_floor_mag: Floats
    history: tuple[Cycle, ...]
    rejected: Rejected
    notes: tuple[str, ...]

    # Short names of what is asked for most.
    @property
    def standard_mag(self) -> Floats:
        """Standard magnitudes, (S, B)."""
        return self.stars.mag

    @property
    def standard_err(self) -> Floats:
        """Their errors, (S, B)."""
        return self.stars.err

    def chromatic(self, observations: Observations) -> Floats:
        """Return δ(star) - δ(reference star) of observations, mag."""
        o = observations
        band = self.visit_band[o.visit]
        slope = self.stars.slope[o.star, band]
        return chromatic(slope, self.i10[o.visit, o.detector], self.i10_standard[band]) - chromatic(
            self.reference_slope[band],
            self.i10[o.visit, o.detector],
            self.i10_standard[band],
        )

    @property
    def patchy(self) -> Bools:
        """Visits whose clouds are finer than the polynomial, (V,)."""
        return np.isin(np.arange(len(self.field)), list(self.patches))

    def field_of(self, visit: int) -> Floats:
        """Return star flat, gray and patches over the detectors of a visit, (D, K)."""
        smooth, patches = self.field[visit], self.patches.get(visit)
        if patches is None:
            return smooth
        out = np.zeros((len(smooth), max(smooth.shape[1], patches.shape[1])))
        out[:, : smooth.shape[1]] = smooth
        out[:, : patches.shape[1]] += patches
        return out

    def calibrated(self, observations: Observations) -> Floats:
        """Return standard magnitudes of observations; NaN where a zero point is impossible."""
        o = observations
        out = o.mag + self.zero_point[o.visit, o.detector] + self.chromatic(o)
        for part in np.array_split(np.arange(len(o)), max(1, len(o) // 100_000)):
            out[part] += _values(self.field[o.visit[part], o.detector[part]], o, part)
        rows = np.flatnonzero(self.patchy[o.visit])
        rows = rows[np.argsort(o.visit[rows], kind="stable")]
        for part in np.split(rows, np.flatnonzero(np.diff(o.visit[rows])) + 1):
            if part.size:
                patches = self.patches[int(o.visit[part[0]])]
                out[part] += _values(patches[o.detector[part]], o, part)
        return out


def _values(field: Floats, o: Observations, rows: NDArray[np.intp]) -> Floats:
    """Return the polynomials without constant (n, K) at the places of some observations."""
    order = 0
    while n_terms(order) < field.shape[1] + 1:
        order += 1
    terms = local_design(o.u[rows].astype(np.float64), o.v[rows].astype(np.float64), order)
    return np.asarray(np.einsum("nk,nk->n", terms[:, 1:], field))


def chromatic(slope: Floats, i10: Floats, i10_standard: Floats) -> Floats:
    """Return δ = 2.5 log10[(1 + κ F' i10)/(1 + κ F' i10_standard)]."""
    here = np.maximum(1 + slope * i10, _LEAST_LIGHT)
    return np.asarray(_A * np.log(here / np.maximum(1 + slope * i10_standard, _LEAST_LIGHT)))
