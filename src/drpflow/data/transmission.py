"""Transmission as a function of wavelength, and of place where the optics make it so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self, TypeAlias

import numpy as np

from drpflow.data.polynomial import Basis2D
from drpflow.data.record import Record, StoredComponent, component, frozen_array, pack, unpack
from drpflow.data.spline import interpolation_matrix

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]


@component
@dataclass(frozen=True, eq=False)
class TransmissionFactor(StoredComponent):
    """The transmission of one element: mirrors, a filter, a CCD, the atmosphere of a visit.

    Between its wavelengths the transmission is interpolated linearly; beyond them it is zero.

    Parameters
    ----------
    wavelength_nm
        Strictly increasing, at least two, shape (n,).
    throughput
        Fraction of the photons that pass, shape (m, n): one row (m = 1) that holds everywhere;
        or one row for each term of `basis`; or one row for each radius.
    basis
        Polynomial in (x, y) whose coefficients are the rows.
    radius
        Distances from `center` for which the rows hold, strictly increasing, shape (m,);
        linear between them, constant within the first and beyond the last.
    center
        (x, y) of the axis, in the coordinates in which positions are given.

    Raises
    ------
    ValueError
        If shapes do not fit, or both kinds of variation are given.
    """

    KIND: ClassVar[str] = "transmission_factor"
    wavelength_nm: Floats
    throughput: Floats
    basis: Basis2D | None = None
    radius: Floats | None = None
    center: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        wavelength = frozen_array(self.wavelength_nm, ndim=1)
        throughput = frozen_array(self.throughput, ndim=2)
        if self.radius is not None:
            object.__setattr__(self, "radius", frozen_array(self.radius, ndim=1))
        rows = self._n_rows()
        if wavelength.size < 2 or throughput.shape != (rows, wavelength.size):
            raise ValueError(
                f"throughput must be of shape ({rows}, {wavelength.size}) with at least two "
                f"wavelengths, not {throughput.shape}"
            )
        if not (np.diff(wavelength) > 0).all() or not np.isfinite(throughput).all():
            raise ValueError("wavelengths must increase and throughputs be finite")
        object.__setattr__(self, "wavelength_nm", wavelength)
        object.__setattr__(self, "throughput", throughput)
        object.__setattr__(self, "center", (float(self.center[0]), float(self.center[1])))

    def _n_rows(self) -> int:
        if self.basis is not None and self.radius is not None:
            raise ValueError("a factor varies by polynomial or by radius, not both")
        if self.basis is not None:
            return self.basis.n_terms
        if self.radius is None:
            return 1
        if self.radius.size == 0 or not (np.diff(self.radius) > 0).all():
            raise ValueError(f"radii must increase, not {self.radius.tolist()}")
        return self.radius.size

    @property
    def is_constant(self) -> bool:
        """Whether the factor is the same everywhere."""
        return self.basis is None and self.radius is None

    def sample(self, wavelength_nm: Floats, x: Floats | None, y: Floats | None) -> Floats:
        """Return the transmission, shape (n_wavelengths,), or (..., n_wavelengths) at places."""
        rows = np.array(
            [np.interp(wavelength_nm, self.wavelength_nm, r, 0.0, 0.0) for r in self.throughput]
        )
        if self.is_constant:
            return rows[0]
        if x is None or y is None:
            raise ValueError("this transmission varies over the image; give x and y")
        return self._weights(x, y) @ rows

    def _weights(self, x: Floats, y: Floats) -> Floats:
        """Return the weight of each row at places, shape (..., m)."""
        if self.basis is not None:
            return self.basis.design(x, y)
        assert self.radius is not None
        r = np.hypot(x - self.center[0], y - self.center[1])
        clipped = np.clip(r, self.radius[0], self.radius[-1])
        weights = interpolation_matrix(self.radius, clipped.ravel(), "bilinear")
        return weights.reshape(*r.shape, self.radius.size)

    def to_record(self) -> Record:
        """Return the stored form."""
        arrays = {"wavelength_nm": self.wavelength_nm, "throughput": self.throughput}
        if self.radius is not None:
            arrays["radius"] = self.radius
        basis = None if self.basis is None else self.basis.to_meta()
        return self._record({"basis": basis, "center": list(self.center)}, arrays)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the factor from its stored form."""
        basis, center = record.meta["basis"], record.meta["center"]
        return cls(
            record.arrays["wavelength_nm"],
            record.arrays["throughput"],
            None if basis is None else Basis2D.from_meta(basis),
            record.arrays.get("radius"),
            (center[0], center[1]),
        )


@component
@dataclass(frozen=True, eq=False)
class TransmissionCurve(StoredComponent):
    """The product of transmissions; ``a * b`` is exact, whatever each varies with.

    Parameters
    ----------
    factors
        What the light passes, in any order; none for a transmission of one.
    """

    KIND: ClassVar[str] = "transmission"
    factors: tuple[TransmissionFactor, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", tuple(self.factors))

    @classmethod
    def from_table(cls, wavelength_nm: ArrayLike, throughput: ArrayLike) -> Self:
        """Return the curve through a table, the same everywhere."""
        table = np.atleast_2d(np.asarray(throughput, np.float64))
        return cls((TransmissionFactor(np.asarray(wavelength_nm, np.float64), table),))

    def __mul__(self, other: TransmissionCurve) -> TransmissionCurve:
        return TransmissionCurve((*self.factors, *other.factors))

    @property
    def is_constant(self) -> bool:
        """Whether the curve is the same everywhere."""
        return all(factor.is_constant for factor in self.factors)

    @property
    def wavelength_nm(self) -> Floats:
        """Every wavelength of the factors' tables within the range that all of them cover.

        Raises
        ------
        ValueError
            If there are no factors, or they have no range in common.
        """
        if not self.factors:
            raise ValueError("a transmission without factors has no wavelengths")
        first = max(factor.wavelength_nm[0] for factor in self.factors)
        last = min(factor.wavelength_nm[-1] for factor in self.factors)
        if first >= last:
            raise ValueError(f"the factors have no wavelengths in common ({first}, {last} nm)")
        grid = np.unique(np.concatenate([factor.wavelength_nm for factor in self.factors]))
        return grid[(grid >= first) & (grid <= last)]

    def throughput(
        self, wavelength_nm: ArrayLike, x: ArrayLike | None = None, y: ArrayLike | None = None
    ) -> Floats:
        """Return the transmission.

        Parameters
        ----------
        wavelength_nm
            Shape (n,) or a scalar.
        x, y
            Places, any shape; needed if the curve is not constant.

        Returns
        -------
        ndarray
            Shape of the places followed by that of the wavelengths.

        Raises
        ------
        ValueError
            If a place is needed and not given.
        """
        wavelength = np.asarray(wavelength_nm, np.float64)
        xs = ys = None
        shape: tuple[int, ...] = ()
        if x is not None and y is not None:
            xs, ys = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
            shape = xs.shape
        total = np.ones((*shape, wavelength.size))
        for factor in self.factors:
            total = total * factor.sample(wavelength.ravel(), xs, ys)
        return total.reshape((*shape, *wavelength.shape))[()]

    def effective_wavelength_nm(
        self, x: ArrayLike | None = None, y: ArrayLike | None = None
    ) -> Floats:
        """Return ∫ S dλ / ∫ S dλ/λ: the mean wavelength of photons of a source of flat F_ν.

        The reference wavelength of Burke et al. (2018, AJ 155, 41). Trapezoids on the grid of all
        factors.

        Raises
        ------
        ValueError
            If a place is needed and not given, or the factors have no range in common.
        """
        grid = self.wavelength_nm
        curve = self.throughput(grid, x, y)
        photons = np.trapezoid(curve / grid, grid, axis=-1)
        return (np.trapezoid(curve, grid, axis=-1) / np.where(photons == 0, np.nan, photons))[()]

    def to_record(self) -> Record:
        """Return the stored form."""
        entries, arrays = pack((f"factor{k}", factor) for k, factor in enumerate(self.factors))
        return self._record({"factors": entries}, arrays)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the curve from its stored form."""
        return cls(tuple(f for _, f in unpack(record.meta["factors"], record.arrays)))
