"""The light of other sources in the images of PSF stars, so that it can be taken off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.psf_fit.model import PsfState
from drpflow.algorithms.psf_fit.profile import Moffat
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.kernels.deblend_points import add_points, fit_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.config.psf import NeighborConfig
    from drpflow.data.geometry import Box
    from drpflow.data.psf_base import Psf

    Floats: TypeAlias = NDArray[np.float64]
    Float32: TypeAlias = NDArray[np.float32]
    Ints: TypeAlias = NDArray[np.int64]
    Bools: TypeAlias = NDArray[np.bool_]


# Wings of the profile while nothing is known of it: between seeing (4.8) and what telescopes show.
_BETA = 3.5
_FWHM_PER_SIGMA = 2.3548


def moffat_psf(sigma_pix: float, box: Box, reach_sigma: float) -> Psf:
    """Return a round model of typical wings, the same on all pixels of a box.

    Parameters
    ----------
    sigma_pix
        Size of the core, as the sigma of a Gaussian.
    box
        Pixels of the detector.
    reach_sigma
        Half the size of its image.
    """
    radius = _FWHM_PER_SIGMA * sigma_pix / 2 / np.sqrt(2 ** (1 / _BETA) - 1)
    profile = Moffat(float(np.log(radius)), 0.0, 0.0, _BETA)
    n_grid = 2 * int(np.ceil(reach_sigma * sigma_pix)) + 1
    basis = Basis2D(0, Domain.of_box(box))
    return PsfState.start(profile, basis, n_grid, 1.0, 9).psf


@dataclass(frozen=True, eq=False)
class Neighbors:
    """Sources as point sources of a first PSF model, K of them.

    Parameters
    ----------
    total
        Light of all of them, shape (ny, nx) [electron].
    x, y, flux
        Places [pix] and fluxes [electron], shape (K,).
    stamps, x0, y0
        Images of unit flux, shape (K, n, n), and their first pixels.
    error
        Part of their light by which the model may be wrong.
    same_pix
        A star is the nearest source within this distance.
    """

    total: Float32
    x: Floats
    y: Floats
    flux: Floats
    stamps: Float32
    x0: Ints
    y0: Ints
    error: float
    same_pix: float

    def around(self, x: Floats, y: Floats, rows: Ints, columns: Ints) -> Floats:
        """Return the light of all sources but the star itself in squares of pixels.

        Parameters
        ----------
        x, y
            Places of the stars, shape (N,).
        rows, columns
            Rows and columns of the squares, inside the image, shape (N, n).

        Returns
        -------
        ndarray, shape (N, n, n)
        """
        light = self.total[rows[:, :, None], columns[:, None, :]].astype(np.float64)
        if not self.x.size:
            return light
        size = self.stamps.shape[1]
        for star, own in enumerate(self._own(x, y)):
            if own < 0:
                continue
            i, j = rows[star] - self.y0[own], columns[star] - self.x0[own]
            held_i, held_j = (i >= 0) & (i < size), (j >= 0) & (j < size)
            stamp = self.stamps[own][np.ix_(i[held_i], j[held_j])]
            light[star][np.ix_(held_i, held_j)] -= self.flux[own] * stamp
        return light

    def without(self, x: Floats, y: Floats) -> Float32:
        """Return the light of all sources but some stars on the whole image, shape (ny, nx)."""
        light = self.total.copy()
        if not self.x.size:
            return light
        (ny, nx), size = light.shape, self.stamps.shape[1]
        for own in np.unique(self._own(x, y)):
            if own < 0:
                continue
            x0, y0 = int(self.x0[own]), int(self.y0[own])
            rows = slice(max(y0, 0), min(y0 + size, ny))
            columns = slice(max(x0, 0), min(x0 + size, nx))
            stamp = self.stamps[own, rows.start - y0 : rows.stop - y0]
            stamp = stamp[:, columns.start - x0 : columns.stop - x0]
            light[rows, columns] -= np.float32(self.flux[own]) * stamp
        return light

    def _own(self, x: Floats, y: Floats) -> NDArray[np.intp]:
        """Return which source each star is, -1 for none."""
        from scipy.spatial import cKDTree

        tree = cKDTree(np.column_stack([self.x, self.y]))
        distance, nearest = tree.query(np.column_stack([x, y]))
        return np.where(distance <= self.same_pix, nearest, -1)


def fit_neighbors(
    image: Float32,
    variance: Float32,
    bad: Bools,
    peaks: tuple[Floats, Floats],
    stars: tuple[Floats, Floats],
    psf: Psf,
    error: float,
    config: NeighborConfig,
) -> Neighbors:
    """Fit the sources about stars, and the stars, together as point sources.

    Parameters
    ----------
    image, variance, bad
        As for :func:`drpflow.algorithms.psf_fit.fit_psf`.
    peaks
        x and y of all that was detected, pixels.
    stars
        x and y of the stars; sources further from all of them than two stamps are left out.
    psf
        What is known of the PSF yet.
    error
        Part of the light by which that may be wrong.
    config
        Parameters.

    Notes
    -----
    Gauss-Seidel sweeps, as in the deblender: each source beside all the others. 0.2 ms a source.
    """
    ny, nx = image.shape
    sigma = _sigma(psf, nx / 2, ny / 2, config)
    half = min(psf.half_size_pix, int(np.ceil(config.reach_sigma * sigma)))
    x, y = _about(peaks, stars, 3 * half)
    start = x.copy(), y.copy()
    finite = np.isfinite(image) & np.isfinite(variance) & (variance > 0)
    residual = np.where(finite, image, np.float32(0))
    unusable = bad | ~finite
    labels = np.ones(image.shape, np.int32)
    owner = np.ones(x.size, np.int32)
    flux = np.zeros(x.size)
    for moves in [True] * config.position_rounds + [False]:
        stamps, x0, y0 = _stamps(psf, x, y, half)
        coefficients = np.column_stack([flux, np.zeros((x.size, 2))])
        shapes = (owner, stamps, x0, y0)
        add_points(residual, labels, *shapes, coefficients, -1.0)
        fit_points(
            residual, variance, unusable, labels, *shapes, x, y, coefficients,
            config.fit_radius_sigma * sigma, config.sweeps, moves,
        )  # fmt: skip
        flux = coefficients[:, 0].copy()
        if moves:
            add_points(residual, labels, *shapes, coefficients, 1.0)
            scale = np.maximum(flux, np.finfo(float).tiny)
            x = np.clip(x + coefficients[:, 1] / scale, start[0] - sigma, start[0] + sigma)
            y = np.clip(y + coefficients[:, 2] / scale, start[1] - sigma, start[1] + sigma)
    total = np.where(finite, image - residual, np.float32(0)).astype(np.float32)
    return Neighbors(total, x, y, flux, stamps, x0, y0, error, max(sigma, 1.0))


def _sigma(psf: Psf, x: float, y: float, config: NeighborConfig) -> float:
    """Return the size of the PSF, pixels; from its reach where it is sharper than a pixel.

    Moments do not converge there. Whether that is a PSF at all the fit tells.
    """
    sigma = float(psf.compute_sigma(x, y))
    return sigma if np.isfinite(sigma) else psf.half_size_pix / config.reach_sigma


def _about(peaks: tuple[Floats, Floats], stars: tuple[Floats, Floats], reach: float) -> Floats:
    """Return the peaks that are near one of the stars, shape (2, K)."""
    from scipy.spatial import cKDTree

    places = np.array(peaks, float)
    places = places[:, np.isfinite(places).all(axis=0)]
    if not places.size or not len(stars[0]):
        return np.zeros((2, 0))
    distance, _ = cKDTree(np.column_stack(stars)).query(places.T, distance_upper_bound=reach)
    return places[:, np.isfinite(distance)]


def _stamps(psf: Psf, x: Floats, y: Floats, half: int) -> tuple[Float32, Ints, Ints]:
    """Return images of unit flux, float32, cut to a half size, and their first pixels."""
    if not x.size:
        none = np.zeros(0, np.int64)
        return np.zeros((0, 2 * half + 1, 2 * half + 1), np.float32), none, none
    images, x0, y0 = psf.compute_images(x, y)
    margin = psf.half_size_pix - half
    inner = slice(margin, margin + 2 * half + 1)
    cut = np.ascontiguousarray(images[:, inner, inner], np.float32)
    return cut, np.asarray(x0 + margin, np.int64), np.asarray(y0 + margin, np.int64)
