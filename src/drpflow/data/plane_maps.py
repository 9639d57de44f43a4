"""Invertible maps of the plane, from which coordinate systems are composed.

Each map has an exact forward direction with an analytic Jacobian. Inverses are closed where there
is a closed form; otherwise Newton's method is run on all points at once to machine precision, and
points for which it does not converge come out as NaN.

Jacobians are indexed ``[..., i, j]`` = d(output i)/d(input j).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Self, TypeAlias

import numpy as np

from drpflow.data.polynomial import Basis2D
from drpflow.data.record import Record, StoredComponent, component, frozen_array

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Pair: TypeAlias = tuple[Floats, Floats]
    WithJacobian: TypeAlias = tuple[Floats, Floats, Floats]

# Newton converges quadratically: one step after the step has shrunk to 1e-9 of the size of the
# domain, the error is at the level of rounding.
_STEP_TOLERANCE = 1e-9
_MAX_STEPS = 40


class PlaneMap(StoredComponent):
    """A map (x, y) -> (u, v) with an inverse."""

    @abstractmethod
    def forward(self, x: ArrayLike, y: ArrayLike) -> Pair:
        """Return (u, v) at points of any shape."""

    @abstractmethod
    def forward_with_jacobian(self, x: ArrayLike, y: ArrayLike) -> WithJacobian:
        """Return u, v and the Jacobian, shape (..., 2, 2)."""

    @abstractmethod
    def inverse(self, u: ArrayLike, v: ArrayLike) -> Pair:
        """Return (x, y), NaN where there is no solution."""


@component
@dataclass(frozen=True, eq=False)
class AffineMap(PlaneMap):
    """(u, v) = matrix · (x, y) + offset.

    Parameters
    ----------
    matrix
        Shape (2, 2), not singular.
    offset
        Shape (2,), in the units of the output.

    Raises
    ------
    ValueError
        If the matrix is singular or something is not finite.
    """

    KIND: ClassVar[str] = "affine_map"
    matrix: Floats
    offset: Floats

    def __post_init__(self) -> None:
        matrix, offset = frozen_array(self.matrix, ndim=2), frozen_array(self.offset, ndim=1)
        if matrix.shape != (2, 2) or offset.shape != (2,):
            raise ValueError(
                f"shapes (2, 2) and (2,) are wanted, not {matrix.shape}, {offset.shape}"
            )
        determinant = matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]
        if not np.isfinite(offset).all() or not np.isfinite(determinant) or determinant == 0:
            raise ValueError(f"matrix {matrix.tolist()}, offset {offset.tolist()} has no inverse")
        object.__setattr__(self, "matrix", matrix)
        object.__setattr__(self, "offset", offset)

    @classmethod
    def translation(cls, dx: float, dy: float) -> Self:
        """Return the map that adds (dx, dy)."""
        return cls(np.eye(2), np.array([dx, dy]))

    def forward(self, x: ArrayLike, y: ArrayLike) -> Pair:
        """Return (u, v) at points of any shape."""
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        (a, b), (c, d) = self.matrix
        return a * x + b * y + self.offset[0], c * x + d * y + self.offset[1]

    def forward_with_jacobian(self, x: ArrayLike, y: ArrayLike) -> WithJacobian:
        """Return u, v and the constant Jacobian, shape (..., 2, 2)."""
        u, v = self.forward(x, y)
        return u, v, np.broadcast_to(self.matrix, (*np.shape(u), 2, 2))

    def inverse(self, u: ArrayLike, v: ArrayLike) -> Pair:
        """Return (x, y)."""
        du, dv = np.asarray(u) - self.offset[0], np.asarray(v) - self.offset[1]
        return _solve(np.broadcast_to(self.matrix, (*np.broadcast(du, dv).shape, 2, 2)), du, dv)

    def to_record(self) -> Record:
        """Return the stored form."""
        return self._record({"matrix": self.matrix.tolist(), "offset": self.offset.tolist()})

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the map from its stored form."""
        return cls(np.array(record.meta["matrix"]), np.array(record.meta["offset"]))


@component
@dataclass(frozen=True, eq=False)
class PolynomialMap(PlaneMap):
    """u and v are polynomials in (x, y).

    Parameters
    ----------
    basis
        Terms of both; its domain is where the map is meant to be used and inverted.
    coefficients
        Shape (2, basis.n_terms): those of u, then those of v.

    Raises
    ------
    ValueError
        If the number of coefficients is wrong or one is not finite.

    Notes
    -----
    ``basis.design(x, y)`` holds the derivatives of u (and of v) with respect to their own
    coefficients; an astrometric fit chains them with :meth:`SkyWcs.jacobian_after`.
    """

    KIND: ClassVar[str] = "polynomial_map"
    basis: Basis2D
    coefficients: Floats

    def __post_init__(self) -> None:
        coefficients = frozen_array(self.coefficients, ndim=2)
        if coefficients.shape != (2, self.basis.n_terms) or not np.isfinite(coefficients).all():
            raise ValueError(
                f"order {self.basis.order} has 2 x {self.basis.n_terms} finite coefficients, "
                f"not {coefficients.tolist()}"
            )
        object.__setattr__(self, "coefficients", coefficients)

    @classmethod
    def identity(cls, basis: Basis2D) -> Self:
        """Return the map u = x, v = y with these terms (order 1 or more)."""
        coefficients = np.zeros((2, basis.n_terms))
        (xc, yc), (xh, yh) = basis.domain.center, basis.domain.half_size
        # Both kinds of basis begin with 1, x, y, in units of the half size about the centre.
        coefficients[0, :2] = xc, xh
        coefficients[1, [0, 2]] = yc, yh
        return cls(basis, coefficients)

    @classmethod
    def fit(
        cls,
        basis: Basis2D,
        x: ArrayLike,
        y: ArrayLike,
        u: ArrayLike,
        v: ArrayLike,
        weights: ArrayLike | None = None,
    ) -> Self:
        """Return the weighted least-squares map; see :meth:`Basis2D.fit`."""
        return cls(basis, basis.fit(x, y, np.stack([np.asarray(u), np.asarray(v)]), weights))

    def forward(self, x: ArrayLike, y: ArrayLike) -> Pair:
        """Return (u, v) at points of any shape."""
        u, v = self.basis.evaluate(self.coefficients, x, y)
        return u, v

    def forward_with_jacobian(self, x: ArrayLike, y: ArrayLike) -> WithJacobian:
        """Return u, v and the Jacobian, shape (..., 2, 2)."""
        value, dx, dy = self.basis.evaluate_with_gradient(self.coefficients, x, y)
        jacobian = np.stack([np.moveaxis(dx, 0, -1), np.moveaxis(dy, 0, -1)], axis=-1)
        return value[0], value[1], jacobian

    def inverse(self, u: ArrayLike, v: ArrayLike) -> Pair:
        """Return (x, y), NaN where Newton's method does not find them.

        A polynomial folds over outside its domain; solutions on another sheet (Jacobian of the
        other sign than at the centre) are refused.
        """
        center, jacobian, scale = self._linear
        u, v = np.broadcast_arrays(np.asarray(u, np.float64), np.asarray(v, np.float64))
        u0, v0 = self.forward(*center)
        dx, dy = _solve(np.broadcast_to(jacobian, (*u.shape, 2, 2)), u - u0, v - v0)
        (xc, yc), (xh, yh) = center, self.basis.domain.half_size
        # Far outside the domain the first guess is of no use; begin at its rim.
        start = np.clip(dx, -2 * xh, 2 * xh) + xc, np.clip(dy, -2 * yh, 2 * yh) + yc
        sense = float(np.sign(_determinant(jacobian)))
        return _newton(self.forward_with_jacobian, u, v, start, scale, sense)

    @cached_property
    def _linear(self) -> tuple[tuple[float, float], Floats, float]:
        """The centre of the domain, the Jacobian there and the size of the domain."""
        center = self.basis.domain.center
        return (
            center,
            self.forward_with_jacobian(*center)[2],
            float(np.hypot(*self.basis.domain.half_size)),
        )

    def to_record(self) -> Record:
        """Return the stored form."""
        return self._record(self.basis.to_meta(), {"coefficients": self.coefficients})

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the map from its stored form."""
        return cls(Basis2D.from_meta(record.meta), record.arrays["coefficients"])


@component
@dataclass(frozen=True, eq=False)
class RadialMap(PlaneMap):
    """Plate scale and radial distortion about a centre.

    ``(u, v) = scale · d · (1 + Σ_k coefficients[k] · (|d|/radius)^(2k+2))``, d = (x, y) - center.

    Parameters
    ----------
    scale
        Output units per input unit at the centre (degrees per mm in a camera).
    radius
        Normalising radius, in the units of the input.
    coefficients
        Third-, fifth-, … order distortion.
    center
        The optical axis, in the units of the input.

    Raises
    ------
    ValueError
        If the scale or the radius is not positive and finite.
    """

    KIND: ClassVar[str] = "radial_map"
    scale: float
    radius: float = 1.0
    coefficients: tuple[float, ...] = ()
    center: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", float(self.scale))
        object.__setattr__(self, "radius", float(self.radius))
        object.__setattr__(self, "coefficients", tuple(float(c) for c in self.coefficients))
        object.__setattr__(self, "center", (float(self.center[0]), float(self.center[1])))
        if not (0 < self.scale < np.inf and 0 < self.radius < np.inf):
            raise ValueError(
                f"scale and radius must be positive, not {self.scale} and {self.radius}"
            )
        if not np.isfinite([*self.coefficients, *self.center]).all():
            raise ValueError("coefficients and centre must be finite")

    def forward(self, x: ArrayLike, y: ArrayLike) -> Pair:
        """Return (u, v) at points of any shape."""
        dx, dy, q = self._reduced(x, y)
        factor = self.scale * self._polynomial(q)
        return dx * factor, dy * factor

    def forward_with_jacobian(self, x: ArrayLike, y: ArrayLike) -> WithJacobian:
        """Return u, v and the Jacobian, shape (..., 2, 2)."""
        dx, dy, q = self._reduced(x, y)
        factor = self.scale * self._polynomial(q)
        # d(factor)/d(dx) = slope · dx, from q = |d|²/radius².
        slope = self.scale * self._polynomial_slope(q) * 2 / self.radius**2
        rows = [
            [factor + slope * dx * dx, slope * dx * dy],
            [slope * dx * dy, factor + slope * dy * dy],
        ]
        jacobian = np.moveaxis(np.array(rows), (0, 1), (-2, -1))
        return dx * factor, dy * factor, jacobian

    def inverse(self, u: ArrayLike, v: ArrayLike) -> Pair:
        """Return (x, y); NaN beyond the radius at which the distortion folds over."""
        u, v = np.broadcast_arrays(np.asarray(u, np.float64), np.asarray(v, np.float64))
        image_radius = np.hypot(u, v) / (self.scale * self.radius)
        z = self._solve_radius(image_radius.ravel()).reshape(image_radius.shape)
        ratio = 1 / (self.scale * self._polynomial(z * z))
        return u * ratio + self.center[0], v * ratio + self.center[1]

    def to_record(self) -> Record:
        """Return the stored form."""
        return self._record(
            {
                "scale": self.scale,
                "radius": self.radius,
                "coefficients": list(self.coefficients),
                "center": list(self.center),
            }
        )

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the map from its stored form."""
        meta = record.meta
        return cls(
            meta["scale"], meta["radius"], tuple(meta["coefficients"]), tuple(meta["center"])
        )

    def _reduced(self, x: ArrayLike, y: ArrayLike) -> WithJacobian:
        dx = np.asarray(x, np.float64) - self.center[0]
        dy = np.asarray(y, np.float64) - self.center[1]
        return dx, dy, (dx * dx + dy * dy) / self.radius**2

    def _polynomial(self, q: Floats) -> Floats:
        """Return 1 + Σ a_k q^(k+1)."""
        total = np.zeros_like(q)
        for a in reversed(self.coefficients):
            total = (total + a) * q
        return total + 1.0

    def _polynomial_slope(self, q: Floats) -> Floats:
        """Return the derivative of :meth:`_polynomial` by q."""
        total = np.zeros_like(q)
        for k in range(len(self.coefficients), 0, -1):
            total = total * q + k * self.coefficients[k - 1]
        return total

    @cached_property
    def _turning(self) -> float:
        """The z = r/radius at which h(z) = z (1 + Σ a_k z^(2k+2)) stops growing; inf if never."""
        # h'(z) = 1 + Σ (2k + 3) a_k q^(k+1), q = z². In units of q in which no coefficient exceeds
        # 1, roots from leading ones below 1e-12 lie a million fields away and spoil the others.
        powers = np.arange(1, len(self.coefficients) + 1)
        slope = (2 * powers + 1) * np.array(self.coefficients)
        unit = float(np.max(np.abs(slope) ** (1 / powers), initial=0.0))
        if unit < 1e-30:
            return np.inf
        scaled = slope / unit**powers
        scaled = np.trim_zeros(np.where(np.abs(scaled) < 1e-12, 0.0, scaled), "b")
        roots = np.roots([*scaled[::-1], 1.0])
        real = roots.real[(np.abs(roots.imag) <= 1e-8 * np.abs(roots)) & (roots.real > 0)]
        return float(np.sqrt(real.min() / unit)) if real.size else np.inf

    def _solve_radius(self, target: Floats) -> Floats:
        """Solve h(z) = target on [0, turning]: Newton, halving the bracket where it leaves it."""

        def h(z: Floats) -> Floats:
            return z * self._polynomial(z * z)

        low, high = np.zeros_like(target), self._upper_bracket(target, h)
        z = np.minimum(target, high)
        for _ in range(_MAX_STEPS * 2):
            excess = h(z) - target
            low, high = np.where(excess <= 0, z, low), np.where(excess >= 0, z, high)
            slope = self._polynomial(z * z) + 2 * z * z * self._polynomial_slope(z * z)
            new = z - excess / np.where(slope > 0, slope, 1.0)
            new = np.where((new >= low) & (new <= high) & (slope > 0), new, (low + high) / 2)
            done = abs(new - z) <= 4 * np.finfo(float).eps * abs(z)
            z = new
            if done[np.isfinite(z)].all():
                break
        return z

    def _upper_bracket(self, target: Floats, h: Callable[[Floats], Floats]) -> Floats:
        """Return z with h(z) ≥ target, NaN where there is none before the turning point."""
        if np.isfinite(self._turning):
            high = np.full_like(target, self._turning)
            return np.where(h(high) >= target, high, np.nan)
        high = np.where(np.isfinite(target), np.maximum(target, 1.0), np.nan)
        for _ in range(_MAX_STEPS):
            short = h(high) < target
            if not short.any():
                break
            high = np.where(short, 2 * high, high)
        return np.where(h(high) < target, np.nan, high)


def _determinant(jacobian: Floats) -> Floats:
    return jacobian[..., 0, 0] * jacobian[..., 1, 1] - jacobian[..., 0, 1] * jacobian[..., 1, 0]


def _solve(jacobian: Floats, du: Floats, dv: Floats) -> Pair:
    """Solve jacobian · (dx, dy) = (du, dv), by Cramer's rule; NaN where it is singular."""
    determinant = _determinant(jacobian)
    inverse = 1 / np.where(determinant == 0, np.nan, determinant)
    return (
        (jacobian[..., 1, 1] * du - jacobian[..., 0, 1] * dv) * inverse,
        (jacobian[..., 0, 0] * dv - jacobian[..., 1, 0] * du) * inverse,
    )


def _newton(
    forward_with_jacobian: Callable[[Floats, Floats], WithJacobian],
    u: Floats,
    v: Floats,
    start: Pair,
    scale: float,
    sense: float,
) -> Pair:
    """Solve forward(x, y) = (u, v) for all points at once.

    Points that have converged leave the iteration. A step is never longer than `scale`, the size
    of the domain. Points that do not converge in 40 steps, or end where the determinant of the
    Jacobian has not the sign `sense`, become NaN.
    """
    shape = u.shape
    u, v = u.ravel(), v.ravel()
    x, y = np.array(start[0], np.float64).ravel(), np.array(start[1], np.float64).ravel()
    found = np.zeros(x.shape, bool)
    active = np.flatnonzero(np.isfinite(u) & np.isfinite(v))
    for _ in range(_MAX_STEPS):
        fu, fv, jacobian = forward_with_jacobian(x[active], y[active])
        dx, dy = _solve(jacobian, u[active] - fu, v[active] - fv)
        length = np.hypot(dx, dy)
        shorten = np.minimum(1.0, scale / np.where(length > 0, length, 1.0))
        x[active] += dx * shorten
        y[active] += dy * shorten
        small = length <= _STEP_TOLERANCE * scale
        found[active[small]] = (np.sign(_determinant(jacobian)) == sense)[small]
        active = active[~small & np.isfinite(length)]
        if not active.size:
            break
    x[~found] = y[~found] = np.nan
    return x.reshape(shape)[()], y.reshape(shape)[()]
