"""Where the stars stand and how bright they are, given a model of the PSF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.algorithms.psf_fit.stamps import Stamps
    from drpflow.data.psf import PixelGridPsf

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]
    Rows: TypeAlias = Bools | NDArray[np.intp] | slice

_DERIVATIVE_STEP = 0.01
_MAX_STEP_PIX = 0.5
# Relative error of the model that outliers must exceed as well. A model that is wrong by a per
# cent deviates from the cores of the brightest stars by many sigma: were they masked, it could
# never learn from them.
_CLIP_ERROR = 0.05
# Fewer stars have no median to speak of.
_FEWEST_IN_COMMON = 5
# Significance of a median that is an error of the model.
_COMMON_SIGMA = 4.0
# Stars whose modes are sampled at a time: 30 MB with 41 x 41 pixels.
_STACK = 128


@dataclass(frozen=True, eq=False)
class Places:
    """What is fitted to each of N stars beside its shape.

    Parameters
    ----------
    flux
        Electrons, shape (N,).
    dx, dy
        Place relative to the central pixel, pixels.
    level
        What the background leaves under each star, electrons a pixel; None for nothing.
    """

    flux: Floats
    dx: Floats
    dy: Floats
    level: Floats | None = None

    def select(self, rows: Rows) -> Places:
        """Return some of the stars."""
        level = None if self.level is None else self.level[rows]
        return Places(self.flux[rows], self.dx[rows], self.dy[rows], level)

    @classmethod
    def joined(cls, parts: Sequence[Places]) -> Places:
        """Return the stars of several sets together, as if their backgrounds left nothing."""
        return cls(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("flux", "dx", "dy")))


@dataclass(frozen=True, eq=False)
class PlacePrior:
    """Where stars are known to stand, relative to their central pixel.

    Parameters
    ----------
    dx, dy
        Expected places, pixels, shape (N,).
    weight
        Inverse variances of each coordinate, pix⁻²; 0 where nothing is known.
    """

    dx: Floats
    dy: Floats
    weight: Floats

    def select(self, rows: Rows) -> PlacePrior:
        """Return that of some of the stars."""
        return PlacePrior(self.dx[rows], self.dy[rows], self.weight[rows])

    def pull(self, places: Places) -> Floats:
        """Return the derivatives of the log probability by x and y at places, shape (N, 2)."""
        off = np.column_stack([self.dx - places.dx, self.dy - places.dy])
        return self.weight[:, None] * off


@dataclass(frozen=True, eq=False)
class Comparison:
    """The model beside the stars.

    Parameters
    ----------
    places
        What the model was placed and scaled with.
    along_y, along_x
        Interpolation matrices, shape (N, n, n_grid).
    model, residual
        Model of unit flux; data minus flux × model; (N, n, n).
    weight
        Inverse variance, 0 for pixels not used.
    """

    places: Places
    along_y: Floats
    along_x: Floats
    model: Floats
    slope_x: Floats
    slope_y: Floats
    residual: Floats
    weight: Floats

    @property
    def nuisance(self) -> Floats:
        """Derivatives of the star by flux, place and level (if it has one), (N, 3 or 4, n, n)."""
        flux = self.places.flux[:, None, None]
        columns = [self.model, flux * self.slope_x, flux * self.slope_y]
        if self.places.level is not None:
            columns.append(np.ones_like(self.model))
        return np.stack(columns, axis=1)

    def masked_light(self) -> Floats:
        """Return the fraction of each star's light on pixels that are not used, (N,)."""
        return np.where(self.weight == 0, self.model, 0).sum(axis=(1, 2)) / self.model.sum(
            axis=(1, 2)
        )

    def chi2_per_pixel(self) -> Floats:
        """Return the weighted mean square of the residuals of each star, (N,)."""
        used = np.maximum((self.weight > 0).sum(axis=(1, 2)), 1)
        return (self.weight * np.square(self.residual)).sum(axis=(1, 2)) / used


def compare(
    psf: PixelGridPsf,
    stamps: Stamps,
    places: Places,
    relative_error: float,
    clip_sigma: float,
    color: Floats | None = None,
) -> Comparison:
    """Place the model on the stars and form residuals and weights.

    Pixels whose residual exceeds `clip_sigma` get no weight, nor do their neighbours: other
    sources, and what is left of cosmic rays. What all stars show is an error of the model instead,
    and is not counted. Colours are those of the stars, mag; None for the model's own.
    """
    grids = psf.grids(stamps.column + places.dx, stamps.row + places.dy, color)
    along_x, along_y = (psf.sampling_matrices(shift) for shift in (places.dx, places.dy))
    slope_x, slope_y = (_derivatives(psf, shift) for shift in (places.dx, places.dy))
    half_sampled = along_y @ grids
    model = half_sampled @ along_x.transpose(0, 2, 1)
    fitted = places.flux[:, None, None] * model
    variance = stamps.model_variance(fitted, relative_error)
    level = 0.0 if places.level is None else places.level[:, None, None]
    residual = np.where(stamps.good, stamps.data - fitted - level, 0.0)
    lenient = stamps.model_variance(fitted, max(relative_error, _CLIP_ERROR))
    common = _common(residual, variance, stamps.good, places.flux)
    own = residual - places.flux[:, None, None] * common
    outlier = np.square(own) > clip_sigma**2 * lenient
    used = stamps.good & ~_grown(outlier)
    return Comparison(
        places=places,
        along_y=along_y,
        along_x=along_x,
        model=model,
        slope_x=half_sampled @ slope_x.transpose(0, 2, 1),
        slope_y=slope_y @ grids @ along_x.transpose(0, 2, 1),
        residual=np.where(used, residual, 0.0),
        weight=np.where(used, 1 / variance, 0.0),
    )


def _common(residual: Floats, variance: Floats, good: Bools, flux: Floats) -> Floats:
    """Return the median residual of stars of unit flux, (n, n); 0 where it is but noise.

    A bright star's pixels would otherwise be judged by the noise of the faint ones, scaled up.
    The median of N normal values has the error √(π/2N) σ; σ is that of the median star.
    """
    seen = good & (flux > 0)[:, None, None]
    common = np.zeros(residual.shape[1:])
    number = seen.sum(axis=0)
    enough = number >= _FEWEST_IN_COMMON
    if not enough.any():
        return common
    unit = np.where(flux > 0, flux, 1.0)[:, None, None]
    median = np.nanmedian(np.where(seen, residual / unit, np.nan)[:, enough], axis=0)
    noise = np.nanmedian(np.where(seen, np.sqrt(variance) / unit, np.nan)[:, enough], axis=0)
    error = np.sqrt(np.pi / 2 / number[enough]) * noise
    common[enough] = np.where(np.abs(median) > _COMMON_SIGMA * error, median, 0.0)
    return common


def improve_places(
    comparison: Comparison, prior: PlacePrior | None = None, level_error: float = np.inf
) -> Places:
    """Return fluxes, places and levels after one step of Gauss and Newton.

    Parameters
    ----------
    comparison
        Model beside the stars.
    prior
        What is known of the places, if anything.
    level_error
        Expected size of the levels, if there are any, electrons a pixel.
    """
    columns = comparison.nuisance
    weighted = columns * comparison.weight[:, None]
    normal = np.einsum("nayx,nbyx->nab", weighted, columns, optimize=True)
    right = np.einsum("nayx,nyx->na", weighted, comparison.residual)
    _add_known(normal, right, comparison.places, prior, level_error)
    step = np.einsum("nab,nb->na", np.linalg.pinv(normal, hermitian=True), right)
    shift = np.clip(step[:, 1:3], -_MAX_STEP_PIX, _MAX_STEP_PIX)
    old = comparison.places
    level = None if old.level is None else old.level + step[:, 3]
    return Places(old.flux + step[:, 0], old.dx + shift[:, 0], old.dy + shift[:, 1], level)


def project_modes(
    comparison: Comparison,
    modes: Floats,
    prior: PlacePrior | None = None,
    level_error: float = np.inf,
) -> tuple[Floats, Floats]:
    """Return what each star says about M images on the grid, all else of it marginalised.

    Parameters
    ----------
    comparison
        Model beside the stars.
    modes
        Images on the grid, shape (M, n_grid, n_grid); a star shows ``flux × amplitude × mode``.
    prior, level_error
        As for :func:`improve_places`.

    Returns
    -------
    right, precision
        Shapes (N, M) and (N, M, M): the log likelihood is ``right·a - ½ aᵀ precision a`` for
        amplitudes a *on top of the model*.
    """
    number, n_modes = len(comparison.places.flux), len(modes)
    right, precision = np.empty((number, n_modes)), np.empty((number, n_modes, n_modes))
    nuisance = comparison.nuisance
    free = nuisance.shape[1]
    for start in range(0, number, _STACK):
        k = slice(start, start + _STACK)
        along_y, along_x = comparison.along_y[k, None], comparison.along_x[k, None]
        sampled = along_y @ modes @ along_x.transpose(0, 1, 3, 2)
        sampled *= comparison.places.flux[k, None, None, None]
        both = np.concatenate([nuisance[k], sampled], axis=1)
        both = both.reshape(*both.shape[:2], -1)
        weight = comparison.weight[k].reshape(len(both), 1, -1)
        normal = (both * weight) @ both.transpose(0, 2, 1)
        target = (both * weight) @ comparison.residual[k].reshape(len(both), -1, 1)
        known = None if prior is None else prior.select(k)
        _add_known(normal, target[:, :, 0], comparison.places.select(k), known, level_error)
        cross = normal[:, free:, :free] @ np.linalg.pinv(normal[:, :free, :free], hermitian=True)
        precision[k] = normal[:, free:, free:] - cross @ normal[:, :free, free:]
        right[k] = (target[:, free:] - cross @ target[:, :free])[:, :, 0]
    return right, precision


def _add_known(
    normal: Floats, right: Floats, places: Places, prior: PlacePrior | None, level_error: float
) -> None:
    """Add what is known of places and levels to normal equations that begin with flux, x, y."""
    if prior is not None:
        for k in (1, 2):
            normal[:, k, k] += prior.weight
        right[:, 1:3] += prior.pull(places)
    if places.level is not None:
        normal[:, 3, 3] += level_error**-2
        right[:, 3] -= places.level * level_error**-2


def _derivatives(psf: PixelGridPsf, shift: Floats) -> Floats:
    """Return d(sampling matrix)/d(shift), shape (N, n, n_grid)."""
    h = _DERIVATIVE_STEP
    return (psf.sampling_matrices(shift + h) - psf.sampling_matrices(shift - h)) / (2 * h)


def _grown(masks: Bools) -> Bools:
    """Return masks with the eight neighbours of each pixel set, shape (N, n, n)."""
    grown = masks.copy()
    for axis in (1, 2):
        ahead, behind = np.zeros_like(grown), np.zeros_like(grown)
        first = [slice(None)] * 3
        last = [slice(None)] * 3
        first[axis], last[axis] = slice(None, -1), slice(1, None)
        ahead[tuple(first)] = grown[tuple(last)]
        behind[tuple(last)] = grown[tuple(first)]
        grown = grown | ahead | behind
    return grown
