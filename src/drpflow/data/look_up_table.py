"""Integrals of passbands through any air, with their derivatives.

For a filter f on a detector d, with the throughput S_fd(λ) of telescope, filter and CCD, and the
transmission T of the air,

    I0  = ∫ S_fd T dλ/λ
    I1  = ∫ S_fd T (λ - λ_b) dλ/λ,    I10 = I1 / I0

(Burke et al. 2018, AJ 155, 41). The table does not tabulate these over a grid of atmospheres, from
which they would have to be interpolated with kinks at the nodes: it holds a quadrature,

    I0 ≈ Σ_k w0_k T(λ_k),    I1 ≈ Σ_k w1_k T(λ_k),

with few nodes λ_k for each filter, common to its detectors, and weights for each. T and its
derivatives are evaluated at the nodes, so that the integrals of V visits on D detectors cost V x K
exponentials and one product of matrices, and their derivatives are exact.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar, Self, TypeAlias

import numpy as np

from drpflow.data.air import PARAMETERS, AirAbsorption, AirState
from drpflow.data.record import Record, StoredComponent, component, frozen_array, pack, unpack
from drpflow.data.transmission import TransmissionCurve
from drpflow.errors import suggest

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]

# Visits x nodes whose transmissions and derivatives are in memory at once (7 arrays of 8 bytes).
_CHUNK = 400_000


@dataclass(frozen=True, eq=False)
class Passband:
    """Integrals of passbands and their derivatives by :data:`drpflow.data.air.PARAMETERS`.

    Parameters
    ----------
    i0
        ∫ S T dλ/λ, dimensionless.
    i10
        ∫ S T (λ - λ_b) dλ/λ over `i0` [nm].
    d_i0, d_i10
        Derivatives, with an axis of length 6 behind those of `i0`.
    """

    i0: Floats
    i10: Floats
    d_i0: Floats
    d_i10: Floats


@dataclass(frozen=True)
class StandardPassband:
    """The passband in which standard magnitudes of a band are: a camera-wide mean, standard air.

    Parameters
    ----------
    i0, i10
        As in :class:`Passband`.
    wavelength_nm
        λ_b = ∫ S T dλ / ∫ S T dλ/λ; by this definition `i10` is zero but for rounding.
    """

    i0: float
    i10: float
    wavelength_nm: float


@component
@dataclass(frozen=True, eq=False)
class FilterTable(StoredComponent):
    """The quadrature of one physical filter.

    Parameters
    ----------
    physical_filter, band
        Names.
    nominal
        Whether the throughput is a guess from the band's name or effective wavelength.
    standard
        The standard passband of the band, which filters of one band share.
    air
        What the air does at the K nodes.
    weights
        w0 and w1 [nm] of each throughput curve, shape (2, C, K).
    curve
        Index of the throughput curve of each detector, shape (D,).
    """

    KIND: ClassVar[str] = "filter_table"
    physical_filter: str
    band: str
    nominal: bool
    standard: StandardPassband
    air: AirAbsorption
    weights: Floats
    curve: NDArray[np.int32]

    def __post_init__(self) -> None:
        weights = frozen_array(self.weights, ndim=3)
        curve = frozen_array(self.curve, np.int32, ndim=1)
        if weights.shape[0] != 2 or weights.shape[2] != len(self.air):
            raise ValueError(
                f"weights must be of shape (2, curves, {len(self.air)}), not {weights.shape}"
            )
        if curve.size == 0 or curve.min() < 0 or curve.max() >= weights.shape[1]:
            raise ValueError("every detector needs a throughput curve that exists")
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "curve", curve)

    def to_record(self) -> Record:
        """Return the stored form."""
        s = self.standard
        meta = {
            "physical_filter": self.physical_filter,
            "band": self.band,
            "nominal": self.nominal,
            "standard": [s.i0, s.i10, s.wavelength_nm],
        }
        arrays = {f.name: getattr(self.air, f.name) for f in fields(self.air)}
        return self._record(meta, arrays | {"weights": self.weights, "curve": self.curve})

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the table of a filter from its stored form."""
        meta, arrays = record.meta, record.arrays
        return cls(
            meta["physical_filter"],
            meta["band"],
            bool(meta["nominal"]),
            StandardPassband(*meta["standard"]),
            AirAbsorption(*(arrays[f.name] for f in fields(AirAbsorption))),
            arrays["weights"],
            arrays["curve"],
        )

    def integrals(self, parameters: tuple[Floats, ...]) -> tuple[Floats, Floats]:
        """Return I0 and I1, and their derivatives, of every curve.

        Parameters
        ----------
        parameters
            The six parameters of the air, each of shape (n,).

        Returns
        -------
        values : ndarray, shape (n, 2, C)
        derivatives : ndarray, shape (n, 6, 2, C)
        """
        depth, slopes = self.air.depth_and_derivatives(*parameters)
        transmission = np.exp(-depth)
        n, (_, n_curves, n_nodes) = depth.shape[0], self.weights.shape
        stacked = np.concatenate([transmission[None], -transmission * slopes])
        flat = stacked.reshape(-1, n_nodes) @ self.weights.reshape(-1, n_nodes).T
        both = flat.reshape(1 + len(PARAMETERS), n, 2, n_curves)
        return both[0], np.moveaxis(both[1:], 0, 1)


@component
@dataclass(frozen=True, eq=False)
class LookUpTable(StoredComponent):
    """Passband integrals of a camera's filters and detectors.

    Parameters
    ----------
    tables
        One for each physical filter whose integrals could be made.
    detectors
        Ids of the detectors, in the order of their indices.
    standard_atmosphere
        The air of the standard passbands; its pressure stands in where a visit's is unknown.
    air
        What the air does from 300 to 1100 nm, for :meth:`atmosphere`.
    """

    KIND: ClassVar[str] = "fgcm_look_up_table"
    tables: tuple[FilterTable, ...]
    detectors: tuple[int, ...]
    standard_atmosphere: AirState
    air: AirAbsorption

    def __post_init__(self) -> None:
        object.__setattr__(self, "tables", tuple(self.tables))
        object.__setattr__(self, "detectors", tuple(int(d) for d in self.detectors))
        if len(set(self.filters)) < len(self.tables):
            raise ValueError(f"a filter stands twice: {self.filters}")
        for table in self.tables:
            if table.curve.size != len(self.detectors):
                raise ValueError(
                    f"filter {table.physical_filter} has curves for {table.curve.size} detectors, "
                    f"the camera {len(self.detectors)}"
                )

    @property
    def filters(self) -> tuple[str, ...]:
        """Names of the physical filters."""
        return tuple(table.physical_filter for table in self.tables)

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands, each once, in the order of the camera file."""
        return tuple(dict.fromkeys(table.band for table in self.tables))

    def table(self, name: str) -> FilterTable:
        """Return the table of a physical filter; of a band's first filter if `name` is a band.

        Raises
        ------
        KeyError
            If there is neither.
        """
        for table in self.tables:
            if table.physical_filter == name:
                return table
        for table in self.tables:
            if table.band == name:
                return table
        hint = suggest(name, self.filters)
        raise KeyError(f"the look-up table has no filter or band {name!r}{hint}")

    def standard(self, name: str) -> StandardPassband:
        """Return the standard passband of a filter's band, or of a band.

        Raises
        ------
        KeyError
            If there is neither.
        """
        return self.table(name).standard

    def effective_wavelength_nm(self, name: str) -> float:
        """Return λ_b of a filter's band, or of a band.

        Raises
        ------
        KeyError
            If there is neither.
        """
        return self.table(name).standard.wavelength_nm

    def evaluate(
        self,
        physical_filter: str,
        detector: ArrayLike | None,
        pwv_mm: ArrayLike,
        ozone_dobson: ArrayLike,
        aerosol_tau: ArrayLike,
        aerosol_alpha: ArrayLike,
        sec_z: ArrayLike,
        pressure_hpa: ArrayLike,
    ) -> Passband:
        """Return the integrals of a filter through any air.

        Parameters
        ----------
        physical_filter
            Name of a physical filter, or of a band, which stands for its first filter.
        detector
            *Indices* (not ids) into `detectors`, which broadcast against the parameters of the
            air; None for all detectors, which then are the last axis of the answer. With None the
            air is evaluated once a visit, not once a visit and detector.
        pwv_mm, ozone_dobson, aerosol_tau, aerosol_alpha, sec_z
            As in :class:`drpflow.data.air.AirState`; arrays that broadcast. PWV, ozone and τ are
            positive.
        pressure_hpa
            NaN, where it is unknown, stands for that of `standard_atmosphere`.

        Returns
        -------
        Passband
            ``i0`` and ``i10`` of the broadcast shape of `detector` and the parameters, or of the
            parameters followed by (D,) if `detector` is None.

        Raises
        ------
        KeyError
            If there is no such filter.
        """
        table = self.table(physical_filter)
        air = (pwv_mm, ozone_dobson, aerosol_tau, aerosol_alpha, sec_z, pressure_hpa)
        given = [np.asarray(p, np.float64) for p in air]
        given[5] = np.where(np.isnan(given[5]), self.standard_atmosphere.pressure_hpa, given[5])
        if detector is None:
            return _all_curves(table, np.broadcast_arrays(*given))
        chosen, *spread = np.broadcast_arrays(np.asarray(detector, np.intp), *given)
        return _all_curves(table, spread, table.curve[chosen.ravel()])

    def atmosphere(self, state: AirState) -> TransmissionCurve:
        """Return the transmission of the air: ``fgcm_transmission_atmosphere`` of a visit."""
        return TransmissionCurve.from_table(
            self.air.wavelength_nm, self.air.transmission(*state.values())
        )

    def to_record(self) -> Record:
        """Return the stored form."""
        entries, arrays = pack((table.physical_filter, table) for table in self.tables)
        meta = {
            "filters": entries,
            "detectors": list(self.detectors),
            "standard_atmosphere": list(self.standard_atmosphere.values()),
        }
        own = {f"air_{f.name}": getattr(self.air, f.name) for f in fields(self.air)}
        return self._record(meta, arrays | own)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the table from its stored form."""
        tables = unpack(record.meta["filters"], record.arrays)
        air = (record.arrays[f"air_{f.name}"] for f in fields(AirAbsorption))
        return cls(
            tuple(table for _, table in tables),
            tuple(record.meta["detectors"]),
            AirState(*record.meta["standard_atmosphere"]),
            AirAbsorption(*air),
        )


def _all_curves(
    table: FilterTable,
    air: list[Floats] | tuple[Floats, ...],
    curve: NDArray[np.int32] | None = None,
) -> Passband:
    """Return the integrals of every detector (last axis), or of one curve for each entry."""
    shape = air[0].shape
    flat = [np.ravel(p) for p in air]
    n = flat[0].size
    last = (table.curve.size,) if curve is None else ()
    i0, i10 = np.empty((n, *last)), np.empty((n, *last))
    d_i0, d_i10 = np.empty((n, *last, 6)), np.empty((n, *last, 6))
    step = max(1, _CHUNK // len(table.air))
    for start in range(0, n, step):
        rows = slice(start, start + step)
        values, slopes = table.integrals(tuple(p[rows] for p in flat))
        if curve is None:
            values, slopes = values[..., table.curve], slopes[..., table.curve]
        else:
            own = curve[rows]
            values = np.take_along_axis(values, own[:, None, None], -1)[..., 0]
            slopes = np.take_along_axis(slopes, own[:, None, None, None], -1)[..., 0]
        i0[rows] = values[:, 0]
        i10[rows] = values[:, 1] / values[:, 0]
        d_i0[rows] = np.moveaxis(slopes[:, :, 0], 1, -1)
        d_i1 = np.moveaxis(slopes[:, :, 1], 1, -1)
        d_i10[rows] = (d_i1 - i10[rows][..., None] * d_i0[rows]) / i0[rows][..., None]
    full = (*shape, *last)
    return Passband(
        i0.reshape(full)[()],
        i10.reshape(full)[()],
        d_i0.reshape(*full, 6),
        d_i10.reshape(*full, 6),
    )
