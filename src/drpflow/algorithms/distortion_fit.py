"""A smooth displacement field from few noisy points: polynomials under a prior that data set.

The displacement of stars from where a model predicts them, as a function of place, is

    d(u, v) = shift + rotation + scale + two shears + Σ_{i+j≥2} c_ij P_i(u) P_j(v) + extra columns

with P the Legendre polynomials normalised to unit mean square over the detector, so that each
coefficient is the rms displacement which its term makes. Coefficients of total degree n have the
prior N(0, τ_n²). The τ_n, and the scatter σ_0 which is added to the known errors, are those that
make the data most probable once the coefficients are integrated out (evidence; MacKay 1992,
Neural Computation 4, 415). A degree that the data do not ask for is held back; one that they do
ask for is barely damped. No order has to be chosen by hand. Where stars are so few that they say
nothing of τ_n, its own prior says what to expect (inverse gamma, as if one more coefficient of the
size s 2^(2-n) had been seen), so that the fit stays near the camera's model and its error is not
stated as smaller than it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]

_FLAT = -1
_FIXED = 0
# Coefficients that the prior of τ counts for.
_PRIOR_COUNT = 1.0
_MACKAY_ROUNDS = 40
_MACKAY_TOLERANCE = 1e-3
_GOLDEN_ROUNDS = 14
_LINEAR_TERMS = 6


@dataclass(frozen=True, eq=False)
class DisplacementModel:
    """The columns of the fit.

    Parameters
    ----------
    order
        Highest total degree.
    linear_prior
        Standard deviation of scale and shears, relative.
    size
        Half the diagonal of the detector, in the unit of the displacements.
    term_size
        Expected size s of the coefficients of degree 2, in that unit.
    extra_prior
        Standard deviations of the coefficients of the extra columns.
    """

    order: int
    linear_prior: float
    size: float
    term_size: float
    extra_prior: tuple[float, ...] = ()

    @property
    def degrees(self) -> NDArray[np.intp]:
        """Which prior a column has: -1 flat, 0 fixed, n ≥ 2 that of degree n."""
        degrees = [_FLAT] * 3 + [_FIXED] * 3
        for degree in range(2, self.order + 1):
            degrees += [degree] * (2 * (degree + 1))
        return np.array(degrees + [_FIXED] * len(self.extra_prior))

    def expected(self, degree: int) -> float:
        """Return the expected size of the coefficients of a degree of 2 or more."""
        return self.term_size * 2.0 ** (2 - degree)

    def design(self, u: ArrayLike, v: ArrayLike, x: ArrayLike, y: ArrayLike) -> Floats:
        """Return the derivatives of the displacement, shape (N, 2, columns), extras left out.

        Parameters
        ----------
        u, v
            Places, -1 to 1 over the detector, shape (N,).
        x, y
            The same from the centre of the detector, along the axes of the displacements and in
            units of `size`.
        """
        u, v, x, y = (np.asarray(values, np.float64) for values in (u, v, x, y))
        one, none = np.ones_like(x), np.zeros_like(x)
        along_x = [one, none, -y, x, x, y]
        along_y = [none, one, x, y, -y, x]
        pu, pv = (_normalized_legendre(values, self.order) for values in (u, v))
        for degree in range(2, self.order + 1):
            for j in range(degree + 1):
                term = pu[degree - j] * pv[j]
                along_x += [term, none]
                along_y += [none, term]
        return np.stack([np.stack(along_x, -1), np.stack(along_y, -1)], axis=1)

    def fixed_precision(self) -> Floats:
        """Return the inverse prior variances, zero where flat or still to be found."""
        precision = np.zeros(len(self.degrees))
        precision[3:_LINEAR_TERMS] = (self.linear_prior * self.size) ** -2
        if self.extra_prior:
            precision[-len(self.extra_prior) :] = np.array(self.extra_prior) ** -2.0
        return precision


@dataclass(frozen=True, eq=False)
class DisplacementFit:
    """Coefficients, their covariance, and what the data say about their size.

    Parameters
    ----------
    model
        The columns.
    coefficients, covariance
        Posterior mean, shape (columns,), and covariance.
    precision
        Inverse prior variances, shape (columns,).
    floor
        Scatter σ_0 beside the known errors.
    log_evidence
        Logarithm of the probability of the data under the model, up to a constant.
    """

    model: DisplacementModel
    coefficients: Floats
    covariance: Floats
    precision: Floats
    floor: float
    log_evidence: float

    @property
    def n_effective(self) -> float:
        """Number of coefficients that the data determine, rather than the prior."""
        return float((1 - self.precision * np.diag(self.covariance)).sum())

    def tau(self, degree: int) -> float:
        """Return the prior standard deviation of the coefficients of a degree."""
        rows = np.flatnonzero(self.model.degrees == degree)
        return float(self.precision[rows[0]] ** -0.5) if rows.size else 0.0

    def displacement(self, design: Floats) -> Floats:
        """Return displacements (N, 2) for a design without or with extra columns."""
        return np.asarray(design @ self.coefficients[: design.shape[-1]])

    def variance(self, design: Floats) -> Floats:
        """Return the expected squared error of each coordinate of :meth:`displacement`, (N, 2)."""
        n = design.shape[-1]
        part = self.covariance[:n, :n]
        return np.asarray(np.einsum("nak,kl,nal->na", design, part, design))


def fit_displacement(
    model: DisplacementModel,
    design: Floats,
    displacement: Floats,
    covariance: Floats,
    floor: float,
    floor_spread: float,
) -> DisplacementFit:
    """Fit coefficients, sizes of the degrees, and scatter.

    Parameters
    ----------
    model
        The columns.
    design
        Shape (N, 2, columns), extra columns last.
    displacement
        Shape (N, 2).
    covariance
        Known errors, shape (N, 2, 2).
    floor, floor_spread
        The scatter is expected to be log-normal about `floor` with this natural-log deviation.

    Notes
    -----
    4 ms for 60 stars at order 3; 0.15 s for 5,000 stars at order 5.
    """
    problem = _Problem(model, design, displacement, covariance, floor, floor_spread)
    low, high = np.log(floor) - 4 * floor_spread, np.log(floor) + 6 * floor_spread
    return _golden(lambda ln_floor: problem.solve(float(np.exp(ln_floor))), low, high)


@dataclass
class _Problem:
    model: DisplacementModel
    design: Floats
    displacement: Floats
    covariance: Floats
    expected_floor: float
    floor_spread: float
    # Where the next search for the sizes of the degrees begins: at the result of the last one.
    start: Floats | None = None

    def solve(self, floor: float) -> DisplacementFit:
        """Return the fit at a given scatter, sizes of the degrees at their best."""
        white, log_weight = _whitening(self.covariance, floor)
        columns = len(self.model.degrees)
        matrix = (white @ self.design).reshape(-1, columns)
        values = (white @ self.displacement[..., None]).ravel()
        normal, right = matrix.T @ matrix, matrix.T @ values
        precision = self._start() if self.start is None else self.start
        for _ in range(_MACKAY_ROUNDS):
            inverse = np.asarray(np.linalg.inv(normal + np.diag(precision)), np.float64)
            new = self._updated(precision, inverse, inverse @ right)
            change = np.abs(np.log(new[precision > 0] / precision[precision > 0]))
            precision = new
            if change.size == 0 or change.max() < _MACKAY_TOLERANCE:
                break
        self.start = precision
        system = normal + np.diag(precision)
        covariance = np.asarray(np.linalg.inv(system), np.float64)
        coefficients = covariance @ right
        evidence = log_weight + 0.5 * (right @ coefficients - values @ values)
        evidence += 0.5 * np.log(precision[precision > 0]).sum() + self._log_prior(precision)
        evidence -= 0.5 * float(np.linalg.slogdet(system)[1])
        evidence -= 0.5 * (np.log(floor / self.expected_floor) / self.floor_spread) ** 2
        return DisplacementFit(
            self.model, coefficients, covariance, precision, floor, float(evidence)
        )

    def _start(self) -> Floats:
        precision = self.model.fixed_precision()
        for degree in range(2, self.model.order + 1):
            precision[self.model.degrees == degree] = self.model.expected(degree) ** -2
        return precision

    def _log_prior(self, precision: Floats) -> float:
        """Return the log prior of the τ_n: ``-½ a Σ (ln τ² + s²/τ²)``."""
        total = 0.0
        for degree in range(2, self.model.order + 1):
            p = float(precision[self.model.degrees == degree][0])
            total += np.log(p) - p * self.model.expected(degree) ** 2
        return 0.5 * _PRIOR_COUNT * total

    def _updated(self, precision: Floats, inverse: Floats, coefficients: Floats) -> Floats:
        """MacKay's step: τ² = (Σ c² + a s²)/(γ + a), γ coefficients being determined by data."""
        new = precision.copy()
        determined = 1 - precision * np.diag(inverse)
        for degree in range(2, self.model.order + 1):
            rows = self.model.degrees == degree
            prior = _PRIOR_COUNT * self.model.expected(degree) ** 2
            total = float((coefficients[rows] ** 2).sum()) + prior
            new[rows] = (float(determined[rows].sum()) + _PRIOR_COUNT) / total
        return new


def _whitening(covariance: Floats, floor: float) -> tuple[Floats, float]:
    """Return W with W (C + σ_0²) Wᵀ = 1 for each point, and Σ ln det W."""
    a = covariance[:, 0, 0] + floor**2
    b = covariance[:, 0, 1]
    c = covariance[:, 1, 1] + floor**2
    # The inverse of the Cholesky factor of [[a, b], [b, c]].
    root = np.sqrt(a)
    rest = np.sqrt(c - b * b / a)
    white = np.zeros((len(a), 2, 2))
    white[:, 0, 0] = 1 / root
    white[:, 1, 0] = -b / (a * rest)
    white[:, 1, 1] = 1 / rest
    return white, float(-np.log(root * rest).sum())


def _normalized_legendre(t: Floats, order: int) -> list[Floats]:
    """Return √(2n + 1) P_n(t), n = 0 … order: unit mean square over [-1, 1]."""
    terms = [np.ones_like(t), t]
    for n in range(1, order):
        terms.append(((2 * n + 1) * t * terms[n] - n * terms[n - 1]) / (n + 1))
    return [np.sqrt(2 * n + 1) * term for n, term in enumerate(terms)]


def _golden(
    function: Callable[[float], DisplacementFit], low: float, high: float
) -> DisplacementFit:
    """Return the fit of largest evidence, by golden section on its argument."""
    ratio = (np.sqrt(5) - 1) / 2
    a, b = low, high
    left, right = b - ratio * (b - a), a + ratio * (b - a)
    at_left, at_right = function(left), function(right)
    for _ in range(_GOLDEN_ROUNDS):
        if at_left.log_evidence > at_right.log_evidence:
            b, right, at_right = right, left, at_left
            left = b - ratio * (b - a)
            at_left = function(left)
        else:
            a, left, at_left = left, right, at_right
            right = a + ratio * (b - a)
            at_right = function(right)
    return at_left if at_left.log_evidence > at_right.log_evidence else at_right
