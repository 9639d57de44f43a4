"""A simulated survey of positions in the form that the fit takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from drpflow.data.astrometric_tables import (
    Detectors,
    Observations,
    ReferenceAstrometry,
    Stars,
    Visits,
)
from drpflow.data.plane_maps import AffineMap, RadialMap
from drpflow.data.sky_wcs import DETECTOR, OPTICS, VISIT, SkyWcs
from drpflow.sim.astrometric_camera import PIXEL_MM

if TYPE_CHECKING:
    from drpflow.sim.astrometric_survey import AstrometricSurvey


def observations_of(survey: AstrometricSurvey) -> Observations:
    """Return the measurements."""
    c = survey.centroids
    return Observations(c.star, c.visit, c.detector, c.x, c.y, c.xx, c.xy, c.yy)


def visits_of(survey: AstrometricSurvey) -> Visits:
    """Return the visits as headers describe them."""
    visits = survey.visits
    return Visits(
        bands=survey.bands,
        id=np.array([1000 + v.number for v in visits]),
        mjd=np.array([v.mjd for v in visits]),
        band=np.array([v.band for v in visits]),
        ra_deg=np.array([v.ra_deg for v in visits]),
        dec_deg=np.array([v.dec_deg for v in visits]),
        rotation_deg=np.array([v.rotation_deg for v in visits]),
        x_axis="east",
        zenith=np.array([v.zenith_tangent() for v in visits]),
    )


def detectors_of(survey: AstrometricSurvey) -> Detectors:
    """Return the camera as its makers describe it."""
    camera = survey.camera
    side, scale = camera.config.side_pix, camera.scale_deg / PIXEL_MM
    optics = RadialMap(scale, camera.radius_deg / scale, (camera.config.radial,))
    middle = PIXEL_MM * (side - 1) / 2
    stages = []
    for x_deg, y_deg in zip(camera.x_deg, camera.y_deg, strict=True):
        offset = np.array([x_deg, y_deg]) / scale - middle
        stages.append(((DETECTOR, AffineMap(PIXEL_MM * np.eye(2), offset)), (OPTICS, optics)))
    number = camera.x_deg.size
    return Detectors(np.arange(number), np.full((number, 2), side), tuple(stages))


def stars_of(survey: AstrometricSurvey, *, reference: bool = True) -> Stars:
    """Return the stars, with or without the reference catalogue."""
    s, r = survey.stars, survey.stars.reference
    covariance = np.einsum("si,ij->sij", r.error**2, np.eye(5))
    catalog = ReferenceAstrometry(
        r.ra, r.dec, r.pm_ra, r.pm_dec, r.parallax, covariance, np.full(len(s), s.epoch_mjd)
    )
    stars = Stars(s.id, s.start_ra, s.start_dec, s.color_told, s.reserved, catalog)
    return stars if reference else stars.without_reference()


class Starts(Mapping[tuple[int, int], SkyWcs]):
    """The coordinate systems to begin with, by row of visit and detector, made when asked for."""

    def __init__(
        self, visits: Visits, detectors: Detectors, matrix: np.ndarray, offset_deg: np.ndarray
    ) -> None:
        self.visits, self.detectors = visits, detectors
        self.matrix, self.offset_deg = matrix, offset_deg

    def __getitem__(self, key: tuple[int, int]) -> SkyWcs:
        visit, detector = key
        item = AffineMap(self.matrix[visit, detector], self.offset_deg[visit, detector])
        nx, ny = self.detectors.size_pix[detector].tolist()
        stages = (*self.detectors.stages[detector], (VISIT, item))
        return SkyWcs(stages, self.visits.projection(visit), (nx, ny))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter((v, d) for v in range(len(self.visits)) for d in range(len(self.detectors)))

    def __len__(self) -> int:
        return len(self.visits) * len(self.detectors)


def starts_of(survey: AstrometricSurvey) -> Starts:
    """Return the coordinate systems that single images would have."""
    matrix, offset = survey.start_matrix, survey.start_offset_deg
    return Starts(visits_of(survey), detectors_of(survey), matrix, offset)
