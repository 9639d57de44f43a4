"""A small survey of photometry that follows the model, with noise, clouds, outliers."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from drpflow.algorithms.fgcm.layout import Block, Layout, Night, first_prior
from drpflow.algorithms.fgcm.model import Model
from drpflow.algorithms.fgcm.result import chromatic
from drpflow.config.fgcm import FgcmConfig
from drpflow.data.air import AirState
from drpflow.data.photometric_tables import Detectors, Observations, Stars, Visits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BANDS = ("g", "r", "i")
_EDGES_NM = {"g": (400.0, 550.0), "r": (550.0, 690.0), "i": (690.0, 820.0)}
SENSITIVITY = {"g": 1.5, "r": 0.9, "i": 1.1}
_LN_PER_MAG = 0.4 * np.log(10.0)


class StandInTable:
    """Passband integrals of box filters through a made-up air; each detector is tilted."""

    def __init__(self, n_detectors: int, tilt: float = 0.02) -> None:
        self.detectors = tuple(range(10, 10 + n_detectors))
        self.standard_atmosphere = AirState(pressure_hpa=750.0)
        self._tilt = tilt * np.linspace(-1, 1, n_detectors)
        self._nodes = {b: np.linspace(*_EDGES_NM[b], 24) for b in BANDS}
        self._middle = dict.fromkeys(BANDS, 0.0)
        for band in BANDS:
            found = self.evaluate(band, None, *self.standard_atmosphere.values())
            self._middle[band] = float(found.i10.mean())

    def standard(self, name: str) -> SimpleNamespace:
        found = self.evaluate(name, None, *self.standard_atmosphere.values())
        return SimpleNamespace(i0=float(found.i0.mean()), i10=0.0, wavelength_nm=self._middle[name])

    def evaluate(
        self, name, detector, pwv_mm, ozone_dobson, aerosol_tau, aerosol_alpha, sec_z, pressure_hpa
    ):
        if detector is not None:
            raise NotImplementedError
        given = (pwv_mm, ozone_dobson, aerosol_tau, aerosol_alpha, sec_z, pressure_hpa)
        p, o, t, a, x, h = (
            np.asarray(c, np.float64)[..., None] for c in np.broadcast_arrays(*given)
        )
        nm = self._nodes[name]
        water = 0.01 * np.exp(-0.5 * ((nm - 720) / 12) ** 2) + 0.004 * (nm > 780)
        ozone = 1e-4 * np.exp(-0.5 * ((nm - 600) / 50) ** 2)
        aerosol = t * (nm / 775) ** -a
        rayleigh = 0.0089 * (nm / 1000) ** -4.1 * h / 1013
        root = water * np.sqrt(p * x)
        depth = root + x * (ozone * o + aerosol + rayleigh)
        slopes = np.stack(
            [
                root / 2,
                x * ozone,
                x * aerosol,
                -x * aerosol * np.log(nm / 775),
                root / (2 * x) + ozone * o + aerosol + rayleigh,
                x * rayleigh / h,
            ],
            axis=-2,
        )
        light = np.exp(-depth)
        middle = self._middle[name]
        center = (nm - nm.mean()) / (nm[-1] - nm[0]) * 2
        curve = (0.5 * (1 + self._tilt[:, None] * center)) / nm * (nm[1] - nm[0])
        first = curve * (nm - middle)
        i0, i1 = light @ curve.T, light @ first.T
        passed = -(light[..., None, :] * slopes)
        d0, d1 = (np.moveaxis(passed @ c.T, -2, -1) for c in (curve, first))
        i10 = i1 / i0
        d10 = (d1 - i10[..., None] * d0) / i0[..., None]
        return SimpleNamespace(i0=i0, i10=i10, d_i0=d0, d_i10=d10)


@dataclass(frozen=True)
class MadeUpSurvey:
    """Tables and truth."""

    observations: Observations
    visits: Visits
    detectors: Detectors
    stars: Stars
    table: StandInTable
    config: FgcmConfig
    parameters: Floats
    true_mag: Floats
    correction: Floats
    cloudy: NDArray[np.bool_]
    variable: NDArray[np.bool_]

    @property
    def tables(self):
        return self.observations, self.visits, self.detectors, self.stars, self.table


def detector_grid(columns: int, rows: int, side_deg: float = 0.2) -> Detectors:
    x, y = (a.ravel() for a in np.meshgrid(np.arange(columns), np.arange(rows)))
    matrix = np.tile(np.eye(2) * side_deg / 2, (x.size, 1, 1))
    return Detectors(
        np.arange(10, 10 + x.size),
        (x - (columns - 1) / 2) * side_deg * 1.05,
        (y - (rows - 1) / 2) * side_deg * 1.05,
        matrix,
    )


def made_up_survey(
    seed: int = 1,
    *,
    columns: int = 2,
    rows: int = 2,
    nights: int = 4,
    per_night: int = 9,
    stars_per_detector: int = 60,
    cloudy_fraction: float = 0.15,
    outliers: float = 0.02,
    noise_floor: float = 0.001,
    bands: tuple[str, ...] = BANDS,
    config: FgcmConfig | None = None,
    references: bool = True,
) -> MadeUpSurvey:
    """Draw a survey of one field, dithered and turned."""
    rng = np.random.default_rng([seed, 77])
    config = config or FgcmConfig()
    detectors = detector_grid(columns, rows)
    visits = _visits(rng, nights, per_night, bands)
    cloudy = rng.uniform(size=len(visits)) < cloudy_fraction
    table = StandInTable(len(detectors))
    stars, true_mag, slope, variable = _stars(
        rng, visits, detectors, table, stars_per_detector, references
    )
    layout = Layout.of(visits, detectors, config)
    model = Model(visits, detectors, table, layout, config)
    parameters = _parameters(rng, layout, config, table, cloudy)
    state = model.at(parameters)
    star, visit, detector, u, v = _seen(rng, visits, detectors, stars)
    group, band = visit * len(detectors) + detector, visits.band[visit]
    terms = _terms(u, v)
    correction = np.einsum("nk,nk->n", state.local[group][:, : terms.shape[1]], terms)
    correction += chromatic(slope[star, band], state.i10[group], 0.0)
    mag = true_mag[star, band] - correction
    err = 0.002 * 10 ** (0.3 * np.clip(true_mag[star, band] - 16.0, 0, 6))
    measured, err = _noisy(rng, mag, err)
    measured += noise_floor * rng.normal(size=mag.size)
    measured += np.where(variable[star], 0.1 * np.sin(40 * visits.mjd[visit] + star), 0.0)
    spoilt = rng.uniform(size=mag.size) < outliers
    measured += np.where(spoilt, rng.normal(0, 0.1, mag.size), 0.0)
    observations = Observations(star, visit, detector, measured, err, u, v)
    return MadeUpSurvey(
        observations,
        visits,
        detectors,
        stars,
        table,
        config,
        parameters,
        true_mag,
        correction,
        cloudy,
        variable,
    )


def _noisy(rng, mag: Floats, err: Floats) -> tuple[Floats, Floats]:
    """Return magnitudes and errors of fluxes with the noise of a background."""
    flux = 1 + err * _LN_PER_MAG * rng.normal(size=mag.size)
    with np.errstate(invalid="ignore"):
        return mag - 2.5 * np.log10(flux), err / flux


def _visits(rng, nights: int, per_night: int, bands: tuple[str, ...]) -> Visits:
    n = nights * per_night
    night = np.repeat(np.arange(nights), per_night)
    hour = np.tile(np.linspace(-3, 3, per_night), nights)
    return Visits(
        bands=bands,
        id=np.arange(n) + 500,
        night=night + 20250101,
        mjd=60000.0 + night + hour / 24,
        band=np.arange(n) % len(bands),
        airmass=1.05 + 0.09 * hour**2 * rng.uniform(0.7, 1.3, n),
        exposure_time_s=np.full(n, 30.0),
        ra_deg=50.0 + rng.uniform(-0.15, 0.15, n),
        dec_deg=rng.uniform(-0.15, 0.15, n),
        fwhm_arcsec=rng.uniform(0.7, 1.3, n),
        pressure_hpa=np.full(n, 745.0),
        hour=hour,
    )


def _stars(
    rng,
    visits: Visits,
    detectors: Detectors,
    table: StandInTable,
    per_detector: int,
    references: bool,
):
    """Draw stars whose spectra bend, with the slopes inside the bands."""
    half = detectors.radius_deg + 0.15
    area = float(4 * np.abs(np.linalg.det(detectors.matrix)).mean())
    n = int(per_detector * (2 * half) ** 2 / area)
    ra, dec = 50 + rng.uniform(-half, half, n), rng.uniform(-half, half, n)
    base, color = rng.uniform(15.0, 19.5, n), rng.uniform(-0.3, 0.8, n)
    # The redder color is half the bluer one.
    mags = {"g": base + color, "r": base, "i": base - 0.5 * color}
    true = np.stack([mags[b] for b in visits.bands], axis=1)
    slope = _slopes(mags, visits.bands, {b: table.standard(b).wavelength_nm for b in BANDS})
    variable = rng.uniform(size=n) < 0.03
    reserved = rng.uniform(size=n) < 0.1
    mag = err = None
    if references:
        err = np.full(true.shape, 0.01)
        mag = true + err * rng.normal(size=true.shape)
        hidden = (rng.uniform(size=n) > 0.4) | (base > 18)
        mag[hidden], err[hidden] = np.nan, np.nan
    return Stars(np.arange(n) + 9000, ra, dec, reserved, mag, err), true, slope, variable


def _slopes(mags, bands: tuple[str, ...], nm: dict[str, float]) -> Floats:
    """Return the slopes of the spectra, written out for g, r, i."""
    blue = _LN_PER_MAG * (mags["g"] - mags["r"]) / (nm["r"] - nm["g"])
    red = _LN_PER_MAG * (mags["r"] - mags["i"]) / (nm["i"] - nm["r"])
    slopes = {"g": blue, "r": (blue + red) / 2, "i": red}
    return np.stack([SENSITIVITY[b] * slopes[b] for b in bands], axis=1)


def _parameters(rng, layout: Layout, config: FgcmConfig, table: StandInTable, cloudy) -> Floats:
    prior = first_prior(layout, table.standard_atmosphere, config)
    truth = prior.mean.copy()
    night = layout.block(Block.NIGHT, truth)
    night[:, Night.LN_PWV] += rng.normal(0, 0.4, len(night))
    night[:, Night.TAU] = rng.uniform(0.01, 0.09, len(night))
    night[:, Night.ALPHA] += rng.normal(0, 0.3, len(night))
    through = layout.block(Block.THROUGHPUT, truth)
    through[:, 0] = 25.0 + rng.uniform(0, 1, len(through))
    through[:, 1] = rng.normal(0, 0.003, len(through))
    gray = layout.block(Block.GRAY, truth)
    gray[:] = 0
    gray[:, 0] = rng.normal(0, 0.001, len(gray))
    n = int(cloudy.sum())
    gray[cloudy, 0] -= rng.uniform(0.03, 0.4, n)
    gray[cloudy, 1:3] = -0.1 * gray[cloudy, :1] * rng.normal(size=(n, 2))
    flat = layout.block(Block.FLAT, truth)
    flat[:, 0] = rng.normal(0, 0.01, len(flat))
    flat[:, 1:-1] = rng.normal(0, 0.003, flat[:, 1:-1].shape)
    return truth


def _seen(rng, visits: Visits, detectors: Detectors, stars: Stars):
    parts = []
    for visit in range(len(visits)):
        turn = np.deg2rad(45.0 * (visit % 4))
        dx, dy = stars.ra - visits.ra_deg[visit], stars.dec - visits.dec_deg[visit]
        x, y = dx * np.cos(turn) + dy * np.sin(turn), -dx * np.sin(turn) + dy * np.cos(turn)
        for d in range(len(detectors)):
            half = detectors.matrix[d, 0, 0]
            u, v = (x - detectors.x_deg[d]) / half, (y - detectors.y_deg[d]) / half
            rows = np.flatnonzero((np.abs(u) < 1) & (np.abs(v) < 1))
            parts.append((rows, np.full(rows.size, visit), np.full(rows.size, d), u[rows], v[rows]))
    star, visit, detector, u, v = (np.concatenate(c) for c in zip(*parts, strict=True))
    order = rng.permutation(star.size)
    return star[order], visit[order], detector[order], u[order], v[order]


def _terms(u: Floats, v: Floats) -> Floats:
    """√(2i+1) P_i(u) √(2j+1) P_j(v) to degree 2, written out."""
    return np.stack(
        [
            np.ones_like(u),
            np.sqrt(3) * u,
            np.sqrt(3) * v,
            np.sqrt(5) / 2 * (3 * u**2 - 1),
            3 * u * v,
            np.sqrt(5) / 2 * (3 * v**2 - 1),
        ],
        axis=1,
    )
