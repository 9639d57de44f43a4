"""The cycles of the global fit: solve, look at the residuals, solve again.

A cycle forms the normal equations once, and then settles what does not need new ones: which visits
are clear, and the expected sizes of everything (evidence). After it come new slopes of spectra, a
new error model, new weights and variable stars.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.fgcm.clouds import Clouds, gray_of, update_clouds, with_clouds
from drpflow.algorithms.fgcm.gross import gross_outliers
from drpflow.algorithms.fgcm.layout import Block, Layout, Prior, first_prior
from drpflow.algorithms.fgcm.noise import Noise, Weigher
from drpflow.algorithms.fgcm.pools import Pool, pools_of, update_pools
from drpflow.algorithms.fgcm.slopes import spectral_slopes
from drpflow.algorithms.fgcm.solver import Posterior, Problem, Quadratic, Residuals
from drpflow.config.fgcm import DEFAULT_SENSITIVITY

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from drpflow.algorithms.fgcm.model import Model, State
    from drpflow.algorithms.fgcm.rows import Rows
    from drpflow.config.fgcm import FgcmConfig
    from drpflow.data.photometric_tables import Stars, Visits

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

# Scatters of clear visits [mag] by which the first cycle settles which visits are clear.
_SETTLING_MAG = (0.3, 0.1, 0.05, 0.03, 0.02, 0.012, 0.008)
# Scatter beside the error model in the first cycle: outliers have not been found.
_FIRST_FLOOR_MAG = 0.02
# Rounds of evidence in the first cycle and the later ones.
_EVIDENCE_ROUNDS = (2, 1)
_MAX_HALVINGS = 6
# 2.5 log10 of the photons of a star of AB magnitude 0 per second, m² and unit of ln λ.
_ONE_M2_MAG = 26.847
_CORRECTIONS = 2


@dataclass(frozen=True)
class Cycle:
    """What a cycle found, for the log.

    Parameters
    ----------
    number
        From 0.
    change_mag
        rms change of the zero points of all detectors that have stars.
    n_photometric, n_variable
        Photometric visits and variable stars so far.
    used_fraction
        Part of the observations with weight.
    scatter_mag
        σ of clear visits.
    """

    number: int
    change_mag: float
    n_photometric: int
    n_variable: int
    used_fraction: float
    scatter_mag: float


@dataclass(frozen=True, eq=False)
class Solution:
    """The end of the cycles."""

    problem: Problem
    state: State
    parameters: Floats
    covariance: Floats
    prior: Prior
    clouds: Clouds
    noise: Noise
    residuals: Residuals
    weight: Floats
    variable: Bools
    slope: Floats
    slope_measured: Bools
    history: tuple[Cycle, ...]


@dataclass
class GlobalFit:
    """The state of the fit between cycles.

    Parameters
    ----------
    rows, model
        Data and model.
    visits, stars
        Tables.
    config
        Parameters.
    """

    rows: Rows
    model: Model
    visits: Visits
    stars: Stars
    config: FgcmConfig
    history: list[Cycle] = field(default_factory=list)

    def __post_init__(self) -> None:
        layout = self.model.layout
        self.layout: Layout = layout
        self.prior = first_prior(layout, self.model.table.standard_atmosphere, self.config)
        layout.block(Block.THROUGHPUT, self.prior.mean)[:, 0] = first_throughput(
            self.rows, layout, self.model.light
        )
        self.parameters = self.prior.mean.copy()
        self.clouds = Clouds.start(layout, self.config.gray)
        self.pools: list[Pool] = pools_of(layout, self.config)
        self.noise = Noise.start(layout.n_bands, layout.n_visits, self.config)
        self.weigher = Weigher(self.rows, layout.n_bands, layout.n_detectors, self.config)
        self.variable = np.zeros(len(self.stars), np.bool_)
        self.row_star = self.rows.star[self.rows.pair]
        self.sensitivity = np.array(
            [
                self.config.instrument.sensitivity.get(b, DEFAULT_SENSITIVITY.get(b, 1.0))
                for b in self.visits.bands
            ]
        )
        self.mags = np.full((len(self.stars), layout.n_bands), np.nan)
        if self.config.reference.use and self.stars.reference_mag is not None:
            self.mags = self.stars.reference_mag.copy()
        self._set_slopes()

    def _set_slopes(self) -> None:
        wavelength = self.model.wavelength_nm
        self.slope, self.slope_measured = spectral_slopes(
            self.mags, wavelength, self.sensitivity, self.config.default_color_mag
        )
        pairs = self.slope[self.rows.star, self.rows.band]
        self.problem = Problem(self.rows, self.model, pairs)

    def run(self, report: Callable[[Cycle], None]) -> Solution:
        """Run the cycles."""
        weight = full = self._first_weights()
        state = self.model.at(self.parameters)
        for number in range(self.config.max_cycles):
            before = state.local[:, 0]
            state, posterior = self._solve(state, weight, first=number == 0)
            residuals = self.problem.residuals(state, weight)
            cycle = self._summary(number, state, before, weight)
            self.history.append(cycle)
            report(cycle)
            settled = cycle.change_mag < self.config.tolerance_mag
            last = number + 1 >= self.config.max_cycles
            if last or (settled and number + 1 >= self.config.min_cycles):
                return self._solution(state, posterior, residuals, weight)
            full = self._look(state, residuals, weight, full)
            weight = np.where(self.variable[self.row_star], 0.0, full)
        raise AssertionError("max_cycles is at least 2")

    def _first_weights(self) -> Floats:
        noise = self.noise
        wide = Noise(
            noise.factor, np.hypot(noise.floor, _FIRST_FLOOR_MAG), noise.extra, noise.extra
        )
        layout = self.layout
        gross = gross_outliers(self.rows, layout.n_visits, layout.n_detectors, layout.n_bands)
        return self.weigher.weights(wide, left_out=gross)

    def _solve(self, state: State, weight: Floats, *, first: bool) -> tuple[State, Posterior]:
        """Settle clouds, sizes and parameters under fixed weights."""
        quadratic = Quadratic(
            self.parameters,
            self.problem.normal(state, weight),
            self.problem.gradient(state, weight),
        )
        if first:
            for scatter in _SETTLING_MAG:
                self._expect(quadratic.solve(self._prior()), scatter, pools=False)
        for _ in range(_EVIDENCE_ROUNDS[0] if first else _EVIDENCE_ROUNDS[1]):
            self._expect(quadratic.solve(self._prior()), 0.0, pools=True)
        posterior = quadratic.solve(self._prior())
        there = self._step(posterior.mean, weight, state)
        # What the linear step left over, as the air is not linear.
        for _ in range(_CORRECTIONS):
            gradient = self.problem.gradient(there, weight, derivatives=state)
            rest = posterior.corrected(self.parameters, gradient, self._prior())
            there = self._step(rest, weight, there)
        return there, posterior

    def _prior(self) -> Prior:
        return with_clouds(self.prior, self.clouds, self.layout)

    def _expect(self, posterior: Posterior, least_scatter: float, *, pools: bool) -> None:
        """Update clouds, and sizes if wanted, after a solution."""
        if pools:
            variance = posterior.all_variances()
            self.prior = update_pools(self.prior, self.pools, posterior.mean, variance)
        else:
            variance = np.zeros(self.layout.size)
            rows = self.layout.block(Block.GRAY, np.arange(self.layout.size)).ravel()
            variance[rows] = posterior.variance(rows)
        gray, spread = gray_of(self.layout, posterior.mean, variance)
        self.clouds = update_clouds(
            self.clouds,
            self.layout,
            gray,
            spread,
            self.config.gray,
            least_scatter=least_scatter,
        )

    def _step(self, goal: Floats, weight: Floats, state: State) -> State:
        """Go to the solution, or towards it as far as χ² falls; stay where it does not fall."""
        prior, begin = self._prior(), self.parameters
        full = goal - begin
        here = self.problem.chi2(state, weight) + prior.value(begin)
        for halving in range(_MAX_HALVINGS):
            trial = begin + full * 0.5**halving
            there = self.model.at(trial)
            if self.problem.chi2(there, weight) + prior.value(trial) < here:
                self.parameters = trial
                return there
        return state

    def _look(self, state: State, residuals: Residuals, weight: Floats, full: Floats) -> Floats:
        """Update everything that the residuals tell; return new weights.

        Parameters
        ----------
        state, residuals, weight
            Of the solution.
        full
            The weights as they would be if no star were taken to be variable.
        """
        pairs = self.rows.star, self.rows.band
        self.mags[pairs] = np.where(np.isfinite(residuals.mean), residuals.mean, self.mags[pairs])
        self._set_slopes()
        clear = self.clouds.photometric(self.config.gray)
        if not clear.any():
            clear = np.ones_like(clear)
        self.noise = self.weigher.noise(self.noise, residuals, weight, clear)
        every = self.problem.residuals(state, full)
        variance = self.weigher.variance(self.noise, every.residual)
        self.variable = self.weigher.variable_stars(every, variance, full, self.variable)
        return self.weigher.weights(self.noise, every, full)

    def _summary(self, number: int, state: State, before: Floats, weight: Floats) -> Cycle:
        has = np.bincount(self.rows.group, weight, minlength=before.size) > 0
        has[self.rows.n_groups :] = False
        change = (state.local[:, 0] - before)[has]
        observed = ~self.rows.is_reference
        return Cycle(
            number,
            float(np.sqrt(np.mean(change**2))) if change.size else 0.0,
            int(self.clouds.photometric(self.config.gray).sum()),
            int(self.variable.sum()),
            float((weight[observed] > 0).mean()) if observed.any() else 0.0,
            self.clouds.scatter,
        )

    def _solution(
        self, state: State, posterior: Posterior, residuals: Residuals, weight: Floats
    ) -> Solution:
        return Solution(
            self.problem,
            state,
            self.parameters,
            posterior.covariance(),
            self._prior(),
            self.clouds,
            self.noise,
            residuals,
            weight,
            self.variable,
            self.slope,
            self.slope_measured,
            tuple(self.history),
        )


def first_throughput(rows: Rows, layout: Layout, light: Floats) -> Floats:
    """Return a zero point for each filter and epoch to start with, (E,).

    That of the clearer half of its visits against the reference stars. A filter without reference
    stars is taken to be like the others, relative to its passband; without any, the telescope has
    1 m², and lets through what the passbands say: colours are about right, and so are the slopes
    of spectra.

    Parameters
    ----------
    rows, layout
        Data and places.
    light
        2.5 log10 of I0 of each filter's standard passband, (E,).
    """
    reference = np.full(rows.n_pairs, np.nan)
    reference[rows.pair[rows.is_reference]] = rows.mag[rows.is_reference]
    both = np.isfinite(reference[rows.pair]) & ~rows.is_reference
    difference = (reference[rows.pair] - rows.mag)[both]
    visit = rows.group[both] // layout.n_detectors
    order = np.argsort(visit, kind="stable")
    count = np.bincount(visit, minlength=layout.n_visits)
    parts = np.split(difference[order], np.cumsum(count)[:-1])
    medians = np.array([np.median(part) if part.size else np.nan for part in parts])
    out = np.full(light.size, np.nan)
    for block in range(out.size):
        found = medians[(layout.filter_epoch == block) & np.isfinite(medians)]
        if found.size:
            out[block] = np.median(found[found >= np.median(found)])
    known = np.isfinite(out)
    telescope = float(np.mean((out - light)[known])) if known.any() else _ONE_M2_MAG
    return np.where(known, out, light + telescope)
