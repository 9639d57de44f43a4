"""Which parameter of the model stands where, and what is expected of it.

Parameters come in blocks of neighbours; the model of a detector in a visit depends on one block of
each kind, which keeps both the derivatives and the assembly of the normal matrix short.

=============== =========== ==================================================================
block           for each    parameters
=============== =========== ==================================================================
night           night       ln PWV, its slope, ozone, τ, its slope, α, gray of the night
throughput      filter and  constant, drift from -1 to 1 over the epoch
                epoch
night_filter    filter and  gray of the night in this filter
                night
band            band        two terms of ln FWHM, sensitivity κ, colour term of references
gray            visit       orthonormal polynomial over the field
flat            filter,     Legendre polynomial over the detector, shift of the passband [nm]
                epoch, det.
region, wide    band and    offset that the reference stars there share, on two scales
region          region
=============== =========== ==================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.config.fgcm import FgcmConfig
    from drpflow.data.air import AirState
    from drpflow.data.photometric_tables import Detectors, Visits

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int32]

_THROUGHPUT_SIGMA_MAG = 1.0


class Block(IntEnum):
    """Kinds of blocks, in the order of the columns of a group."""

    NIGHT = 0
    THROUGHPUT = 1
    NIGHT_FILTER = 2
    BAND = 3
    GRAY = 4
    FLAT = 5
    REGION = 6
    WIDE_REGION = 7


class Night(IntEnum):
    """Columns of a night's block."""

    LN_PWV = 0
    LN_PWV_SLOPE = 1
    OZONE = 2
    TAU = 3
    TAU_SLOPE = 4
    ALPHA = 5
    GRAY = 6


class Band(IntEnum):
    """Columns of a band's block."""

    SEEING = 0
    SEEING_SQUARE = 1
    SENSITIVITY = 2
    REFERENCE_COLOR = 3


def n_terms(order: int) -> int:
    """Return the number of terms of a polynomial in two variables."""
    return (order + 1) * (order + 2) // 2


def degrees(order: int) -> Ints:
    """Return the total degree of each term, shape (n_terms,)."""
    return np.repeat(np.arange(order + 1), np.arange(1, order + 2)).astype(np.int32)


@dataclass(frozen=True, eq=False)
class Regions:
    """Parts of the sky in which reference stars share errors, each band its own.

    Parameters
    ----------
    band
        Of each region, (R,).
    wide
        Wide region that each is a part of, (R,).
    """

    band: Ints
    wide: Ints

    def __len__(self) -> int:
        return self.band.size

    @property
    def n_wide(self) -> int:
        """Number of wide regions."""
        return int(self.wide.max(initial=-1)) + 1


NO_REGIONS = Regions(np.zeros(0, np.int32), np.zeros(0, np.int32))


@dataclass(frozen=True, eq=False)
class Layout:
    """Places of the parameters.

    Parameters
    ----------
    nights
        The night of each night's block, as the visits count it.
    night, epoch
        Of each visit, (V,): row of `nights`, epoch.
    filter_epoch, night_filter
        Block of each visit, (V,).
    throughputs
        Filter and epoch of each block of throughput, (E, 2).
    n_night_filters, n_bands, n_visits, n_detectors
        Numbers of blocks.
    gray_order, flat_order
        Orders of the polynomials.
    regions
        Regions of reference stars.
    """

    nights: Ints
    night: Ints
    epoch: Ints
    filter_epoch: Ints
    night_filter: Ints
    throughputs: Ints
    n_night_filters: int
    n_bands: int
    n_visits: int
    n_detectors: int
    gray_order: int
    flat_order: int
    regions: Regions

    @classmethod
    def of(
        cls,
        visits: Visits,
        detectors: Detectors,
        config: FgcmConfig,
        regions: Regions = NO_REGIONS,
    ) -> Layout:
        """Return the layout for these visits, with a gray order that keeps the fit small."""
        nights, night = np.unique(visits.night, return_inverse=True)
        epoch = np.searchsorted(config.instrument.epochs_mjd, visits.mjd, side="right")
        n_filters = len(visits.physical_filters)
        code = epoch * n_filters + visits.physical_filter
        codes, filter_epoch = np.unique(code, return_inverse=True)
        pairs, night_filter = np.unique(
            night * n_filters + visits.physical_filter, return_inverse=True
        )
        throughputs = np.stack([codes % n_filters, codes // n_filters], axis=1)

        def at(order: int) -> Layout:
            """Return the layout with gray of this order."""
            return cls(
                nights.astype(np.int32),
                night.astype(np.int32),
                epoch.astype(np.int32),
                filter_epoch.astype(np.int32),
                night_filter.astype(np.int32),
                throughputs.astype(np.int32),
                pairs.size,
                len(visits.bands),
                len(visits),
                len(detectors),
                order,
                config.instrument.flat_order,
                regions,
            )

        order = min(config.gray.order, config.instrument.flat_order)
        while order > 0 and at(order).size > config.gray.max_parameters:
            order -= 1
        return at(order)

    @property
    def widths(self) -> tuple[int, ...]:
        """Columns of each kind of block."""
        polynomials = n_terms(self.gray_order), n_terms(self.flat_order) + 1
        return (len(Night), 2, 1, len(Band), *polynomials, 1, 1)

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of blocks of each kind."""
        n_epochs = len(self.throughputs)
        return (
            self.nights.size,
            n_epochs,
            self.n_night_filters,
            self.n_bands,
            self.n_visits,
            n_epochs * self.n_detectors,
            len(self.regions),
            self.regions.n_wide,
        )

    @property
    def begins(self) -> Ints:
        """First parameter of each kind and the number of all, (9,)."""
        sizes = [c * w for c, w in zip(self.counts, self.widths, strict=True)]
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)

    @property
    def size(self) -> int:
        """Number of parameters."""
        return int(self.begins[-1])

    @property
    def offset(self) -> Ints:
        """First column of each kind among those of a group, and their number, (9,)."""
        return np.concatenate([[0], np.cumsum(self.widths)]).astype(np.int32)

    @property
    def n_local(self) -> int:
        """Terms of a group's polynomial."""
        return n_terms(self.flat_order)

    def block(self, kind: Block, values: NDArray[Any]) -> NDArray[Any]:
        """Return a view of the parameters of one kind, shape (blocks, width)."""
        begin, end = self.begins[kind], self.begins[kind + 1]
        return values[begin:end].reshape(self.counts[kind], self.widths[kind])

    def starts(self, visit_band: NDArray[np.int16]) -> Ints:
        """Return the first parameter of each group's blocks, -1 where it has none.

        Groups of references, a region each after the V D others, have those of band and regions.

        Returns
        -------
        ndarray, shape (V D + R, 8)
        """
        v, d = self.n_visits, self.n_detectors
        blocks = np.empty((v, d, int(Block.REGION)), np.int64)
        by_visit = (
            self.night,
            self.filter_epoch,
            self.night_filter,
            visit_band,
            np.arange(v),
            self.filter_epoch * d,
        )
        for kind, block in enumerate(by_visit):
            blocks[:, :, kind] = np.asarray(block)[:, None]
        blocks[:, :, Block.FLAT] += np.arange(d)
        n_regions = len(self.regions)
        starts = np.full((v * d + n_regions, len(Block)), -1)
        places = self.begins[: Block.REGION] + blocks * np.array(self.widths[: Block.REGION])
        starts[: v * d, : Block.REGION] = places.reshape(v * d, -1)
        starts[v * d :, Block.BAND] = self.begins[Block.BAND] + self.regions.band * len(Band)
        starts[v * d :, Block.REGION] = self.begins[Block.REGION] + np.arange(n_regions)
        starts[v * d :, Block.WIDE_REGION] = self.begins[Block.WIDE_REGION] + self.regions.wide
        return starts.astype(np.int32)


@dataclass(frozen=True, eq=False)
class Prior:
    """Independent Gaussians: means and precisions (inverse variances) of the parameters, (n,)."""

    mean: Floats
    precision: Floats

    def value(self, parameters: Floats) -> float:
        """Return what the prior adds to χ²."""
        return float(self.precision @ (parameters - self.mean) ** 2)


def first_prior(layout: Layout, air: AirState, config: FgcmConfig) -> Prior:
    """Return what is expected before any data are seen; the gray's is that of clear visits."""
    mean, sigma = np.zeros(layout.size), np.ones(layout.size)
    a, i, g = config.air, config.instrument, config.gray
    night_mean = [np.log(air.pwv_mm), 0, air.ozone_dobson, air.aerosol_tau, 0]
    layout.block(Block.NIGHT, mean)[:] = [*night_mean, air.aerosol_alpha, 0]
    layout.block(Block.NIGHT, sigma)[:] = [
        a.ln_pwv_sigma,
        a.ln_pwv_slope_sigma,
        a.ozone_sigma_dobson,
        a.tau_sigma,
        a.tau_slope_sigma,
        a.alpha_sigma,
        a.night_gray_mag,
    ]
    layout.block(Block.THROUGHPUT, sigma)[:] = _THROUGHPUT_SIGMA_MAG, i.drift_mag
    layout.block(Block.NIGHT_FILTER, sigma)[:] = a.night_filter_mag
    layout.block(Block.BAND, mean)[:, Band.SENSITIVITY] = 1.0
    layout.block(Block.BAND, sigma)[:] = [
        max(i.seeing_mag, 1e-6),
        max(i.seeing_mag, 1e-6),
        max(i.sensitivity_sigma, 1e-6),
        max(config.reference.color_term_sigma, 1e-6),
    ]
    gray = np.where(degrees(layout.gray_order) == 0, g.clear_mag, g.clear_slope_mag)
    layout.block(Block.GRAY, sigma)[:] = gray
    inside = np.where(degrees(layout.flat_order) == 0, i.flat_offset_mag, i.flat_mag)
    layout.block(Block.FLAT, sigma)[:] = [*inside, max(i.passband_nm, 1e-6)]
    for kind in (Block.REGION, Block.WIDE_REGION):
        layout.block(kind, sigma)[:] = max(config.reference.systematic_mag / np.sqrt(2.0), 1e-6)
    return Prior(mean, sigma**-2.0)
