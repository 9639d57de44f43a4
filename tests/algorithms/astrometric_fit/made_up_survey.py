"""A small made-up survey: catalogues whose maps, motions and errors are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.data.astrometric_tables import (
    Detectors,
    Observations,
    ReferenceAstrometry,
    Stars,
    Visits,
)
from drpflow.data.plane_maps import AffineMap, PolynomialMap, RadialMap
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.tan_projection import TanProjection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MAS_PER_DEG = 3.6e6
PIXEL_MAS = 260.0
MM_PER_PIX = 0.015


@dataclass(frozen=True)
class Recipe:
    """What is made up."""

    visits: int = 12
    grid: tuple[int, int] = (2, 2)
    size_pix: tuple[int, int] = (1000, 1000)
    stars_per_detector: int = 60
    dither_detectors: float = 0.7
    distortion_mas: float = 100.0
    visit_mas: float = 50.0
    start_mas: float = 50.0
    turbulence_mas: float = 5.0
    outliers: float = 0.05
    outlier_mas: float = 1000.0
    references: float = 0.3
    reference_mas: float = 0.5
    reserved: float = 0.1
    years: float = 3.0
    pm_mas_yr: float = 8.0
    parallax_mas: float = 1.0
    dcr_mas: float = 15.0
    rotations_deg: tuple[float, ...] = (0.0, 90.0, 180.0)
    ra_deg: float = 359.9
    dec_deg: float = -35.0
    seed: int = 1


@dataclass(frozen=True, eq=False)
class Truth:
    """What the fit shall find."""

    wcs: dict[tuple[int, int], SkyWcs]
    ra_deg: Floats
    dec_deg: Floats
    pm: Floats
    parallax: Floats
    dcr: Floats
    outlier: NDArray[np.bool_]
    mjd: float


@dataclass(frozen=True, eq=False)
class Survey:
    """Tables and truth."""

    observations: Observations
    visits: Visits
    detectors: Detectors
    stars: Stars
    truth: Truth


def make_survey(recipe: Recipe) -> Survey:
    """Make a survey up."""
    rng = np.random.default_rng(recipe.seed)
    detectors = _detectors(recipe)
    mjd = np.sort(60000 + rng.uniform(0, recipe.years * 365.25, recipe.visits))
    span = recipe.size_pix[0] * recipe.grid[0] * PIXEL_MAS / MAS_PER_DEG
    shift = recipe.dither_detectors * recipe.size_pix[0] * PIXEL_MAS / MAS_PER_DEG
    xi, eta = rng.uniform(-shift, shift, (2, recipe.visits))
    field = TanProjection(recipe.ra_deg, recipe.dec_deg)
    ra, dec = field.to_sky(xi, eta)
    angle = np.resize(recipe.rotations_deg, recipe.visits) + rng.normal(0, 0.3, recipe.visits)
    exact = [TanProjection(*p, "west") for p in zip(ra, dec, angle, strict=True)]
    wcs = _true_maps(recipe, rng, detectors, exact)
    start = recipe.start_mas / MAS_PER_DEG
    visits = Visits(
        bands=("g",),
        id=100 + np.arange(recipe.visits),
        mjd=mjd,
        band=np.zeros(recipe.visits),
        ra_deg=ra + rng.normal(0, start, recipe.visits) / np.cos(np.radians(dec)),
        dec_deg=dec + rng.normal(0, start, recipe.visits),
        rotation_deg=angle,
    )
    radius = span * 0.75 + 1.42 * shift
    density = recipe.stars_per_detector / (span / recipe.grid[0]) ** 2
    n = int(density * 4 * radius**2)
    star_ra, star_dec = field.to_sky(*rng.uniform(-radius, radius, (2, n)))
    truth = Truth(
        wcs,
        np.asarray(star_ra),
        np.asarray(star_dec),
        rng.normal(0, recipe.pm_mas_yr, (n, 2)),
        np.abs(rng.normal(0, recipe.parallax_mas, n)),
        rng.normal(0, recipe.dcr_mas, (recipe.visits, 2)),
        np.zeros(0, bool),
        float(mjd.mean()),
    )
    color = rng.normal(0.8, 0.5, n)
    observations, outlier = _observe(recipe, rng, visits, detectors, truth, color)
    stars = _stars(recipe, rng, truth, color)
    used = np.unique(observations.star)
    row = np.full(n, -1)
    row[used] = np.arange(used.size)
    return Survey(
        Observations(
            row[observations.star],
            *(getattr(observations, k) for k in ("visit", "detector", "x", "y", "xx", "xy", "yy")),
        ),
        visits,
        detectors,
        _take_stars(stars, used),
        Truth(
            wcs,
            truth.ra_deg[used],
            truth.dec_deg[used],
            truth.pm[used],
            truth.parallax[used],
            truth.dcr,
            outlier,
            truth.mjd,
        ),
    )


def wcs_errors_mas(survey: Survey, wcs: dict[tuple[int, int], SkyWcs]) -> Floats:
    """Return rms errors of WCSs over a grid, both coordinates together, per (visit, detector)."""
    nx, ny = survey.detectors.size_pix[0]
    side = (np.arange(6) + 0.5) / 6
    x, y = (a.ravel() for a in np.meshgrid(side * nx - 0.5, side * ny - 0.5))
    found = []
    for key, item in sorted(wcs.items()):
        ra, dec = item.pixel_to_world_values(x, y)
        true_ra, true_dec = survey.truth.wcs[key].pixel_to_world_values(x, y)
        de = (np.mod(ra - true_ra + 180, 360) - 180) * np.cos(np.radians(true_dec)) * MAS_PER_DEG
        dn = (dec - true_dec) * MAS_PER_DEG
        found.append(np.sqrt(np.mean(de**2 + dn**2)))
    return np.array(found)


def _detectors(recipe: Recipe) -> Detectors:
    """Return a grid of detectors with gaps, every second one upside down."""
    nx, ny = recipe.size_pix
    columns, rows = recipe.grid
    optics = RadialMap(PIXEL_MAS / MM_PER_PIX / MAS_PER_DEG, 50.0, (0.002,))
    stages = []
    for j in range(rows):
        for i in range(columns):
            center = np.array(
                [(i - (columns - 1) / 2) * nx * 1.05, (j - (rows - 1) / 2) * ny * 1.05]
            )
            turn = -1.0 if (i + j) % 2 else 1.0
            matrix = turn * MM_PER_PIX * np.eye(2)
            offset = center * MM_PER_PIX - matrix @ np.array([(nx - 1) / 2, (ny - 1) / 2])
            stages.append((("detector", AffineMap(matrix, offset)), ("optics", optics)))
    n = columns * rows
    return Detectors(np.arange(n) + 1, np.tile(recipe.size_pix, (n, 1)), tuple(stages))


def _true_maps(
    recipe: Recipe,
    rng: np.random.Generator,
    detectors: Detectors,
    projections: list[TanProjection],
) -> dict[tuple[int, int], SkyWcs]:
    half = (
        0.6
        * max(n * s for n, s in zip(recipe.grid, recipe.size_pix, strict=True))
        * PIXEL_MAS
        / MAS_PER_DEG
    )
    whole = Domain(-half, half, -half, half)
    nx, ny = recipe.size_pix
    static = []
    for d in range(len(detectors)):
        corners = detectors.field(d, np.array([-0.5, nx - 0.5]), np.array([-0.5, ny - 0.5]))
        box = Domain(corners[0].min(), corners[0].max(), corners[1].min(), corners[1].max())
        static.append(_near_identity(rng, Basis2D(4, box), recipe.distortion_mas))
    wcs = {}
    for v, projection in enumerate(projections):
        visit_map = _near_identity(rng, Basis2D(3, whole), recipe.visit_mas)
        for d in range(len(detectors)):
            stages = (*detectors.stages[d], ("static", static[d]), ("visit", visit_map))
            wcs[v, d] = SkyWcs(stages, projection, recipe.size_pix)
    return wcs


def _near_identity(rng: np.random.Generator, basis: Basis2D, size_mas: float) -> PolynomialMap:
    identity = PolynomialMap.identity(basis)
    size = size_mas / MAS_PER_DEG / (1 + basis.exponents.sum(axis=1)) ** 1.5
    return PolynomialMap(basis, identity.coefficients + rng.normal(0, 1, (2, basis.n_terms)) * size)


def _observe(
    recipe: Recipe,
    rng: np.random.Generator,
    visits: Visits,
    detectors: Detectors,
    truth: Truth,
    color: Floats,
) -> tuple[Observations, NDArray[np.bool_]]:
    n = truth.ra_deg.size
    error_mas = 10 ** rng.uniform(0.0, 1.5, n)
    columns: list[list[Floats]] = [[] for _ in range(9)]
    nx, ny = recipe.size_pix
    for v in range(len(visits)):
        ra, dec = place_at(truth, visits.mjd[v], visits.earth_au[v])
        east, north = (color - 0.78)[:, None].T * truth.dcr[v][:, None]
        ra = ra + east / MAS_PER_DEG / np.cos(np.radians(dec))
        dec = dec + north / MAS_PER_DEG
        rough = np.stack(truth.wcs[v, 0].projection.from_sky(ra, dec))
        for d in range(len(detectors)):
            near = _near(rough, detectors, d)
            x, y = truth.wcs[v, d].world_to_pixel_values(ra[near], dec[near])
            inside = (x > 0) & (x < nx - 1) & (y > 0) & (y < ny - 1)
            on, x, y = near[inside], x[inside], y[inside]
            sigma = error_mas[on] / PIXEL_MAS
            noise = rng.normal(size=(2, on.size)) * np.hypot(error_mas[on], recipe.turbulence_mas)
            bad = rng.random(on.size) < recipe.outliers
            noise += bad * rng.normal(0, recipe.outlier_mas, (2, on.size))
            variance = (sigma**2).astype(np.float32)
            values = (on, np.full(on.size, v), np.full(on.size, d), x + noise[0] / PIXEL_MAS)
            more = (y + noise[1] / PIXEL_MAS, variance, 0 * variance, variance, bad)
            for column, value in zip(columns, (*values, *more), strict=True):
                column.append(value)
    whole = [np.concatenate(c) for c in columns]
    return Observations(*whole[:8]), whole[8]


def _near(rough: Floats, detectors: Detectors, detector: int) -> NDArray[np.intp]:
    """Return the stars within some arcseconds of a detector."""
    nx, ny = detectors.size_pix[detector]
    u, v = detectors.field(detector, np.array([0, nx]), np.array([0, ny]))
    margin = 0.005
    inside = (rough[0] > u.min() - margin) & (rough[0] < u.max() + margin)
    inside &= (rough[1] > v.min() - margin) & (rough[1] < v.max() + margin)
    return np.flatnonzero(inside)


def place_at(truth: Truth, mjd: float, earth_au: Floats) -> tuple[Floats, Floats]:
    """Return where stars are seen at a time, deg; good to microarcseconds for small motions."""
    years = (mjd - truth.mjd) / 365.25
    ra, dec = np.radians(truth.ra_deg), np.radians(truth.dec_deg)
    east = np.array([-np.sin(ra), np.cos(ra), 0 * ra])
    north = np.array([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    shift = np.array(
        [
            truth.pm[:, k] * years - truth.parallax * (axis * earth_au[:, None]).sum(axis=0)
            for k, axis in enumerate((east, north))
        ]
    )
    return (
        truth.ra_deg + shift[0] / MAS_PER_DEG / np.cos(dec),
        truth.dec_deg + shift[1] / MAS_PER_DEG,
    )


def _stars(recipe: Recipe, rng: np.random.Generator, truth: Truth, color: Floats) -> Stars:
    n = truth.ra_deg.size
    known = rng.random(n) < recipe.references
    sigma = recipe.reference_mas * np.array([1.0, 1.0, 1.0, 1.0, 1.2])
    error = rng.normal(0, 1, (n, 5)) * sigma
    values = np.column_stack([truth.pm + error[:, 2:4], truth.parallax + error[:, 4]])
    epoch = truth.mjd - 5 * 365.25
    cos = np.cos(np.radians(truth.dec_deg))
    ra = truth.ra_deg + (error[:, 0] - 5 * truth.pm[:, 0]) / MAS_PER_DEG / cos
    dec = truth.dec_deg + (error[:, 1] - 5 * truth.pm[:, 1]) / MAS_PER_DEG
    ra, dec, values = (
        np.where(known if a.ndim == 1 else known[:, None], a, np.nan) for a in (ra, dec, values)
    )
    reference = ReferenceAstrometry(
        ra,
        dec,
        *values.T,
        np.where(known[:, None, None], np.diag(sigma**2), np.nan),
        np.where(known, epoch, np.nan),
    )
    start = rng.normal(0, 20.0, (2, n)) / MAS_PER_DEG
    return Stars(
        np.arange(n) + 5000,
        (truth.ra_deg + start[0] / cos) % 360,
        truth.dec_deg + start[1],
        color,
        rng.random(n) < recipe.reserved,
        reference,
    )


def _take_stars(stars: Stars, rows: NDArray[np.intp]) -> Stars:
    r = stars.reference
    assert r is not None
    names = ("ra_deg", "dec_deg", "pm_ra", "pm_dec", "parallax", "covariance", "epoch_mjd")
    return Stars(
        *(getattr(stars, k)[rows] for k in ("id", "ra_deg", "dec_deg", "color", "reserved")),
        ReferenceAstrometry(*(getattr(r, k)[rows] for k in names)),
    )
