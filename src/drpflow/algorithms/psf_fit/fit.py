"""The fit of a PSF model to the pixels of stars; see ``docs/algorithms/psf.md``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.psf_fit.model import N_MODES, PsfState
from drpflow.algorithms.psf_fit.modes import ModeField, fit_modes
from drpflow.algorithms.psf_fit.pixels import improve_pixels
from drpflow.algorithms.psf_fit.profile import Moffat, fit_moffat, mean_star
from drpflow.algorithms.psf_fit.rejection import EARLY_ERROR, light_lost, outlying, plausible
from drpflow.algorithms.psf_fit.reserve import reserve
from drpflow.algorithms.psf_fit.stamps import Stamps, cut
from drpflow.algorithms.psf_fit.stars import (
    Comparison,
    Places,
    compare,
    improve_places,
    project_modes,
)
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.psf_moments import adaptive_moments
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.psf_fit.neighbors import Neighbors
    from drpflow.config.psf import PsfConfig
    from drpflow.data.geometry import Box
    from drpflow.data.psf import PixelGridPsf

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

_FWHM_PER_SIGMA = 2.3548


@dataclass(frozen=True, eq=False)
class PsfFit:
    """A PSF model and what it was made of; arrays have the length of the stars given.

    Parameters
    ----------
    psf
        The model; its adaptive centroid is in the centre.
    used
        Stars that made it.
    reserved
        Stars held back, none of which is used.
    order
        Degree of the polynomials of place.
    fwhm_pix
        Full width at half maximum of the mean star.
    chi2_per_pixel
        Of each star that was fitted, NaN for the others; 1 is as the noise says.
    scatter
        Scatter of the stars' size (log) and ellipticity about the model beyond photon noise.
    """

    psf: PixelGridPsf
    used: Bools
    reserved: Bools
    order: int
    fwhm_pix: float
    chi2_per_pixel: Floats
    scatter: dict[str, float]


def fit_psf(
    image: NDArray[np.float32],
    variance: NDArray[np.float32],
    bad: Bools,
    x: Floats,
    y: Floats,
    flux: Floats,
    box: Box,
    config: PsfConfig,
    rng: np.random.Generator,
    neighbors: Neighbors | None = None,
) -> PsfFit:
    """Fit a model of the PSF.

    Parameters
    ----------
    image, variance, bad
        Sky-subtracted image [electron], its variance [electron²], pixels not to use; (ny, nx).
    x, y
        Places of stars, good to a pixel; shape (N,).
    flux
        Their fluxes, good to a factor of two; they are fitted.
    box
        The detector's pixels: the domain of the model.
    config
        Parameters.
    rng
        Decides which stars are reserved.
    neighbors
        Other sources, whose light is taken off the stars' pixels.

    Returns
    -------
    PsfFit

    Raises
    ------
    AlgorithmError
        If fewer than `min_stars` stars are left, or they do not look like stars.
    """
    reserved = reserve(x, y, np.asarray(flux, float), box, config, rng)
    rows = np.flatnonzero(~reserved)
    _require(rows.size, config)
    start = _first_guess(image, variance, bad, x[rows], y[rows], flux[rows], config, neighbors)
    profile, stamps, places, step_pix = start
    light = light_lost(stamps, profile)
    kept = light <= config.max_masked_light
    _require(int(kept.sum()), config)
    rows, stamps, places = rows[kept], stamps.select(kept), places.select(kept)
    fit = _Fit(profile, step_pix, box, config)
    for round_ in range(config.iterations):
        stamps, places, kept = fit.improve(stamps, places, round_)
        rows = rows[kept]
        _require(rows.size, config)
    return fit.result(stamps, places, rows, reserved)


class _Fit:
    """The rounds of the fit; holds the model while stars come and go."""

    def __init__(self, profile: Moffat, step_pix: float, box: Box, config: PsfConfig) -> None:
        self.config, self.profile, self.step_pix = config, profile, step_pix
        self.domain = Domain.of_box(box)
        self.state: PsfState | None = None
        self.field: ModeField | None = None

    def improve(self, stamps: Stamps, places: Places, round_: int) -> tuple[Stamps, Places, Bools]:
        """Improve places, modes and pixels once, and drop stars that do not fit."""
        config = self.config
        error = max([config.relative_error, *EARLY_ERROR[round_ : round_ + 1]])
        state = self._start(len(stamps), stamps.half_size)
        seen = self._place(state, stamps, places, error)
        kept = plausible(seen, config.max_masked_light, config.star_outlier_sigma, last=round_ > 1)
        if not kept.all():
            stamps, places = stamps.select(kept), seen.places.select(kept)
            _require(len(stamps), config)
            state = self._start(len(stamps), stamps.half_size)
            seen = self._place(state, stamps, places, error)
        if self.state is None:
            state = self._with_mean_star(state, seen)
            seen = self._place(state, stamps, seen.places, error)
        places = seen.places
        design = self._design(state, stamps, places)
        right, precision = project_modes(seen, state.modes)
        present = design @ state.coefficients[:, :N_MODES]
        right += np.einsum("nab,nb->na", precision, present)
        degree = state.basis.exponents.sum(axis=1)
        field = fit_modes(right, precision, design, degree)
        state = state.with_modes(field.coefficients).normalized()
        fits = np.ones(len(stamps), bool)
        if round_ > 0:
            fits = ~outlying(field.residual, field.residual_sigma, config.star_outlier_sigma)
        n_pixel_terms = self._pixel_terms(int(fits.sum()), state.basis)
        if round_ > 0:
            seen = compare(state.psf, stamps, places, error, config.outlier_sigma)
            seen = compare(state.psf, stamps, improve_places(seen), error, config.outlier_sigma)
            pixels = improve_pixels(state.pixels, seen, design, fits, n_pixel_terms)
            state = state.with_pixels(pixels)
        self.state = state.normalized().centered(config.centering_tolerance_pix)
        self.field = field
        kept[kept] = fits
        return stamps.select(fits), seen.places.select(fits), kept

    def result(
        self, stamps: Stamps, places: Places, rows: NDArray[np.intp], reserved: Bools
    ) -> PsfFit:
        """Return the model with its numbers."""
        assert self.state is not None
        assert self.field is not None
        used = np.zeros(reserved.shape, bool)
        used[rows] = True
        seen = self._place(self.state, stamps, places, 0.0)
        chi2 = np.full(reserved.shape, np.nan)
        chi2[rows] = seen.chi2_per_pixel()
        names = {"size": 0, "e": 1}
        return PsfFit(
            psf=self.state.psf,
            used=used,
            reserved=reserved,
            order=self.state.basis.order,
            fwhm_pix=self.profile.fwhm_pix,
            chi2_per_pixel=chi2,
            scatter={name: float(self.field.scatter[k]) for name, k in names.items()},
        )

    def _place(
        self, state: PsfState, stamps: Stamps, places: Places, relative_error: float
    ) -> Comparison:
        """Return the model on the stars, their places and fluxes improved twice."""
        psf, clip = state.psf, self.config.outlier_sigma
        for _ in range(2):
            places = improve_places(compare(psf, stamps, places, relative_error, clip))
        return compare(psf, stamps, places, relative_error, clip)

    def _start(self, n_stars: int, half_size: int) -> PsfState:
        """Return the model of the last round, of the order that the stars allow now."""
        order = self.config.order
        while order and (order + 1) * (order + 2) / 2 * self.config.stars_per_term > n_stars:
            order -= 1
        if self.state is None:
            n_grid = 2 * round(half_size / self.step_pix) + 1
            basis = Basis2D(order, self.domain)
            return PsfState.start(
                self.profile, basis, n_grid, self.step_pix, self.config.kernel_order
            )
        if order >= self.state.basis.order:
            return self.state
        basis = Basis2D(order, self.domain)
        return replace(
            self.state,
            basis=basis,
            coefficients=self.state.coefficients[: basis.n_terms],
            pixels=self.state.pixels[: basis.n_terms],
        )

    def _with_mean_star(self, state: PsfState, seen: Comparison) -> PsfState:
        """Return the model with what the mean star has beyond the profile.

        Left out, it would be taken for modes, which do not describe it.
        """
        every = np.ones(len(seen.places.flux), bool)
        pixels = improve_pixels(state.pixels, seen, np.ones((every.size, 1)), every, 1)
        return state.with_pixels(pixels).normalized().centered(self.config.centering_tolerance_pix)

    def _design(self, state: PsfState, stamps: Stamps, places: Places) -> Floats:
        return state.basis.design(stamps.column + places.dx, stamps.row + places.dy)

    def _pixel_terms(self, n_stars: int, basis: Basis2D) -> int:
        order = min(self.config.pixel_order, basis.order)
        while order and (order + 1) * (order + 2) / 2 * self.config.stars_per_pixel_term > n_stars:
            order -= 1
        return (order + 1) * (order + 2) // 2


def _require(number: int, config: PsfConfig) -> None:
    if number < config.min_stars:
        raise AlgorithmError(
            f"{number} stars are too few for a PSF model",
            {"stars": number, "least": config.min_stars},
            "Look at star_selection, or lower psf.min_stars.",
        )


def _first_guess(
    image: NDArray[np.float32],
    variance: NDArray[np.float32],
    bad: Bools,
    x: Floats,
    y: Floats,
    flux: Floats,
    config: PsfConfig,
    neighbors: Neighbors | None,
) -> tuple[Moffat, Stamps, Places, float]:
    """Return a profile through the mean star, stamps of the right size, and the grid's step."""
    half = config.max_half_size_pix
    while True:
        stamps = cut(image, variance, bad, x, y, half, neighbors)
        seen = stamps.good[:, half - 1 : half + 2, half - 1 : half + 2].any(axis=(1, 2))
        _require(int(seen.sum()), config)
        places = Places(np.asarray(flux, float), x - stamps.column, y - stamps.row)
        mean, weight = mean_star(stamps, places, config.kernel_order)
        moments, _, _ = adaptive_moments(np.where(weight > 0, mean, 0.0))
        sigma = float(moments.determinant_radius)
        if not 0.3 < sigma < config.max_half_size_pix / 2:
            raise AlgorithmError(
                f"the mean of {len(x)} PSF stars has the size {sigma:.3g} pix",
                {"stars": len(x), "sigma_pix": sigma},
                "The selected sources are not stars; look at star_selection.",
            )
        wanted = int(np.ceil(config.half_size_fwhm * _FWHM_PER_SIGMA * sigma))
        wanted = int(np.clip(wanted, config.min_half_size_pix, config.max_half_size_pix))
        if wanted >= half:
            break
        half = wanted
    profile = fit_moffat(mean, weight, _FWHM_PER_SIGMA * sigma)
    step = 0.5 if sigma < config.fine_grid_sigma_pix else 1.0
    return profile, stamps, places, step
