"""From parameters to what each detector of each visit does to magnitudes, with derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from drpflow.algorithms.fgcm.field import field_terms
from drpflow.algorithms.fgcm.layout import Band, Block, Layout, Night
from drpflow.kernels.fgcm import MAG_PER_LN

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from drpflow.config.fgcm import FgcmConfig
    from drpflow.data.air import AirState
    from drpflow.data.photometric_tables import Detectors, Visits

    Floats: TypeAlias = NDArray[np.float64]

# Air beyond these is no air; they keep a step that overshoots from overflowing.
_LN_PWV = (np.log(0.02), np.log(60.0))
LEAST_TAU = 1e-3
_TAU = (LEAST_TAU, 2.0)
# A τ at its bound, but for the errors of a solution, is not cut off.
_AT_BOUND = 1e-5
_OZONE_DOBSON = (50.0, 700.0)
_ALPHA = (-2.0, 4.0)
# Derivatives of the look-up table by ln PWV, ozone, ln τ, α: its columns and those of a night.
_BY_AIR = ((0, Night.LN_PWV), (1, Night.OZONE), (2, Night.TAU), (3, Night.ALPHA))
_SLOPES = ((Night.LN_PWV, Night.LN_PWV_SLOPE), (Night.TAU, Night.TAU_SLOPE))


class Integrals(Protocol):
    """Integrals of passbands: those of :class:`drpflow.data.look_up_table.Passband`."""

    @property
    def i0(self) -> Floats:
        """∫ S T dλ/λ."""

    @property
    def i10(self) -> Floats:
        """∫ S T (λ - λ_b) dλ/λ over `i0`, nm."""

    @property
    def d_i0(self) -> Floats:
        """Derivatives of `i0`, with an axis of 6 behind its own."""

    @property
    def d_i10(self) -> Floats:
        """Derivatives of `i10`."""


class Standard(Protocol):
    """The standard passband of a band."""

    @property
    def i0(self) -> float:
        """∫ S T dλ/λ."""

    @property
    def i10(self) -> float:
        """∫ S T (λ - λ_b) dλ/λ over `i0`, nm."""

    @property
    def wavelength_nm(self) -> float:
        """λ_b."""


class Table(Protocol):
    """What the fit asks of a look-up table."""

    @property
    def standard_atmosphere(self) -> AirState:
        """The air of the standard passbands."""

    @property
    def detectors(self) -> tuple[int, ...]:
        """Ids of the detectors."""

    def standard(self, name: str) -> Standard:
        """Return the standard passband of a filter."""

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
    ) -> Integrals:
        """Return the integrals of detectors (by row) through air."""


@dataclass(frozen=True, eq=False)
class _Interpolated:
    """Integrals of detectors at their own airmasses."""

    i0: Floats
    i10: Floats
    d_i0: Floats
    d_i10: Floats


@dataclass(frozen=True, eq=False)
class State:
    """The model at some parameters; groups as in :class:`drpflow.algorithms.fgcm.rows.Rows`.

    Parameters
    ----------
    local
        Polynomials over the detectors, (G, K).
    i10
        First moments of the passbands [nm], (G,).
    kappa
        Sensitivity of each band, (B,).
    transfer
        Derivatives of a group's polynomial, i10 and κ by its columns, (G, K + 2, W); of no group if
        they were not asked for.
    """

    local: Floats
    i10: Floats
    kappa: Floats
    transfer: Floats


class Model:
    """The model of a survey.

    Parameters
    ----------
    visits, detectors
        Tables.
    table
        Look-up table; has all the filters and detectors.
    layout
        Places of the parameters.
    config
        Which terms are held.

    Attributes
    ----------
    i10_std, wavelength_nm
        Of the bands, as :func:`band_passbands` returns them.
    """

    def __init__(
        self,
        visits: Visits,
        detectors: Detectors,
        table: Table,
        layout: Layout,
        config: FgcmConfig,
    ) -> None:
        self.visits, self.detectors, self.table = visits, detectors, table
        self.layout, self.config = layout, config
        self.starts = layout.starts(visits.band)
        _, self.gray_maps = field_terms(detectors, layout.gray_order)
        self.seeing = _seeing_terms(visits)
        self.phase = _phase(visits, layout)
        self.standard = [table.standard(name) for name in visits.physical_filters]
        self.i10_std, self.wavelength_nm = band_passbands(visits, table)
        self._rows = _table_rows(table, detectors)

    @property
    def light(self) -> Floats:
        """2.5 log10 of I0 of the standard passband of each block of throughput, (E,)."""
        filters = self.layout.throughputs[:, 0]
        return np.array([MAG_PER_LN * np.log(self.standard[f].i0) for f in filters])

    def at(self, parameters: Floats, *, derivatives: bool = True) -> State:
        """Return the model at some parameters, with derivatives (2 kB an image) or without."""
        lay = self.layout
        v, d, k = lay.n_visits, lay.n_detectors, lay.n_local
        n_regions, columns = len(lay.regions), int(lay.offset[-1])
        local = np.zeros((v * d + n_regions, k))
        i10 = np.empty(v * d + n_regions)
        transfer = np.zeros((local.shape[0] if derivatives else 0, k + 2, columns))
        of_images = transfer[: v * d].reshape(v if derivatives else 0, d, k + 2, columns)
        image_local, image_i10 = local[: v * d].reshape(v, d, k), i10[: v * d].reshape(v, d)
        self._air(parameters, image_local, image_i10, of_images)
        self._gray(parameters, image_local)
        flat = lay.block(Block.FLAT, parameters)[self._flat_rows()]
        image_local += flat[..., :k]
        image_i10 += flat[..., k]
        self._references(parameters, local[v * d :], i10[v * d :])
        if derivatives:
            self._linear_derivatives(of_images)
            transfer[v * d :, 0, lay.offset[Block.REGION : -1]] = 1.0
            color_term = lay.offset[Block.BAND] + Band.REFERENCE_COLOR
            transfer[v * d :, 1, color_term] = 1 / np.sqrt(3.0)
        kappa = lay.block(Block.BAND, parameters)[:, Band.SENSITIVITY]
        return State(local, i10, kappa, transfer)

    def _flat_rows(self) -> NDArray[np.intp]:
        """Return the block of the star flat of each visit and detector, (V, D)."""
        d = self.layout.n_detectors
        return np.asarray(self.layout.filter_epoch)[:, None] * d + np.arange(d)

    def air_of_visits(self, parameters: Floats) -> dict[str, Floats]:
        """Return the air of each visit, (V,) each, by the names of the look-up table."""
        night = self.layout.block(Block.NIGHT, parameters)[self.layout.night].T
        hour = self.visits.hour
        ln_pwv = night[Night.LN_PWV] + night[Night.LN_PWV_SLOPE] * hour
        pressure = self.visits.pressure_hpa
        return {
            "pwv_mm": np.exp(np.clip(ln_pwv, *_LN_PWV)),
            "ozone_dobson": np.clip(night[Night.OZONE], *_OZONE_DOBSON),
            "aerosol_tau": np.clip(self._tau(parameters), *_TAU),
            "aerosol_alpha": np.clip(night[Night.ALPHA], *_ALPHA),
            "sec_z": self.visits.airmass,
            "pressure_hpa": np.where(
                np.isfinite(pressure), pressure, self.table.standard_atmosphere.pressure_hpa
            ),
        }

    def _tau(self, parameters: Floats) -> Floats:
        """Return the aerosols of each visit as the parameters have it, (V,): also no real ones."""
        night = self.layout.block(Block.NIGHT, parameters)[self.layout.night]
        return np.asarray(night[:, Night.TAU] + night[:, Night.TAU_SLOPE] * self.visits.hour)

    def _air(self, parameters: Floats, local: Floats, i10: Floats, transfer: Floats) -> None:
        """Fill in what air and passbands do, and its derivatives if there is room for them."""
        air = self.air_of_visits(parameters)
        tau, k = air["aerosol_tau"], self.layout.n_local
        cut = self._tau(parameters) < LEAST_TAU - _AT_BOUND
        for index, name in enumerate(self.visits.physical_filters):
            rows = np.flatnonzero(self.visits.physical_filter == index)
            if rows.size == 0:
                continue
            found = self._integrals(name, {key: value[rows] for key, value in air.items()}, rows)
            local[rows, :, 0] += MAG_PER_LN * np.log(found.i0 / self.standard[index].i0)
            i10[rows] = found.i10
            if not (len(transfer) and self.config.air.free):
                continue
            by_light = MAG_PER_LN * found.d_i0 / found.i0[..., None]
            for of_table, of_night in _BY_AIR:
                # τ enters nearly linearly, ln τ does not; one that is cut off does not enter.
                unit = np.where(cut, np.inf, tau)[rows, None] if of_night == Night.TAU else 1.0
                transfer[rows, :, 0, of_night] = by_light[..., of_table] / unit
                transfer[rows, :, k, of_night] = found.d_i10[..., of_table] / unit
        hour = self.visits.hour[: len(transfer), None, None]
        for constant, slope in _SLOPES:
            transfer[:, :, :, slope] = transfer[:, :, :, constant] * hour

    def _integrals(self, name: str, air: dict[str, Floats], rows: NDArray[np.intp]) -> Integrals:
        """Return integrals of some visits, of one filter, on all detectors, (v, D, ...)."""
        columns = {key: value[:, None] for key, value in air.items()}
        by_detector = self.visits.detector_airmass
        if by_detector is None:
            found = self.table.evaluate(name, None, **air)
            picked = self._rows
            return _Interpolated(
                found.i0[:, picked],
                found.i10[:, picked],
                found.d_i0[:, picked],
                found.d_i10[:, picked],
            )
        nodes, weight = _airmass_nodes(by_detector[rows])
        columns["sec_z"] = nodes
        found = self.table.evaluate(name, None, **columns)
        return _Interpolated(
            *(
                np.einsum("vdn,vnd...->vd...", weight, values[:, :, self._rows])
                for values in (found.i0, found.i10, found.d_i0, found.d_i10)
            )
        )

    def _gray(self, parameters: Floats, local: Floats) -> None:
        """Fill in what has no colour: throughput, seeing, clouds."""
        lay = self.layout
        through = lay.block(Block.THROUGHPUT, parameters)[lay.filter_epoch]
        band = lay.block(Block.BAND, parameters)[self.visits.band]
        night = lay.block(Block.NIGHT, parameters)[lay.night, Night.GRAY]
        night = night + lay.block(Block.NIGHT_FILTER, parameters)[lay.night_filter, 0]
        constant = night + through[:, 0] + through[:, 1] * self.phase
        constant = constant + band[:, 0] * self.seeing[0] + band[:, 1] * self.seeing[1]
        local[:, :, 0] += constant[:, None]
        gray = lay.block(Block.GRAY, parameters)
        local[:, :, : gray.shape[1]] += np.einsum("dkt,vt->vdk", self.gray_maps, gray)

    def _linear_derivatives(self, transfer: Floats) -> None:
        """Fill in the derivatives of all that is linear: throughput, seeing, clouds, star flat."""
        off, k = self.layout.offset, self.layout.n_local
        transfer[:, :, 0, off[Block.NIGHT] + Night.GRAY] = 1.0
        transfer[:, :, 0, off[Block.NIGHT_FILTER]] = 1.0
        transfer[:, :, 0, off[Block.THROUGHPUT]] = 1.0
        transfer[:, :, 0, off[Block.THROUGHPUT] + 1] = self.phase[:, None]
        begin = off[Block.BAND]
        transfer[:, :, 0, begin + Band.SEEING] = self.seeing[0][:, None]
        transfer[:, :, 0, begin + Band.SEEING_SQUARE] = self.seeing[1][:, None]
        if self.config.instrument.sensitivity_sigma > 0:
            transfer[:, :, k + 1, begin + Band.SENSITIVITY] = 1.0
        begin, terms = off[Block.GRAY], self.gray_maps.shape[1]
        transfer[:, :, :terms, begin : begin + terms] = self.gray_maps
        begin = off[Block.FLAT]
        transfer[:, :, np.arange(k), begin + np.arange(k)] = 1.0
        if self.config.instrument.passband_nm > 0:
            transfer[:, :, k, begin + k] = 1.0

    def _references(self, parameters: Floats, local: Floats, i10: Floats) -> None:
        """Fill in the groups of the reference magnitudes, one a region and band."""
        lay = self.layout
        of = lay.regions.band
        band = lay.block(Block.BAND, parameters)[of]
        wide = lay.block(Block.WIDE_REGION, parameters)[lay.regions.wide, 0]
        local[:, 0] = lay.block(Block.REGION, parameters)[:, 0] + wide
        # P_1 = √3 u, with the colour in the place of u.
        local[:, 1] = band[:, Band.REFERENCE_COLOR] / np.sqrt(3.0)
        i10[:] = self.i10_std[of]


def band_passbands(visits: Visits, table: Table) -> tuple[Floats, Floats]:
    """Return what is asked of the standard passbands of the bands.

    Returns
    -------
    i10 : ndarray, shape (B,)
        First moments [nm]; 0 for a band without visits.
    wavelength_nm : ndarray, shape (B,)
        Effective wavelengths; NaN for a band without visits.
    """
    i10, wavelength_nm = np.zeros(len(visits.bands)), np.full(len(visits.bands), np.nan)
    for index, name in enumerate(visits.physical_filters):
        bands = np.unique(visits.band[visits.physical_filter == index])
        passband = table.standard(name)
        i10[bands], wavelength_nm[bands] = passband.i10, passband.wavelength_nm
    return i10, wavelength_nm


def _table_rows(table: Table, detectors: Detectors) -> NDArray[np.intp]:
    """Return the row of each detector in the look-up table."""
    known = {int(number): row for row, number in enumerate(table.detectors)}
    missing = [int(i) for i in detectors.id if int(i) not in known]
    if missing:
        raise ValueError(f"the look-up table has no detectors {missing}")
    return np.array([known[int(i)] for i in detectors.id], np.intp)


def _seeing_terms(visits: Visits) -> tuple[Floats, Floats]:
    """Return ln FWHM less its median and the square of that less its mean, 0 where unknown."""
    known = np.isfinite(visits.fwhm_arcsec) & (visits.fwhm_arcsec > 0)
    linear = np.zeros(len(visits))
    if not known.any():
        return linear, linear.copy()
    ln = np.log(visits.fwhm_arcsec[known])
    linear[known] = ln - np.median(ln)
    square = np.zeros(len(visits))
    square[known] = linear[known] ** 2 - np.mean(linear[known] ** 2)
    return linear, square


def _phase(visits: Visits, layout: Layout) -> Floats:
    """Return the time from -1 to 1 over the visits of each filter and epoch, (V,)."""
    phase = np.zeros(len(visits))
    for block in range(len(layout.throughputs)):
        rows = np.flatnonzero(layout.filter_epoch == block)
        begin, end = visits.mjd[rows].min(), visits.mjd[rows].max()
        if end > begin:
            phase[rows] = (2 * visits.mjd[rows] - begin - end) / (end - begin)
    return phase


def _airmass_nodes(airmass: Floats) -> tuple[Floats, Floats]:
    """Return three airmasses for each visit and the weights of a parabola through them.

    The air is evaluated three times a visit and not for each detector; over a field of 2 degrees at
    airmass 2 the parabola is good to 1e-6 mag, and its derivatives are those of what it gives.

    Parameters
    ----------
    airmass
        Shape (V, D).

    Returns
    -------
    nodes : ndarray, shape (V, 3)
    weights : ndarray, shape (V, D, 3)
    """
    low, high = airmass.min(axis=1), airmass.max(axis=1)
    high = np.maximum(high, low + 1e-3)
    middle = (low + high) / 2
    t = ((airmass - middle[:, None]) / (high - middle)[:, None])[..., None]
    weights = np.concatenate([t * (t - 1) / 2, 1 - t * t, t * (t + 1) / 2], axis=-1)
    return np.stack([low, middle, high], axis=1), weights
