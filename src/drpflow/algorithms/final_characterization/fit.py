"""The fit of the PSF of all detectors of a visit together; see ``docs/algorithms/final_psf.md``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.final_characterization.geometry import Place, alike, domain_of
from drpflow.algorithms.final_characterization.hierarchy import Terms, fit_hierarchy
from drpflow.algorithms.final_characterization.level import level_error, with_levels
from drpflow.algorithms.final_characterization.state import ColoredState
from drpflow.algorithms.psf_fit.model import N_MODES, PsfState
from drpflow.algorithms.psf_fit.pixels import back_project, update_pixels
from drpflow.algorithms.psf_fit.profile import fit_moffat, mean_star
from drpflow.algorithms.psf_fit.rejection import EARLY_ERROR, light_lost, outlying, plausible
from drpflow.algorithms.psf_fit.stamps import Stamps
from drpflow.algorithms.psf_fit.stars import Places, compare, improve_places, project_modes
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.algorithms.final_characterization.hierarchy import Hierarchy, Widths
    from drpflow.algorithms.psf_fit.stars import Comparison, PlacePrior
    from drpflow.config.final_psf import FinalPsfConfig
    from drpflow.data.psf import PixelGridPsf

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

# Sizes that terms are expected to have, as a change of size or ellipticity, halved with each
# degree: of the focal plane, of a detector beyond, by a magnitude of colour.
_EXPECTED = 0.03
_EXPECTED_OWN = 0.003
_EXPECTED_COLOR = 0.01
_EXPECTED_PEDESTAL = 0.003
# Colour changes blur and wings, not what is odd.
_EVEN_MODES = 4


@dataclass(frozen=True, eq=False)
class DetectorStars:
    """Stars of a detector.

    Parameters
    ----------
    place
        The detector.
    stamps
        Their pixels, N of them.
    places
        Their fluxes and places, good to a factor of two and a pixel.
    color
        Their colours, mag; NaN where unknown, shape (N,).
    prior
        What is known of their places, or None.
    """

    place: Place
    stamps: Stamps
    places: Places
    color: Floats
    prior: PlacePrior | None = None

    def __len__(self) -> int:
        return len(self.stamps)

    @property
    def x(self) -> Floats:
        """Columns."""
        return self.stamps.column + self.places.dx

    @property
    def y(self) -> Floats:
        """Rows."""
        return self.stamps.row + self.places.dy

    def select(self, rows: Bools) -> DetectorStars:
        """Return some of the stars."""
        prior = None if self.prior is None else self.prior.select(rows)
        places = self.places.select(rows)
        return DetectorStars(self.place, self.stamps.select(rows), places, self.color[rows], prior)


@dataclass(frozen=True, eq=False)
class DetectorFit:
    """The model of a detector, and what its stars said.

    Parameters
    ----------
    psf
        The model; its adaptive centroid is in the centre.
    used
        Which of the stars given made it, shape (N,).
    chi2_per_pixel
        Of those; NaN for the others.
    """

    psf: PixelGridPsf
    used: Bools
    chi2_per_pixel: Floats

    def is_star(self, place: Place) -> bool:
        """Return whether the model has a size all over a detector."""
        x_min, x_max, y_min, y_max = place.box.extent
        x, y = np.meshgrid(np.linspace(x_min, x_max, 4), np.linspace(y_min, y_max, 4))
        try:
            sigma = self.psf.compute_sigma(x.ravel(), y.ravel())
        except AlgorithmError:
            return False
        return bool(np.isfinite(sigma).all())


@dataclass(frozen=True, eq=False)
class VisitFit:
    """Models of all detectors.

    Parameters
    ----------
    detectors
        In the order given.
    order
        Degree over the focal plane.
    color_ref
        Reference colour, mag, or None.
    fwhm_pix
        Of the mean star.
    scatter
        Scatter of size (log) and ellipticity of stars beyond noise.
    own
        The same of what detectors have of their own: root mean square of their constant terms.
    level_electron
        Expected size of what the background leaves under a star, electrons a pixel.
    """

    detectors: list[DetectorFit]
    order: int
    color_ref: float | None
    fwhm_pix: float
    scatter: dict[str, float]
    own: dict[str, float]
    level_electron: float = 0.0


def fit_visit(
    stars: Sequence[DetectorStars], config: FinalPsfConfig, domain: Domain | None = None
) -> VisitFit:
    """Fit the PSF of all detectors of a visit together.

    Parameters
    ----------
    stars
        Of each detector; some may have none.
    config
        Parameters. With the method ``detectors`` the stars must be of one.
    domain
        Rectangle about the detectors, mm; that of the detectors given by default.

    Raises
    ------
    AlgorithmError
        If there are fewer than `min_stars` stars in all, or they do not look like stars.
    """
    return _Fit(stars, config, domain or domain_of(s.place for s in stars)).run()


class _Fit:
    """The rounds of the fit; holds the models while stars come and go."""

    def __init__(
        self, stars: Sequence[DetectorStars], config: FinalPsfConfig, domain: Domain
    ) -> None:
        self.config, self.domain = config, domain
        self.stars = list(stars)
        self.kept = [np.ones(len(s), bool) for s in stars]
        self.alone = config.method != "focal_plane"
        self.groups = alike([s.place for s in stars])
        self.widths: Widths | None = None
        self.level_error = 0.0
        self.field: Hierarchy | None = None
        self._require()
        self.color_ref = self._reference_color()
        profile, weight = self._mean_star()
        self.profile = fit_moffat(profile, weight, self._sigma(profile, weight))
        self._drop([light_lost(s.stamps, self.profile) <= config.max_masked_light for s in stars])
        self.order = self._order(config.detector_order if self.alone else config.order)
        self.pixel_basis: Basis2D | None = None
        self.pixels: dict[int, Floats] = {}
        self.states = self._start()

    def run(self) -> VisitFit:
        """Return the models after all rounds."""
        for round_ in range(self.config.iterations):
            self._improve(round_)
        return self._result()

    def _improve(self, round_: int) -> None:
        """Improve places, modes and pixels once, and drop stars that do not fit."""
        config = self.config
        error = max([config.relative_error, *EARLY_ERROR[round_ : round_ + 1]])
        seen = self._place(error)
        if self.config.background_level and self._find_levels(seen):
            seen = self._place(error)
        light, sigma, last = config.max_masked_light, config.star_outlier_sigma, round_ > 1
        good = [plausible(s, light, sigma, last=last) if len(s.residual) else _none() for s in seen]
        if not all(g.all() for g in good):
            self._drop(good)
            self._lower_order()
            seen = self._place(error)
        if round_ == 0:
            self._improve_pixels(seen, 0)
            seen = self._place(error)
        self._improve_modes(seen)
        if round_ > 0:
            assert self.field is not None
            off = outlying(self.field.residual, self.field.residual_sigma, sigma)
            edges = np.cumsum([len(s) for s in self.stars])[:-1]
            self._drop(np.split(~off, edges))
            self._improve_pixels(self._place(error, rounds=1), self._pixel_order())
        self.states = [s.finished(config.centering_tolerance_pix) for s in self.states]

    def _place(self, relative_error: float, rounds: int = 2) -> list[Comparison]:
        """Return the models on the stars, whose places and fluxes are improved."""
        seen = []
        for row, (own, state) in enumerate(zip(self.stars, self.states, strict=True)):
            psf, excess = state.psf, self._color(own)
            clip = self.config.outlier_sigma
            for _ in range(rounds if len(own) else 0):
                found = compare(psf, own.stamps, own.places, relative_error, clip, excess)
                own = replace(own, places=improve_places(found, own.prior, self.level_error))  # noqa: PLW2901
            self.stars[row] = own
            seen.append(compare(psf, own.stamps, own.places, relative_error, clip, excess))
        return seen

    def _find_levels(self, seen: list[Comparison]) -> bool:
        """Find how far the background is off under the stars; return whether that was not known."""
        known, self.level_error = self.level_error > 0, level_error(seen)
        for row, own in enumerate(self.stars):
            self.stars[row] = replace(own, places=with_levels(own.places, self.level_error))
        return known != (self.level_error > 0)

    def _color(self, stars: DetectorStars) -> Floats | None:
        """Return colours for the model; unknown ones are those of the reference."""
        if self.color_ref is None:
            return None
        return np.where(np.isfinite(stars.color), stars.color, self.color_ref)

    def _improve_modes(self, seen: list[Comparison]) -> None:
        """Fit the amplitudes of the modes over the focal plane."""
        rights, precisions = [], []
        for stars, state, found in zip(self.stars, self.states, seen, strict=True):
            right, precision = project_modes(
                found, state.state.modes, stars.prior, self.level_error
            )
            present = state.amplitudes(stars.x, stars.y, stars.color)
            right = right + np.einsum("nab,nb->na", precision, present)
            turn = stars.place.mode_turn
            rights.append(right @ turn.T)
            precisions.append(turn @ precision @ turn.T)
        terms = self._terms()
        self.field = fit_hierarchy(
            np.concatenate(rights), np.concatenate(precisions), terms, self.widths
        )
        self.widths = self.field.widths
        self._take_modes(self.field)

    def _take_modes(self, field: Hierarchy) -> None:
        """Turn amplitudes over the focal plane into those of each detector."""
        focal, color = self._focal_basis(), self._color_basis()
        for row, (stars, state) in enumerate(zip(self.stars, self.states, strict=True)):
            place, basis = stars.place, state.state.basis
            amplitudes = place.to_own(focal, basis) @ field.shared[: focal.n_terms]
            amplitudes[: field.own.shape[1]] += field.own[row]
            slopes = np.zeros((state.color_basis.n_terms, N_MODES))
            if self.color_ref is not None:
                first, last = focal.n_terms, focal.n_terms + color.n_terms
                slopes = place.to_own(color, state.color_basis) @ field.shared[first:last]
            turn = place.mode_turn
            self.states[row] = state.with_modes(amplitudes @ turn, slopes @ turn)

    def _terms(self) -> Terms:
        """Return the design of the fit of the modes."""
        focal, own, color = self._focal_basis(), self._own_order(), self._color_basis()
        shared, owns, detector = [], [], []
        flux = float(np.median(np.concatenate([s.places.flux for s in self.stars])))
        for row, (stars, state) in enumerate(zip(self.stars, self.states, strict=True)):
            x_mm, y_mm = stars.place.to_focal.forward(stars.x, stars.y)
            columns = [focal.design(x_mm, y_mm)]
            if self.color_ref is not None:
                excess = state.excess(stars.color)
                columns.append(excess[:, None] * color.design(x_mm, y_mm))
            if self.config.pedestal:
                columns.append((flux / np.maximum(stars.places.flux, flux / 30))[:, None])
            shared.append(np.concatenate(columns, axis=1))
            basis = Basis2D(max(own, 0), Domain.of_box(stars.place.box))
            owns.append(basis.design(stars.x, stars.y)[:, : basis.n_terms if own >= 0 else 0])
            detector.append(np.full(len(stars), row))
        degrees = [focal.exponents.sum(axis=1)]
        if self.color_ref is not None:
            degrees.append(color.exponents.sum(axis=1) + 100)
        if self.config.pedestal:
            degrees.append(np.array([300]))
        own_degrees = _degrees(own) + 200
        kinds, classes = np.unique(np.concatenate([*degrees, own_degrees]), return_inverse=True)
        expected = np.array([_expected(int(kind)) for kind in kinds])
        modes = np.ones((len(kinds), N_MODES), bool)
        modes[(kinds // 100 == 1) | (kinds // 100 == 3), _EVEN_MODES:] = False
        n_shared = sum(len(d) for d in degrees)
        return Terms(
            np.concatenate(shared),
            np.concatenate(owns),
            np.concatenate(detector),
            len(self.stars),
            classes[:n_shared],
            classes[n_shared:],
            expected,
            modes,
        )

    def _improve_pixels(self, seen: list[Comparison], order: int) -> None:
        """Fit the free pixels, those of detectors that stand alike together."""
        basis = Basis2D(order, self.domain)
        for group in self.groups:
            parts, designs = [], []
            for row in group:
                found, stars = seen[row], self.stars[row]
                flux = found.places.flux
                parts.append(
                    back_project(found.residual, found.weight, flux, found.along_y, found.along_x)
                )
                designs.append(basis.design(*stars.place.to_focal.forward(stars.x, stars.y)))
            design = np.concatenate(designs)
            if not len(design):
                continue
            right, power = (np.concatenate(both) for both in zip(*parts, strict=True))
            shape = (basis.n_terms, *right.shape[1:])
            current = np.zeros(shape)
            old = self.pixels.get(group[0])
            if old is not None:
                common = min(len(old), len(current))
                current[:common] = old[:common]
            self.pixels[group[0]] = update_pixels(current, right, power, design)
            for row in group:
                state = self.states[row]
                own = self.stars[row].place.to_own(basis, state.state.basis)
                pixels = np.tensordot(own, self.pixels[group[0]], axes=1)
                self.states[row] = state.with_pixels(pixels)
        if order == 0:
            tolerance = self.config.centering_tolerance_pix
            self.states = [s.finished(tolerance) for s in self.states]

    def _focal_basis(self) -> Basis2D:
        return Basis2D(self.order, self.domain)

    def _color_basis(self) -> Basis2D:
        return Basis2D(min(self.config.color_order, self.order), self.domain)

    def _own_order(self) -> int:
        """Return the degree of the terms of single detectors, -1 if there are none."""
        return -1 if self.alone or len(self.stars) == 1 else self.config.detector_order

    def _order(self, highest: int) -> int:
        """Return the degree over the focal plane that the stars allow."""
        number, order = sum(map(len, self.stars)), highest
        while order and (order + 1) * (order + 2) / 2 * self.config.stars_per_term > number:
            order -= 1
        return order

    def _lower_order(self) -> None:
        order = self._order(self.order)
        if order < self.order:
            self.order, self.widths = order, None

    def _pixel_order(self) -> int:
        number, order = sum(map(len, self.stars)), min(self.config.pixel_order, self.order)
        per_term = self.config.stars_per_pixel_term
        while order and (order + 1) * (order + 2) / 2 * per_term > number:
            order -= 1
        return order

    def _require(self) -> None:
        number, least = sum(map(len, self.stars)), self.config.min_stars
        if number < least:
            raise AlgorithmError(
                f"{number} stars are too few for a PSF model",
                {"stars": number, "least": least},
                "Look at the isolated stars and their flags, or lower psf.min_stars.",
            )

    def _drop(self, good: Sequence[Bools]) -> None:
        """Go on with some of the stars."""
        for row, kept in enumerate(good):
            self.stars[row] = self.stars[row].select(kept)
            self.kept[row][self.kept[row]] = kept
        self._require()

    def _reference_color(self) -> float | None:
        """Return the median colour of the stars, None where colours are not known."""
        color = np.concatenate([s.color for s in self.stars])
        color = color[np.isfinite(color)]
        if not self.config.color or len(np.unique(color)) < 2:
            return None
        return float(np.median(color))

    def _mean_star(self) -> tuple[Floats, Floats]:
        """Return the mean star and its weights, of the detectors alike that have most stars."""
        number = [sum(len(self.stars[row]) for row in group) for group in self.groups]
        group = self.groups[int(np.argmax(number))]
        members = [self.stars[row] for row in group if len(self.stars[row])]
        self.typical = members[0].place
        stamps = Stamps.joined([m.stamps for m in members])
        places = Places.joined([m.places for m in members])
        return mean_star(stamps, places, self.config.kernel_order)

    def _sigma(self, image: Floats, weight: Floats) -> float:
        """Return the FWHM of the mean star, pixels; raise if it is none."""
        from drpflow.data.psf_moments import adaptive_moments

        moments, _, _ = adaptive_moments(np.where(weight > 0, image, 0.0))
        sigma = float(moments.determinant_radius)
        if not 0.3 < sigma < self.config.max_half_size_pix / 2:
            raise AlgorithmError(
                f"the mean of the PSF stars has the size {sigma:.3g} pix",
                {"sigma_pix": sigma},
                "The isolated stars are no stars, or their places are wrong.",
            )
        return 2.3548 * sigma

    def _start(self) -> list[ColoredState]:
        """Return the profile alone, as each detector sees it."""
        config, typical = self.config, self.typical
        half = self.stars[0].stamps.half_size
        sigma = self.profile.fwhm_pix / 2.3548
        step = 0.5 if sigma < config.fine_grid_sigma_pix else 1.0
        n_grid = 2 * round(half / step) + 1
        focal = typical.to_focal_axes(self.profile)
        order = max(self.order, self._own_order())
        states = []
        for stars in self.stars:
            domain = Domain.of_box(stars.place.box)
            seen = stars.place.profile(focal, typical.pixel_size_mm)
            basis = Basis2D(order, domain)
            state = PsfState.start(seen, basis, n_grid, step, config.kernel_order)
            color = Basis2D(self._color_basis().order, domain)
            nothing = np.zeros((color.n_terms, N_MODES))
            states.append(ColoredState(state, color, nothing, self.color_ref))
        return states

    def _result(self) -> VisitFit:
        """Return the models with their numbers."""
        assert self.field is not None
        found = []
        for seen, state, kept in zip(self._place(0.0), self.states, self.kept, strict=True):
            chi2 = np.full(kept.shape, np.nan)
            chi2[kept] = seen.chi2_per_pixel()
            found.append(DetectorFit(state.psf, kept, chi2))
        scatter = np.sqrt(self.field.widths.scatter2)
        own = np.zeros(N_MODES)
        if self.field.own.shape[1]:
            own = np.sqrt(np.square(self.field.own[:, 0]).mean(axis=0))
        names = {"size": 0, "e": 1}
        return VisitFit(
            found,
            self.order,
            self.color_ref,
            self.profile.fwhm_pix,
            {name: float(scatter[k]) for name, k in names.items()},
            {name: float(own[k]) for name, k in names.items()},
            self.level_error,
        )


def _none() -> Bools:
    return np.zeros(0, bool)


def _degrees(order: int) -> NDArray[np.int64]:
    """Return the total degree of each term."""
    return np.array([k for k in range(order + 1) for _ in range(k + 1)], np.int64)


def _expected(kind: int) -> float:
    """Return the size that terms are expected to have; NaN for the constant."""
    sort, degree = divmod(kind, 100)
    if (sort, degree) == (0, 0):
        return float("nan")
    return (_EXPECTED, _EXPECTED_COLOR, _EXPECTED_OWN, _EXPECTED_PEDESTAL)[sort] / 2.0**degree
