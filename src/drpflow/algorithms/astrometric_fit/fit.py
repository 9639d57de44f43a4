"""The passes of the fit: stars and rejection, maps, error floors, populations, sizes of terms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_fit.factored import factored
from drpflow.algorithms.astrometric_fit.floors import update_floors
from drpflow.algorithms.astrometric_fit.normal import System, conjugate_gradients
from drpflow.algorithms.astrometric_fit.priors import expected_sizes, map_priors
from drpflow.algorithms.astrometric_fit.result import Pass
from drpflow.algorithms.astrometric_fit.sizes import find_sizes
from drpflow.algorithms.astrometric_fit.sky import population_prior, refine_population
from drpflow.algorithms.astrometric_fit.variables import star_parameters, variable_stars
from drpflow.algorithms.astrometric_fit.visit_checks import lonely_visits, misplaced_visits
from drpflow.kernels import astrometric_fit as kernels
from drpflow.kernels import astrometric_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.factored import Factored
    from drpflow.algorithms.astrometric_fit.held_maps import HeldMaps
    from drpflow.algorithms.astrometric_fit.layout import Layout
    from drpflow.algorithms.astrometric_fit.priors import Sizes
    from drpflow.algorithms.astrometric_fit.rows import SortedRows, Tables
    from drpflow.algorithms.astrometric_fit.start import Planes
    from drpflow.config.solve_astrometry import SolveAstrometryConfig

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

# Share of a step that may be missing: in the first pass, from starts that are far off, and in later
# ones, since the next pass has other weights anyway.
_FIRST_PRECISION, _PRECISION = 1e-3, 0.02
_MOST_ITERATIONS = 300
_MANY_ITERATIONS = 15
# Passes from which on sizes are asked for, stars that have left do not come back, floors change
# slowly, and stars and rows stay in or out as they are: with few stars in a visit, a row that comes
# or goes changes its map, and that another row, without end.
_SIZES_FROM, _FROZEN_FROM, _DAMPED_FROM, _FIXED_FROM = 3, 5, 6, 9


@dataclass(eq=False)
class Fit:
    """The state of a fit.

    Parameters
    ----------
    tables, sorted_rows, layout, planes
        The data.
    config
        Parameters.
    rows, sky, model, found
        As the kernels want them.
    held
        Static maps that an earlier solution has found.
    tells_mean
        Of which of (pm_ra, pm_dec, parallax) a catalogue tells the mean.
    sizes
        Of the terms of the maps.
    dropped
        Visits that take no part, and why.
    variable
        Stars that scatter too much, (S,).
    factored
        The factor of the normal equations of an earlier pass.
    slow
        Passes whose linear problem was not solved to the end.
    """

    tables: Tables
    sorted_rows: SortedRows
    layout: Layout
    planes: Planes
    config: SolveAstrometryConfig
    rows: astrometric_model.Rows
    sky: astrometric_model.Sky
    model: astrometric_model.Model
    found: astrometric_model.Found
    held: HeldMaps
    tells_mean: Bools
    sizes: Sizes
    variable: Bools
    dropped: dict[int, str] = field(default_factory=dict)
    factored: Factored | None = None
    slow: int = 0
    converged: bool = False
    _fixed: bool = False
    _sizes_settled: bool = False
    _floor_to_come: Floats | None = None

    def run(self, progress: Callable[[Pass], None]) -> tuple[Pass, ...]:
        """Fit until nothing changes any more."""
        history: list[Pass] = []
        solver = self.config.solver
        self._sizes_settled = not self.config.model.find_sizes
        for number in range(1, solver.max_passes + 1):
            settled = self._weigh(number)
            change, iterations = self._step(_FIRST_PRECISION if number == 1 else _PRECISION)
            self._refine()
            if number >= _SIZES_FROM and not self._sizes_settled:
                settled &= self._find_sizes()
            history.append(self._report(number, change, iterations))
            progress(history[-1])
            self.converged = number > 1 and settled and change < solver.tolerance_mas
            if self.converged:
                break
        self._take_floor()
        self._judge(guess=True)
        return tuple(history)

    def kept(self) -> Bools:
        """Return which visits take part, (V,)."""
        return ~np.isin(np.arange(len(self.tables.visits)), list(self.dropped))

    def counted(self) -> Bools:
        """Return which rows count for the maps, (N,)."""
        used = self.found.state == astrometric_model.USED
        return np.asarray(used & (self.sky.fit == 1)[self.sorted_rows.star])

    def anchors(self) -> Bools:
        """Return which stars tie the maps to the catalogue, (S,)."""
        return np.asarray((self.sky.known > 0) & (self.found.tied == 1) & (self.sky.fit == 1))

    def _weigh(self, number: int) -> bool:
        """Solve for the stars, reject rows, find the floors; return whether these have settled.

        Floors of a pass belong to the stars' covariances of that pass. In the first passes, stars
        are solved for again with the floors just found; later these wait for the next pass.
        """
        scatter2 = self.model.floor
        self._fixed = number >= _FIXED_FROM
        if number == 1:
            self._weigh_first(scatter2)
            return False
        if number == 2:
            self._judge(guess=False, grown=self._growth())
            update_floors(self, medians=True)
            self._judge(guess=True)
        else:
            self._take_floor()
            if not self._fixed:
                self._leave_variables(frozen=number >= _FROZEN_FROM)
            self._judge(guess=True)
        before = self.model
        settled = update_floors(self, damped=number >= _DAMPED_FROM)
        if self._drop():
            self._judge(guess=True)
            return False
        if not settled:
            self._floor_to_come = self.model.floor
            self.model = before
        return settled and number > 2

    def _weigh_first(self, scatter2: Floats) -> None:
        """Weigh rows as if the maps were known, visits with a large scatter less.

        The scatter about the start is that of the maps; with it as an error, a good star would
        count as little as a faint one.
        """
        floor2 = self.config.noise.floor_mas**2
        worse = np.maximum(scatter2 / self._typical(scatter2), 1.0)
        self.model = self.model._replace(floor=floor2 * worse)
        self._judge(guess=False, grown=self._growth())

    def _typical(self, scatter2: Floats) -> float:
        kept = self.kept()
        return float(np.median(scatter2[kept])) if kept.any() else 1.0

    def _growth(self) -> float:
        """Return by how much squared residuals about the start exceed those that are expected."""
        scatter = self.planes.scatter_mas[self.kept()]
        scatter = scatter[np.isfinite(scatter)]
        floor = self.config.noise.floor_mas
        return max(1.0, float(np.median(scatter)) / floor) ** 2 if scatter.size else 1.0

    def _take_floor(self) -> None:
        """Take floors that have waited."""
        if self._floor_to_come is not None:
            self.model = self.model._replace(floor=self._floor_to_come)
            self._floor_to_come = None

    def system(self) -> System:
        """Return the linear problem where the fit stands."""
        epoch = self.layout.map_epoch[self.layout.map_of[:, 0]]
        return System(
            rows=self.rows,
            sky=self.sky,
            model=self.model,
            found=self.found,
            prior=map_priors(self),
            epoch=np.where(self.kept(), epoch, -1),
            n_shared=self.layout.n_shared,
            max_dense=self.config.solver.max_dense_parameters,
            known_epochs=self.held.epochs(self.layout),
        )

    def fresh_factor(self, tolerance: float) -> Factored:
        """Return the factor of the equations, made anew where variances differ by that share."""
        system = self.system()
        if self.factored is None or self.factored.stale(system, tolerance):
            # Two of them need not be in memory.
            self.factored = None
            self.factored = factored(system)
        return self.factored

    def _judge(self, *, guess: bool, grown: float = 1.0) -> None:
        """Solve for the stars and reject rows; with `guess`, from where the stars were.

        Limits of squared distances are multiplied by `grown`.
        """
        clip2 = grown * self.config.noise.clip_sigma**2
        limits = grown * catalogue_limits(self.config.reference.clip_sigma)
        kernels.accumulate(
            self.rows, self.sky, self.model, clip2, limits, guess, self._fixed, self.found
        )

    def _step(self, precision: float) -> tuple[float, int]:
        """Change the maps; return the rms change on the images and the iterations."""
        system = self.system()
        if self.factored is None:
            self.factored = factored(system)
        factor = self.factored.factor
        right = system.gradient()
        expected = self.change_mas(*system.split(factor.solve(right)))
        tolerance = max(0.3 * self.config.solver.tolerance_mas, precision * expected)

        def small(rest: Floats) -> bool:
            return self.change_mas(*system.split(rest)) < tolerance

        delta, iterations = conjugate_gradients(
            system.multiply, factor.solve, right, small, _MOST_ITERATIONS
        )
        c, q = system.split(delta)
        self.model = self.model._replace(c=self.model.c + c, q=self.model.q + q)
        self.slow += iterations == _MOST_ITERATIONS
        if iterations > _MANY_ITERATIONS:
            self.factored = None
        return self.change_mas(c, q), iterations

    def change_mas(self, c: Floats, q: Floats) -> float:
        """Return the rms shift of the images by changes of the maps, in each coordinate."""
        shift = self.layout.shifts(c, q)[self.kept()]
        return float(np.sqrt(np.mean(shift**2))) if shift.size else 0.0

    def _refine(self) -> None:
        """Ask the stars for the spread of their motions."""
        population = refine_population(self.sky, self.found, self.tells_mean, self.config)
        precision, mean = population_prior(population, self.config)
        self.sky = self.sky._replace(prior=precision, prior_mean=mean)

    def _find_sizes(self) -> bool:
        """Ask the maps for the sizes of their terms; return whether these stay."""
        self.sizes, self._sizes_settled = find_sizes(self)
        return self._sizes_settled

    def _leave_variables(self, *, frozen: bool) -> None:
        """Take stars that scatter too much out of the fit; if `frozen`, none comes back."""
        variable = variable_stars(self, before=self.variable)
        self.variable = self.variable | variable if frozen else variable
        out = self.tables.stars.reserved | self.variable
        self.sky = self.sky._replace(fit=np.where(out, 0, 1).astype(np.int8))

    def _drop(self) -> bool:
        """Leave out visits whose stars are elsewhere, or that hang on nothing any more."""
        before = len(self.dropped)
        for reasons in (misplaced_visits, lonely_visits):
            for visit, reason in reasons(self).items():
                self.drop(visit, reason)
        return len(self.dropped) > before

    def drop(self, visit: int, reason: str) -> None:
        """Take the rows of a visit out of the fit."""
        self.dropped[visit] = reason
        self.found.state[self.rows.visit == visit] = astrometric_model.EXCLUDED
        self.factored = None

    def _report(self, number: int, change: float, iterations: int) -> Pass:
        sums = self.found.sums.sum(axis=0)
        fit = self.sky.fit == 1
        dof = max(2 * sums[0] - float(star_parameters(self)[fit].sum()), 1.0)
        floors = np.sqrt(self.model.floor[self.found.sums[:, 0] > 0])
        return Pass(
            number=number,
            change_mas=change,
            chi2_per_dof=float(self.found.chi2[fit].sum() / dof),
            n_used=int(sums[0]),
            n_rejected=int(sums[1]),
            floor_mas=float(np.median(floors)) if floors.size else float("nan"),
            iterations=iterations,
        )


def catalogue_limits(sigma: float) -> Floats:
    """Return squared distances, one for each number of values that a catalogue knows, (6,).

    All have the chance that two degrees of freedom have of exp(-sigma²/2).
    """
    from scipy.special import gammainccinv

    chance = np.exp(-(sigma**2) / 2)
    return np.concatenate([[0.0], 2 * gammainccinv(np.arange(1, 6) / 2, chance)])


def begin(
    tables: Tables,
    sorted_rows: SortedRows,
    layout: Layout,
    planes: Planes,
    sky: astrometric_model.Sky,
    held: HeldMaps,
    tells_mean: Bools,
    epoch_mjd: float,
    config: SolveAstrometryConfig,
) -> Fit:
    """Return the fit at its start."""
    r = sorted_rows
    rows = astrometric_model.Rows(
        first=r.first,
        visit=r.visit,
        map=layout.map_of[r.visit, r.detector],
        f=r.field,
        c=r.covariance,
    )
    model = _model_at_start(tables, layout, planes, epoch_mjd, config)
    s, n = len(tables.stars), len(r)
    found = astrometric_model.Found(
        state=np.zeros(n, np.int8),
        residual=np.zeros((n, 2), np.float32),
        shift=np.zeros((s, 5)),
        covariance=np.zeros((s, 5, 5)),
        tied=np.zeros(s, np.int8),
        chi2=np.zeros(s),
        gradient_c=np.zeros_like(model.c),
        gradient_q=np.zeros_like(model.q),
        sums=np.zeros((len(tables.visits), 5)),
    )
    found.state[~planes.in_front] = astrometric_model.EXCLUDED
    return Fit(
        tables=tables,
        sorted_rows=sorted_rows,
        layout=layout,
        planes=planes,
        config=config,
        rows=rows,
        sky=sky,
        model=model,
        found=found,
        held=held,
        tells_mean=tells_mean,
        sizes=expected_sizes(config),
        variable=np.zeros(s, bool),
    )


def _model_at_start(
    tables: Tables, layout: Layout, planes: Planes, epoch_mjd: float, config: SolveAstrometryConfig
) -> astrometric_model.Model:
    """Return the maps at the start: what is linear in each visit."""
    visits = tables.visits
    n_c, n_q = layout.map_basis[0].n_terms, layout.visit_basis.n_terms + 1
    q = np.zeros((len(visits), 2, n_q))
    (x, y), (dx, dy) = layout.visit_basis.domain.center, layout.visit_basis.domain.half_size
    linear = planes.linear
    q[:, :, 0] = linear[:, :, 0] + linear[:, :, 1] * x + linear[:, :, 2] * y
    if layout.visit_basis.order > 0:
        q[:, :, 1], q[:, :, 2] = linear[:, :, 1] * dx, linear[:, :, 2] * dy
    scatter = np.where(np.isfinite(planes.scatter_mas), planes.scatter_mas, 0.0)
    return astrometric_model.Model(
        map_domain=layout.map_domain,
        visit_domain=layout.visit_domain,
        map_terms=layout.map_terms,
        visit_terms=layout.visit_terms,
        c=np.zeros((layout.n_maps, 2, n_c)),
        q=q,
        map_order=layout.map_basis[0].order,
        visit_order=layout.visit_basis.order,
        plane=np.array([p.axes for p in planes.projections]),
        t=(visits.mjd - epoch_mjd) / 365.25,
        earth=np.ascontiguousarray(visits.earth_au),
        floor=np.maximum(scatter, config.noise.floor_mas) ** 2,
    )
