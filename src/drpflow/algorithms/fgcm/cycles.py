"""The cycles of the global fit: solve, look at the residuals, solve again.

A cycle forms the normal equations once, and then settles what does not need new ones: which visits
are clear, and the expected sizes of everything (evidence). After it come new slopes of spectra, a
new error model, new weights and variable stars.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.fgcm.clouds import Clouds, gray_of, update_clouds, with_clouds
from drpflow.algorithms.fgcm.gross import gross_outliers
from drpflow.algorithms.fgcm.held import held_rows, with_held, without_held
from drpflow.algorithms.fgcm.layout import Block, Layout, Night, Prior, first_prior
from drpflow.algorithms.fgcm.model import LEAST_TAU
from drpflow.algorithms.fgcm.noise import Noise, Weigher
from drpflow.algorithms.fgcm.pools import Pool, pools_of, update_pools
from drpflow.algorithms.fgcm.robust import medians
from drpflow.algorithms.fgcm.shared import Shared, shared_variance
from drpflow.algorithms.fgcm.slopes import sensitivities, slopes_of_stars
from drpflow.algorithms.fgcm.solver import Posterior, Problem, Quadratic, Residuals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from drpflow.algorithms.fgcm.model import Model, State
    from drpflow.algorithms.fgcm.rows import Rows
    from drpflow.config.fgcm import FgcmConfig
    from drpflow.data.photometric_tables import Stars, Visits
    from drpflow.data.solved_instrument import HeldParameter

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

# Scatters of clear visits [mag] by which the first cycle settles which visits are clear.
_SETTLING_MAG = (0.3, 0.1, 0.05, 0.03, 0.02, 0.012, 0.008)
# Scatter beside the error model in the first cycle: outliers have not been found.
_FIRST_FLOOR_MAG = 0.02
# Rounds of evidence in the first cycle and the later ones.
_EVIDENCE_ROUNDS = (2, 1)
MAX_HALVINGS = 6
"""How often a step that does not lower χ² is halved."""

# 2.5 log10 of the photons of a star of AB magnitude 0 per second, m² and unit of ln λ.
_ONE_M2_MAG = 26.847
_CORRECTIONS = 2
# A parameter that is held has this standard deviation about its place.
_HELD_SIGMA = 1e-6
# From this cycle on outliers and errors are known well enough to tell what stars have in common.
_SHARED_FROM = 2
# Probability from which a visit is clear.
_CLEAR = 0.5


@dataclass(frozen=True)
class Cycle:
    """What a cycle found, for the log.

    Parameters
    ----------
    number
        From 0.
    change_mag
        rms change of the zero points of all detectors that have stars; in bands without reference
        stars, beside what all have in common.
    n_photometric, n_variable
        Photometric visits and variable stars so far.
    used_fraction
        Part of the observations with weight.
    scatter_mag
        σ of clear visits.
    halvings
        How often the step was halved until χ² fell; `MAX_HALVINGS` if it never did, and the
        parameters stayed.
    """

    number: int
    change_mag: float
    n_photometric: int
    n_variable: int
    used_fraction: float
    scatter_mag: float
    halvings: int = 0


@dataclass(frozen=True, eq=False)
class Solution:
    """The end of the cycles.

    Parameters
    ----------
    problem, state, parameters, covariance, prior
        Data and model, the model at the most probable parameters, those, their covariance, and
        what was expected of them.
    clouds, noise
        What was found of visits and errors.
    shared
        What the stars of the detector images have in common.
    residuals, weight
        Of the rows.
    variable
        Stars taken to be variable, (S,).
    mags
        Magnitudes that the slopes of the spectra are from: those of the fit, else of the
        catalogue, (S, B).
    slope, slope_measured
        F' of the stars without κ, and where it is their own, (S, B).
    held_rows
        Parameters that an earlier solution has found, indices.
    converged
        Whether zero points had settled when the cycles ended.
    history
        The cycles.
    held
        Nights whose extinction is less than that of air without aerosols, (nights,).
    """

    problem: Problem
    state: State
    parameters: Floats
    covariance: Floats
    prior: Prior
    clouds: Clouds
    noise: Noise
    shared: Shared
    residuals: Residuals
    weight: Floats
    variable: Bools
    mags: Floats
    slope: Floats
    slope_measured: Bools
    held_rows: NDArray[np.intp]
    converged: bool
    history: tuple[Cycle, ...]
    held: Bools


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
    instrument
        Parameters of the instrument that an earlier solution has found.
    """

    rows: Rows
    model: Model
    visits: Visits
    stars: Stars
    config: FgcmConfig
    instrument: Sequence[HeldParameter] = ()
    history: list[Cycle] = field(default_factory=list)
    halvings: int = 0

    def __post_init__(self) -> None:
        layout = self.model.layout
        self.layout: Layout = layout
        self.prior = first_prior(layout, self.model.table.standard_atmosphere, self.config)
        layout.block(Block.THROUGHPUT, self.prior.mean)[:, 0] = first_throughput(
            self.rows, layout, self.model.light
        )
        held = held_rows(self.instrument, layout, self.visits, self.model.detectors)
        self.held_rows = np.array(sorted(held), np.intp)
        self.prior = with_held(self.prior, held, self.config)
        self.parameters = self.prior.mean.copy()
        self.clouds = Clouds.start(layout, self.config.gray)
        self.held = np.zeros(layout.nights.size, np.bool_)
        self.pools: list[Pool] = without_held(pools_of(layout, self.config), held)
        self.noise = Noise.start(layout.n_bands, layout.n_visits, self.config)
        self.weigher = Weigher(self.rows, layout.n_bands, layout.n_detectors, self.config)
        self.shared = 0.0
        self.variable = np.zeros(len(self.stars), np.bool_)
        self.row_star = self.rows.star[self.rows.pair]
        self.sensitivity = sensitivities(self.visits.bands, self.config)
        self.mags = np.full((len(self.stars), layout.n_bands), np.nan)
        if self.config.reference.use and self.stars.reference_mag is not None:
            self.mags = self.stars.reference_mag.copy()
        self._set_slopes()

    def _set_slopes(self) -> None:
        wavelength = self.model.wavelength_nm
        stars = self.stars if self.config.reference.use else self.stars.without_reference()
        self.slope, self.slope_measured = slopes_of_stars(
            stars, self.mags, wavelength, self.sensitivity, self.config.default_color_mag
        )
        pairs = self.slope[self.rows.star, self.rows.band]
        self.problem = Problem(self.rows, self.model, pairs)

    def run(self, report: Callable[[Cycle], None]) -> Solution:
        """Run the cycles."""
        weight = full = self._first_weights()
        for number in range(self.config.max_cycles):
            begin = self.model.at(self.parameters)
            before = begin.local[:, 0]
            state, posterior = self._solve(begin, weight, first=number == 0)
            residuals = self.problem.residuals(state, weight)
            cycle = self._summary(number, state, before, weight)
            self.history.append(cycle)
            report(cycle)
            shared = self._shared(begin, posterior, residuals, weight)
            del begin
            last = number + 1 >= self.config.max_cycles
            settled = self.settled and self._steady(shared.variance)
            if last or (settled and number + 1 >= self.config.min_cycles):
                state = self.model.at(self.parameters)
                return self._solution(state, posterior, residuals, weight, shared)
            self.shared = shared.variance
            full = self._look(state, residuals, weight, full)
            weight = np.where(self.variable[self.row_star], 0.0, full)
        raise AssertionError("max_cycles is at least 2")

    @property
    def settled(self) -> bool:
        """Whether the last cycle went to the minimum, and changed next to nothing."""
        last = self.history[-1]
        return last.change_mag < self.config.tolerance_mag and last.halvings < MAX_HALVINGS

    def _steady(self, shared: float) -> bool:
        """Tell whether what stars have in common is what the weights were made with."""
        sizes = np.sqrt([shared, self.shared])
        limit = self.config.tolerance_mag * (sizes.sum() + self.config.tolerance_mag)
        return abs(shared - self.shared) < limit

    def _first_weights(self) -> Floats:
        noise = self.noise
        wide = replace(noise, floor=np.hypot(noise.floor, _FIRST_FLOOR_MAG))
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
                self._expect(self._posterior(quadratic)[0], scatter, pools=False)
        for _ in range(_EVIDENCE_ROUNDS[0] if first else _EVIDENCE_ROUNDS[1]):
            self._expect(self._posterior(quadratic)[0], 0.0, pools=True)
        posterior, held = self._posterior(quadratic)
        there, self.halvings = self._step(posterior.mean, weight, state)
        # What the linear step left over, as the air is not linear.
        for _ in range(_CORRECTIONS):
            gradient = self.problem.gradient(there, weight, derivatives=state)
            rest = posterior.corrected(self.parameters, gradient, held)
            there, _ = self._step(rest, weight, there)
        # Errors are those of parameters that nothing holds.
        return there, quadratic.solve(self._prior()) if self.held.any() else posterior

    def _posterior(self, quadratic: Quadratic) -> tuple[Posterior, Prior]:
        """Solve; nights that would have less than no aerosols have next to none, all night.

        A night whose extinction is less than that of clean air wants τ < 0, which the model cannot
        follow: a step towards it changes nothing but what was taken to go along, and no step lowers
        χ². With τ and its slope held at the bound, the others find their best values beside it.

        Returns
        -------
        posterior : Posterior
            The solution.
        prior : Prior
            What it was solved with: parameters that are held are expected where they are held.
        """
        self.held[:] = False
        found, prior = quadratic.solve(self._prior()), self._prior()
        for _ in range(self.held.size):
            tau = self.layout.block(Block.NIGHT, found.mean)[:, Night.TAU]
            more = (tau < LEAST_TAU) & ~self.held
            if not more.any():
                break
            self.held |= more
            prior = self._with_held(prior)
            found = quadratic.solve(prior)
        return found, prior

    def _with_held(self, prior: Prior) -> Prior:
        """Return what is expected where nights are held without aerosols."""
        mean, precision = prior.mean.copy(), prior.precision.copy()
        for column, value in ((Night.TAU, LEAST_TAU), (Night.TAU_SLOPE, 0.0)):
            self.layout.block(Block.NIGHT, mean)[self.held, column] = value
            self.layout.block(Block.NIGHT, precision)[self.held, column] = _HELD_SIGMA**-2
        return Prior(mean, precision)

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

    def _step(self, goal: Floats, weight: Floats, state: State) -> tuple[State, int]:
        """Go to the solution, or towards it as far as χ² falls; stay where it does not fall.

        States come without derivatives: χ² needs none.

        Returns
        -------
        state : State
            Where that is.
        halvings : int
            How often the way was halved.
        """
        prior, begin = self._prior(), self.parameters
        full = goal - begin
        here = self.problem.chi2(state, weight) + prior.value(begin)
        for halving in range(MAX_HALVINGS):
            trial = begin + full * 0.5**halving
            there = self.model.at(trial, derivatives=False)
            if self.problem.chi2(there, weight) + prior.value(trial) < here:
                self.parameters = trial
                return there, halving
        return state, MAX_HALVINGS

    def _shared(
        self, state: State, posterior: Posterior, residuals: Residuals, weight: Floats
    ) -> Shared:
        """Return what the stars of a detector have in common in clear visits.

        Parameters
        ----------
        state
            Of the derivatives.
        posterior, residuals, weight
            Of the solution.
        """
        rows, clear = self.rows, self.clouds.clear > _CLEAR
        n = rows.n_groups + len(rows.regions)
        free = self.layout.n_detectors > 1 and len(self.history) >= _SHARED_FROM
        chosen = np.zeros(n, np.bool_)
        chosen[: rows.n_groups] = np.repeat(clear, self.layout.n_detectors)
        chosen &= np.bincount(rows.group, weight, n) > 0
        here = self.model.at(self.parameters, derivatives=False)
        before = np.nan_to_num(self.problem.residuals(here, weight).residual)

        def answer(added: Floats) -> tuple[Floats, Floats]:
            left, step = self.problem.answer(state, weight, posterior, added)
            there = self.model.at(self.parameters + step, derivatives=False)
            after = np.nan_to_num(self.problem.residuals(there, weight).residual)
            return left + after - before, there.local[:, 0] - here.local[:, 0]

        return shared_variance(
            residuals.residual,
            weight,
            rows.group,
            answer,
            chosen,
            self.shared,
            self.config.noise.shared_mag**2 if free else 0.0,
        )

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
        shared = np.where(self.clouds.clear > _CLEAR, self.shared, np.nan)
        self.noise = self.weigher.noise(self.noise, residuals, weight, clear, shared)
        every = self.problem.residuals(state, full)
        variance = self.weigher.variance(self.noise, every.residual)
        self.variable = self.weigher.variable_stars(every, variance, full, self.variable)
        return self.weigher.weights(self.noise, every, full)

    def _summary(self, number: int, state: State, before: Floats, weight: Floats) -> Cycle:
        change = self._change(state, before, weight)
        observed = ~self.rows.is_reference
        return Cycle(
            number,
            float(np.sqrt(np.mean(change**2))) if change.size else 0.0,
            int(self.clouds.photometric(self.config.gray).sum()),
            int(self.variable.sum()),
            float((weight[observed] > 0).mean()) if observed.any() else 0.0,
            self.clouds.scatter,
            self.halvings,
        )

    def _change(self, state: State, before: Floats, weight: Floats) -> Floats:
        """Return how zero points of images with stars have changed.

        What all of a band have in common is left out if no reference star ties it: nothing tells
        it, it drifts with the expected scatter of clear visits, and no star is the brighter for it.
        """
        rows, n = self.rows, self.rows.n_groups
        has = np.bincount(rows.group, weight, minlength=n)[:n] > 0
        change = (state.local[:n, 0] - before[:n])[has]
        band = np.repeat(self.visits.band, self.layout.n_detectors)[has]
        tied = np.unique(rows.band[rows.pair[rows.is_reference]])
        for loose in np.setdiff1d(band, tied):
            change[band == loose] -= change[band == loose].mean()
        return change

    def _solution(
        self,
        state: State,
        posterior: Posterior,
        residuals: Residuals,
        weight: Floats,
        shared: Shared,
    ) -> Solution:
        return Solution(
            self.problem,
            state,
            self.parameters,
            posterior.covariance(),
            self._prior(),
            self.clouds,
            self.noise,
            shared,
            residuals,
            weight,
            self.variable,
            self.mags,
            self.slope,
            self.slope_measured,
            self.held_rows,
            self.settled,
            tuple(self.history),
            self.held.copy(),
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
    of_visits = medians(visit, difference, layout.n_visits)
    out = np.full(light.size, np.nan)
    for block in range(out.size):
        found = of_visits[(layout.filter_epoch == block) & np.isfinite(of_visits)]
        if found.size:
            out[block] = np.median(found[found >= np.median(found)])
    known = np.isfinite(out)
    telescope = float(np.mean((out - light)[known])) if known.any() else _ONE_M2_MAG
    return np.where(known, out, light + telescope)
