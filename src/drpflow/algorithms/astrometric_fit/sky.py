"""The stars as the fit knows them: axes, colours, and what is expected of their motions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.tan_projection import unit_vectors
from drpflow.kernels.astrometric_model import Sky

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.config.solve_astrometry import SolveAstrometryConfig
    from drpflow.data.astrometric_tables import ReferenceAstrometry, Stars
    from drpflow.kernels.astrometric_model import Found

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]
    Int8: TypeAlias = NDArray[np.int8]

DAYS_PER_YEAR = 365.25
MAS_PER_DEG = 3.6e6
MAS_PER_RAD = MAS_PER_DEG * 180 / np.pi
_STILL = 1e-4
_MAD = 1.4826
_FEWEST_ASKED, _MOST_ASKED = 10, 4000
# Changes of the population that matter, in units of its scatter.
_CHANGE = 0.1


@dataclass(frozen=True, eq=False)
class Population:
    """Proper motions (mas/yr) and parallaxes (mas) of the stars of the field.

    Parameters
    ----------
    mean, sigma
        Of (pm_ra, pm_dec, parallax), (3,).
    """

    mean: Floats
    sigma: Floats

    @classmethod
    def expected(cls, config: SolveAstrometryConfig) -> Population:
        """Return what the configuration expects."""
        s = config.stars
        return cls(np.zeros(3), np.array([s.pm_mas_yr, s.pm_mas_yr, s.parallax_mas]))


def make_sky(stars: Stars, epoch_mjd: float, moving: Bools, config: SolveAstrometryConfig) -> Sky:
    """Return the stars for the kernels.

    Stars of the catalogue may always move: it saw them at another time.

    Parameters
    ----------
    stars
        Sorted.
    epoch_mjd
        Time to which positions belong.
    moving
        Which stars may move.
    config
        Parameters.
    """
    axes = np.stack(local_axes(stars.ra_deg, stars.dec_deg), axis=1)
    kappa, variance = _colors(stars.color, config.model.reference_color_mag)
    known, share, mean = _catalogue(stars, axes, epoch_mjd, config)
    precision, prior_mean = population_prior(Population.expected(config), config)
    return Sky(
        direction=np.ascontiguousarray(unit_vectors(stars.ra_deg, stars.dec_deg).T),
        axes=axes,
        kappa=kappa,
        kappa_var=variance,
        kind=(moving | (known > 0)).astype(np.int8),
        prior=precision,
        prior_mean=prior_mean,
        known=known,
        share=share,
        share_mean=mean,
        fit=(~stars.reserved).astype(np.int8),
    )


def population_prior(
    population: Population, config: SolveAstrometryConfig
) -> tuple[Floats, Floats]:
    """Return precisions (2, 5, 5) and means (2, 5) of stars that stand still and that may move."""
    position = 1 / (1000 * config.stars.position_arcsec) ** 2
    precision, mean = np.zeros((2, 5, 5)), np.zeros((2, 5))
    precision[:, [0, 1], [0, 1]] = position
    precision[0, [2, 3, 4], [2, 3, 4]] = 1 / _STILL**2
    precision[1, [2, 3, 4], [2, 3, 4]] = 1 / population.sigma**2
    mean[1, 2:] = population.mean
    return precision, mean


def local_axes(ra_deg: Floats, dec_deg: Floats) -> tuple[Floats, Floats]:
    """Return unit vectors to the east and to the north, each (S, 3)."""
    ra = np.radians(ra_deg)
    east = np.stack([-np.sin(ra), np.cos(ra), np.zeros_like(ra)], axis=1)
    return east, np.cross(unit_vectors(ra_deg, dec_deg).T, east)


def _colors(color: Floats, reference: float) -> tuple[Floats, Floats]:
    """Return colours beyond the reference and variances of those that are not known."""
    known = np.isfinite(color)
    if not known.any():
        return np.zeros(color.size), np.zeros(color.size)
    middle = float(np.median(color[known]))
    spread = _MAD * float(np.median(np.abs(color[known] - middle)))
    return np.where(known, color, middle) - reference, np.where(known, 0.0, spread**2)


def tells_mean_motion(stars: Stars, config: SolveAstrometryConfig) -> Bools:
    """Return whether a catalogue tells the mean of (pm_ra, pm_dec, parallax) of the stars.

    If it does not, shifts of the visits can take any mean up.
    """
    r = stars.reference
    if r is None or not config.reference.use:
        return np.zeros(3, bool)
    return np.asarray((r.told[:, 2:] & ~stars.reserved[:, None]).any(axis=0))


def _catalogue(
    stars: Stars, axes: Floats, epoch_mjd: float, config: SolveAstrometryConfig
) -> tuple[Int8, Floats, Floats]:
    """Return how many values of each star a catalogue knows, its precision and its mean."""
    n, r = len(stars), stars.reference
    if r is None or not config.reference.use:
        return np.zeros(n, np.int8), np.zeros((n, 5, 5)), np.zeros((n, 5))
    epoch = np.full(n, epoch_mjd)
    return catalogue_prior(r, stars.ra_deg, stars.dec_deg, axes, epoch, config.reference.floor_mas)


def catalogue_prior(
    r: ReferenceAstrometry,
    ra_deg: Floats,
    dec_deg: Floats,
    axes: Floats,
    epoch_mjd: Floats,
    floor_mas: float,
) -> tuple[Int8, Floats, Floats]:
    """Return how many values of stars a catalogue knows, their precision and their mean.

    Both are for the epochs of the stars. With θ at that epoch and Δ years from that of the
    catalogue, the catalogue's parameters are F θ, F the identity but for -Δ between position and
    proper motion.

    Parameters
    ----------
    r
        The catalogue, rows as the stars.
    ra_deg, dec_deg
        Where the stars start, of which positions are offsets, shape (S,).
    axes
        East and north there, (S, 2, 3).
    epoch_mjd
        Epochs of the stars.
    floor_mas
        Scatter of the catalogue's positions beside its errors.

    Returns
    -------
    number, precision, mean
        Shapes (S,), (S, 5, 5) and (S, 5); mas and mas/yr; zero where nothing is known.
    """
    n = ra_deg.size
    share, mean = np.zeros((n, 5, 5)), np.zeros((n, 5))
    known = r.known
    number = np.zeros(n, np.int8)
    direction = unit_vectors(r.ra_deg[known], r.dec_deg[known]).T
    depth = (direction * unit_vectors(ra_deg[known], dec_deg[known]).T).sum(axis=1)
    offset = np.einsum("sik,sk->si", axes[known], direction) / depth[:, None] * MAS_PER_RAD
    values = np.column_stack([offset, r.pm_ra[known], r.pm_dec[known], r.parallax[known]])
    precision = _precision(r.covariance[known], np.isfinite(values), floor_mas)
    number[known] = (np.einsum("sii->si", precision) > 0).sum(axis=1)
    back = np.tile(np.eye(5), (len(values), 1, 1))
    back[:, [0, 1], [2, 3]] = -(epoch_mjd[known] - r.epoch_mjd[known])[:, None] / DAYS_PER_YEAR
    share[known] = np.swapaxes(back, 1, 2) @ precision @ back
    mean[known] = np.linalg.solve(back, np.nan_to_num(values)[:, :, None])[:, :, 0]
    return number, share, mean


def _precision(covariance: Floats, has: Bools, floor_mas: float) -> Floats:
    """Return inverse covariances of the values that there are, zero for the others."""
    diagonal = np.einsum("sii->si", covariance)
    has = has & (diagonal > 0)
    both = has[:, :, None] & has[:, None, :]
    filled = np.where(both, np.nan_to_num(covariance), 0.0)
    filled[:, np.arange(5), np.arange(5)] += np.where(has, 0.0, 1.0)
    filled[:, [0, 1], [0, 1]] += floor_mas**2
    return np.where(both, np.linalg.inv(filled), 0.0)


def refine_population(
    sky: Sky, found: Found, tells: Bools, config: SolveAstrometryConfig
) -> Population:
    """Return mean and scatter of motions and parallaxes by expectation and maximisation.

    The stars that are fitted and may move are asked.

    Parameters
    ----------
    sky
        The stars with the population's prior as it was.
    found
        Their parameters and covariances.
    tells
        Of which of the three values the catalogue tells the mean; others keep that expected.
    config
        Parameters.

    Returns
    -------
    Population
        As it was, if it has hardly changed.
    """
    expected = Population.expected(config)
    rows = np.flatnonzero((sky.fit == 1) & (sky.kind == 1))
    if rows.size < _FEWEST_ASKED:
        return expected
    rows = rows[:: -(-rows.size // _MOST_ASKED)]
    precision = np.linalg.inv(found.covariance[rows, 2:, 2:])
    target = np.einsum("sij,sj->si", precision, found.shift[rows, 2:])
    old, old_mean = np.diag(sky.prior[1])[2:], sky.prior_mean[1, 2:]
    precision[:, np.arange(3), np.arange(3)] -= old
    target -= old * old_mean
    mean, variance = old_mean.copy(), 1 / old
    for _ in range(20):
        posterior = np.linalg.inv(precision + np.diag(1 / variance))
        value = np.einsum("sij,sj->si", posterior, target + mean / variance)
        mean = np.where(tells, value.mean(axis=0), expected.mean)
        scatter = (value - mean) ** 2 + np.einsum("sii->si", posterior)
        # An imaginary star or three of the expected size keep it from zero.
        variance = (scatter.sum(axis=0) + 3 * expected.sigma**2) / (rows.size + 3)
    sigma = np.sqrt(variance)
    small = (np.abs(mean - old_mean) < _CHANGE * sigma).all()
    if small and (np.abs(np.log(variance * old)) < 2 * _CHANGE).all():
        return Population(old_mean, 1 / np.sqrt(old))
    return Population(mean, sigma)
