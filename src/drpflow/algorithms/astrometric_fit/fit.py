"""The passes of the fit: stars and rejection, maps, error floors, populations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_fit.floors import update_floors
from drpflow.algorithms.astrometric_fit.layout import n_terms
from drpflow.algorithms.astrometric_fit.normal import System, conjugate_gradients
from drpflow.algorithms.astrometric_fit.result import Pass
from drpflow.algorithms.astrometric_fit.sizes import Sizes, find_sizes
from drpflow.algorithms.astrometric_fit.sky import population_prior, refine_population
from drpflow.algorithms.astrometric_fit.variables import variable_stars
from drpflow.kernels import astrometric_fit as kernels
from drpflow.kernels import astrometric_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.layout import Layout
    from drpflow.algorithms.astrometric_fit.normal import Factor
    from drpflow.algorithms.astrometric_fit.rows import SortedRows, Tables
    from drpflow.algorithms.astrometric_fit.start import Planes
    from drpflow.config.solve_astrometry import SolveAstrometryConfig
    from drpflow.data.astrometric_tables import Visits

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

# Largest distance of a catalogue with five parameters for one of a row with two: both have a chance
# of exp(-x²/2).
_CATALOGUE_DOF = 5
_MOST_ITERATIONS = 300
# Priors above this share of what the data say show in the factor.
_MATTERS = 0.05
_MANY_ITERATIONS = 15
# Of a step; the next pass has other weights anyway.
_PRECISION = 0.02


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
    sizes: Sizes
    dropped: dict[int, str]
    factor: Factor | None = None
    information: Floats | None = None
    _floor_to_come: Floats | None = None

    def run(self, progress: Callable[[Pass], None]) -> tuple[Pass, ...]:
        """Fit until nothing changes any more."""
        history: list[Pass] = []
        change = 1.0
        self._judge(guess=False)
        self.refactor(first=True)
        solver = self.config.solver
        for number in range(1, solver.max_passes + 1):
            if number > 1:
                self._take_floor()
                if number > 2:
                    self._leave_variables()
                self._judge(guess=number > 2)
            settled = number > 1 and self._new_weights(mild=number > 2)
            change, iterations = self._step()
            self._refine()
            if number == 2 and self.config.model.find_sizes:
                self._find_sizes()
            history.append(self._report(number, change, iterations))
            progress(history[-1])
            if number > 1 and settled and change < solver.tolerance_mas:
                break
        if change > 0:
            self._take_floor()
            self._judge(guess=True)
        return tuple(history)

    def _new_weights(self, *, mild: bool) -> bool:
        """Bring floors up to date and drop visits; return whether nothing had to change.

        The stars' covariances belong to the weights with which they were found. Changes that are
        `mild` wait for the next pass; otherwise the stars are solved for again.
        """
        before = self.model
        settled = update_floors(self)
        dropped = self._drop()
        if dropped or not (settled or mild):
            self._judge(guess=True)
        elif not settled:
            self._floor_to_come = self.model.floor
            self.model = before
        return settled and not dropped

    def _take_floor(self) -> None:
        """Take floors that have waited."""
        if self._floor_to_come is not None:
            self.model = self.model._replace(floor=self._floor_to_come)
            self._floor_to_come = None

    def system(self) -> System:
        """Return the linear problem where the fit stands."""
        shared = min(self.config.model.detector_order, self.config.model.visit_order)
        return System(
            self.rows,
            self.sky,
            self.model,
            self.found,
            *self._priors(),
            self.layout.map_epoch[self.layout.map_of[:, 0]],
            int(n_terms(np.array(shared))),
            self.config.solver.max_dense_parameters,
        )

    def refactor(self, *, first: bool = False) -> Factor:
        """Make the factor of the normal equations anew, at first with the weights to come."""
        self.factor = None
        system = self.system()
        if first:
            floor = np.full_like(self.model.floor, self.config.noise.floor_mas**2)
            system = replace(system, model=self.model._replace(floor=floor))
        self.factor, self.information = system.factor()
        return self.factor

    def _judge(self, *, guess: bool) -> None:
        """Solve for the stars and reject rows; with `guess`, from where the stars were."""
        clip2 = self.config.noise.clip_sigma**2
        kernels.accumulate(
            self.rows, self.sky, self.model, clip2, self._catalogue2(), guess, self.found
        )

    def _catalogue2(self) -> float:
        from scipy.special import gammainccinv

        chance = np.exp(-(self.config.reference.clip_sigma**2) / 2)
        return float(2 * gammainccinv(_CATALOGUE_DOF / 2, chance))

    def _step(self) -> tuple[float, int]:
        """Change the maps; return the rms change on the images and the iterations."""
        factor = self.factor or self.refactor()
        system = self.system()
        right = system.gradient()
        expected = self._change(*system.split(factor.solve(right)))
        tolerance = max(0.3 * self.config.solver.tolerance_mas, _PRECISION * expected)

        def small(rest: Floats) -> bool:
            return self._change(*system.split(rest)) < tolerance

        delta, iterations = conjugate_gradients(
            system.multiply, factor.solve, right, small, _MOST_ITERATIONS
        )
        c, q = system.split(delta)
        self.model = self.model._replace(c=self.model.c + c, q=self.model.q + q)
        if iterations > _MANY_ITERATIONS:
            self.factor = None
        return self._change(c, q), iterations

    def _change(self, c: Floats, q: Floats) -> float:
        """Return the rms shift of the images, mas, in each coordinate."""
        kept = [v for v in range(len(q)) if v not in self.dropped]
        shift = self.layout.shifts(c, q)[kept]
        return float(np.sqrt(np.mean(shift**2))) if shift.size else 0.0

    def _refine(self) -> None:
        """Ask the stars for the spread of their motions."""
        take = self.found.tied + self.sky.fit > 0
        population = refine_population(
            self.sky, self.found.shift, self.found.covariance, self.config, take
        )
        precision, mean = population_prior(population, self.config)
        self.sky = self.sky._replace(prior=precision, prior_mean=mean)

    def _find_sizes(self) -> None:
        """Ask the maps for the sizes of their terms; a new factor where that matters."""
        self.sizes = find_sizes(self)
        prior = self.system().prior
        information = self.information
        if information is None or (prior > _MATTERS * information).any():
            self.factor = None

    def _leave_variables(self) -> None:
        """Take stars that scatter too much out of the fit of the maps."""
        self.sky = self.sky._replace(
            fit=np.where(self.tables.stars.reserved | variable_stars(self), 0, 1).astype(np.int8)
        )

    def _drop(self) -> bool:
        """Leave out the visits whose stars are elsewhere; return whether there are any."""
        before = len(self.dropped)
        noise, checks = self.config.noise, self.config.visits
        for v in range(len(self.tables.visits)):
            used, rejected = self.found.sums[v, :2]
            floor = float(np.sqrt(self.model.floor[v]))
            if v in self.dropped or used + rejected == 0:
                continue
            if floor >= noise.max_floor_mas:
                self.dropped[v] = (
                    f"its stars scatter by {floor:.0f} mas about where the others have them"
                )
            elif rejected > checks.max_misplaced * (used + rejected):
                self.dropped[v] = (
                    f"{rejected:.0f} of its {used + rejected:.0f} stars are not where the others "
                    "have them"
                )
            else:
                continue
            self.exclude(v)
        return len(self.dropped) > before

    def exclude(self, visit: int) -> None:
        """Take the rows of a visit out of the fit."""
        self.found.state[self.rows.visit == visit] = astrometric_model.EXCLUDED
        self.factor = None

    def _priors(self) -> tuple[Floats, Floats]:
        """Return the precisions of the maps' parameters."""
        layout, sizes = self.layout, self.sizes
        degree_c = layout.map_basis[0].exponents.sum(axis=1)
        degree_q = layout.visit_basis.exponents.sum(axis=1)
        prior_c = np.empty((layout.n_maps, 2, degree_c.size))
        prior_c[:] = 1 / sizes.detector_mas[degree_c] ** 2
        prior_q = np.empty((len(self.tables.visits), 2, degree_q.size + 1))
        prior_q[:, :, :-1] = 1 / sizes.visit_mas[degree_q] ** 2
        prior_q[:, :, -1] = 1 / max(self.config.model.dcr_mas, 1e-6) ** 2
        return prior_c, prior_q

    def _report(self, number: int, change: float, iterations: int) -> Pass:
        sums = self.found.sums.sum(axis=0)
        fit = self.sky.fit == 1
        dof = max(2 * sums[0] - self._star_parameters(), 1.0)
        floors = np.sqrt(self.model.floor[self.found.sums[:, 0] > 0])
        return Pass(
            number,
            change,
            float(self.found.chi2[fit].sum() / dof),
            int(sums[0]),
            int(sums[1]),
            float(np.median(floors)) if floors.size else float("nan"),
            iterations,
        )

    def _star_parameters(self) -> float:
        """Return how many of the stars' parameters the observations determine, nearly."""
        fit = self.sky.fit == 1
        prior = self.sky.prior[self.sky.kind] + self.found.tied[:, None, None] * self.sky.share
        held = np.einsum("sij,sji->s", prior, self.found.covariance)
        return float((5 - held)[fit].sum())


def begin(
    tables: Tables,
    sorted_rows: SortedRows,
    layout: Layout,
    planes: Planes,
    sky: astrometric_model.Sky,
    epoch_mjd: float,
    config: SolveAstrometryConfig,
) -> Fit:
    """Return the fit at its start."""
    r, visits = sorted_rows, tables.visits
    rows = astrometric_model.Rows(
        r.first,
        r.visit,
        layout.map_of[r.visit, r.detector],
        r.field,
        planes.place,
        planes.turn,
        r.covariance,
    )
    model = _model_at_start(visits, layout, planes, epoch_mjd, config)
    s, n = len(tables.stars), len(r)
    found = astrometric_model.Found(
        np.zeros(n, np.int8),
        np.zeros((n, 2), np.float32),
        np.zeros((s, 5)),
        np.zeros((s, 5, 5)),
        np.zeros(s, np.int8),
        np.zeros(s),
        np.zeros_like(model.c),
        np.zeros_like(model.q),
        np.zeros((len(visits), 5)),
    )
    found.state[~np.isfinite(planes.place).all(axis=1)] = astrometric_model.EXCLUDED
    return Fit(
        tables,
        sorted_rows,
        layout,
        planes,
        config,
        rows,
        sky,
        model,
        found,
        Sizes.expected(config),
        {},
    )


def _model_at_start(
    visits: Visits,
    layout: Layout,
    planes: Planes,
    epoch_mjd: float,
    config: SolveAstrometryConfig,
) -> astrometric_model.Model:
    """Return the maps at the start: what is linear in each visit."""
    n_c, n_q = layout.map_basis[0].n_terms, layout.visit_basis.n_terms + 1
    q = np.zeros((len(visits), 2, n_q))
    (x, y), (dx, dy) = layout.visit_basis.domain.center, layout.visit_basis.domain.half_size
    linear = planes.linear
    q[:, :, 0] = linear[:, :, 0] + linear[:, :, 1] * x + linear[:, :, 2] * y
    if layout.visit_basis.order > 0:
        q[:, :, 1], q[:, :, 2] = linear[:, :, 1] * dx, linear[:, :, 2] * dy
    scatter = np.where(np.isfinite(planes.scatter_mas), planes.scatter_mas, 0.0)
    return astrometric_model.Model(
        layout.map_domain,
        layout.visit_domain,
        n_terms(layout.map_order),
        n_terms(layout.visit_order),
        np.zeros((layout.n_maps, 2, n_c)),
        q,
        layout.map_basis[0].order,
        layout.visit_basis.order,
        (visits.mjd - epoch_mjd) / 365.25,
        np.ascontiguousarray(visits.earth_au),
        np.maximum(scatter, config.noise.floor_mas) ** 2,
    )
