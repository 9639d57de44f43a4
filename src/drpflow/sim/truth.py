"""How many stars of a frame can be used, worked out from truth without rendering.

It says how hard a survey is: the number of stars from which a point-spread function can be
modelled, and of bright stars of the reference catalogue, on each detector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.placement import Placed, pixel_arcsec, place_sources
from drpflow.sim.psf_image import central_image
from drpflow.sim.scene import median_sky
from drpflow.sim.sources import Kind
from drpflow.sim.wings import wing_fraction

if TYPE_CHECKING:
    from drpflow.sim.survey import Survey
    from drpflow.sim.visit_model import VisitModel

PSF_STAR_SNR = 50.0
BRIGHT_STAR_SNR = 200.0
EDGE_PIX = 15.0
"""Half a stamp: stars closer to the edge cannot be used."""

ISOLATION_ARCSEC = 3.0
ISOLATION_FLUX = 0.03
"""A neighbour within this distance and with more than this share of the flux spoils a star."""


@dataclass(frozen=True)
class FrameStars:
    """Sources of one frame and what can be made of them; arrays of shape (N,).

    Parameters
    ----------
    placed
        Sources on the detector.
    snr
        Signal to noise of a fit of the point-spread function.
    saturated
        The brightest pixel reaches 90 % of full well.
    isolated
        No neighbour disturbs it.
    central
        Far enough from the edges.
    effective_area_pix
        Of the point-spread function at the detector's centre.
    sky_electron
        Median sky.
    """

    placed: Placed
    snr: np.ndarray
    saturated: np.ndarray
    isolated: np.ndarray
    central: np.ndarray
    effective_area_pix: float
    sky_electron: float

    @property
    def clean_star(self) -> np.ndarray:
        """Stars that are not saturated, not blended and not at the edge."""
        star = self.placed.sources["kind"] == Kind.STAR
        return star & ~self.saturated & self.isolated & self.central

    @property
    def psf_star(self) -> np.ndarray:
        """Clean stars of S/N ≥ 50."""
        return self.clean_star & (self.snr >= PSF_STAR_SNR)

    def bright_reference_star(self, reference_ids: np.ndarray) -> np.ndarray:
        """Clean stars of S/N ≥ 200 that the reference catalogue holds."""
        listed = np.isin(self.placed.sources["id"], reference_ids)
        return self.clean_star & (self.snr >= BRIGHT_STAR_SNR) & listed


def frame_stars(model: VisitModel, detector: int, sources: np.ndarray) -> FrameStars:
    """Judge the sources of one frame.

    Parameters
    ----------
    model
        The visit.
    detector
        Detector id.
    sources
        All sources of the visit.
    """
    if detector in model.truth.empty_detectors:
        sources = sources[:0]
    nx, ny = model.optics.detectors[detector].place.size_pix
    placed = place_sources(model, detector, sources)
    on = (placed.x >= -0.5) & (placed.x < nx - 0.5) & (placed.y >= -0.5) & (placed.y < ny - 0.5)
    placed = placed.select(on)
    sky = median_sky(model, detector)
    profile = central_image(model, detector) * (1 - wing_fraction(model.config.artifacts))
    area, peak = 1 / float((profile**2).sum()), float(profile.max())
    effects = model.config.detector
    noise2 = sky + effects.electronics.read_noise_electron**2
    snr = placed.flux_electron / np.sqrt(placed.flux_electron + area * noise2)
    limit = 0.9 * effects.saturation.full_well_electron
    edge = np.minimum(
        np.minimum(placed.x, nx - 1 - placed.x), np.minimum(placed.y, ny - 1 - placed.y)
    )
    return FrameStars(
        placed=placed,
        snr=snr,
        saturated=placed.flux_electron * peak + sky > limit,
        isolated=_isolated(placed, ISOLATION_ARCSEC / pixel_arcsec(model, detector)),
        central=edge > EDGE_PIX,
        effective_area_pix=area,
        sky_electron=sky,
    )


def _isolated(placed: Placed, radius_pix: float) -> np.ndarray:
    """Return which sources no neighbour of some flux comes close to."""
    from scipy.spatial import cKDTree

    isolated = np.ones(len(placed.x), bool)
    if len(placed.x) < 2:
        return isolated
    tree = cKDTree(np.stack([placed.x, placed.y], axis=1))
    a, b = tree.query_pairs(radius_pix, output_type="ndarray").T
    flux = placed.flux_electron
    isolated[a[flux[b] > ISOLATION_FLUX * flux[a]]] = False
    isolated[b[flux[a] > ISOLATION_FLUX * flux[b]]] = False
    return isolated


def count_stars(survey: Survey) -> np.ndarray:
    """Count usable stars on every frame of a survey.

    Returns
    -------
    numpy.ndarray
        Fields ``visit``, ``detector``, ``psf_stars`` (clean, S/N ≥ 50) and
        ``bright_reference_stars`` (clean, S/N ≥ 200, in the reference catalogue).
    """
    from drpflow.sim.reference import reference_table

    _, reference_ids = reference_table(survey)
    rows = []
    for visit in survey.visits:
        model, sources = survey.model(visit.visit), survey.sources(visit.visit)
        for detector in survey.instrument.detectors:
            stars = frame_stars(model, detector.id, sources)
            bright = stars.bright_reference_star(reference_ids)
            rows.append((visit.visit, detector.id, stars.psf_star.sum(), bright.sum()))
    names = ("visit", "detector", "psf_stars", "bright_reference_stars")
    return np.array(rows, dtype=[(name, "i8") for name in names])
