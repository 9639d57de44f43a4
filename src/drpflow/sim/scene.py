"""What falls on one detector during one visit: the expected number of photo-electrons.

Order: sky and scattered light, points and galaxies, aureoles and spikes, ghosts, trails.
Everything later (pixel response, noise, charge, readout) is the detector's business.

Cost: about 0.4 ms a faint source in good seeing (0.2 ms in mediocre), 8 ms for one that needs a
box of 512²; 30 ns a pixel for the sky.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.canvas import BOXES_PIX, canvas, paste, sampling
from drpflow.sim.earth import ra_dec_deg
from drpflow.sim.galaxy_profile import galaxy_transfer, trail_transfer
from drpflow.sim.ghosts import ghost_image
from drpflow.sim.photometry import band_flux, mag_to_njy, standard_curve
from drpflow.sim.placement import (
    Placed,
    pixel_angles,
    pixel_arcsec,
    place_sources,
    trail_pixels,
)
from drpflow.sim.sed import SedLibrary
from drpflow.sim.sky import smooth_map
from drpflow.sim.sources import Kind
from drpflow.sim.wings import build_wings, wing_fraction

if TYPE_CHECKING:
    from collections.abc import Callable

    from drpflow.sim.canvas import Canvas
    from drpflow.sim.optics import TrueDetector
    from drpflow.sim.visit_model import VisitModel

STAMP_LIMIT_SIGMA = 0.01
"""Surface brightness, in units of the sky noise, at which a stamp may end."""

WING_LIMIT_SIGMA = 0.002
MASK_LIMIT_SIGMA = 0.2
_BORDER_PIX = 20
_CORE_PIX = 16
"""Holds the core of an image in any seeing that is simulated."""

OBJECT_DTYPE = np.dtype(
    [
        ("id", "i8"),
        ("kind", "i4"),
        ("x", "f8"),
        ("y", "f8"),
        ("flux_electron", "f8"),
        ("mag", "f8"),
        ("ra", "f8"),
        ("dec", "f8"),
        ("sed", "f8"),
        ("peak_electron", "f8"),
        ("effective_area_pix", "f8"),
    ]
)
"""Truth of one source on one detector. ``x, y``: its place; ``flux_electron``: all its light,
wings included; ``mag``: standard AB magnitude in the visit's band at that time; ``ra, dec``:
ICRS direction as seen from the Earth (parallax included); ``peak_electron``: its own brightest
pixel; ``effective_area_pix``: 1/Σp², of its image without wings."""


@dataclass(frozen=True)
class Scene:
    """Expected photo-electrons on one detector.

    Parameters
    ----------
    electrons
        All light, shape (ny, nx).
    sky_electrons
        Sky and scattered light alone, shape (ny, nx).
    objects
        Sources on and just beside the detector, of :data:`OBJECT_DTYPE`.
    trail_mask, ghost_mask
        Pixels in which trails and ghosts exceed a fifth of the sky noise, shape (ny, nx).
    """

    electrons: np.ndarray
    sky_electrons: np.ndarray
    objects: np.ndarray
    trail_mask: np.ndarray
    ghost_mask: np.ndarray


def render_scene(model: VisitModel, detector: int, sources: np.ndarray) -> Scene:
    """Render one detector of one visit.

    Parameters
    ----------
    model
        The visit.
    detector
        Detector id.
    sources
        All sources of the visit, of :data:`drpflow.sim.sources.SOURCE_DTYPE`.
    """
    true = model.optics.detectors[detector]
    if detector in model.truth.empty_detectors:
        sources = sources[:0]
    sky = render_sky(model, detector)
    noise = max(float(np.sqrt(sky.mean())), 1.0)
    image = sky.copy()
    placed = place_sources(model, detector, sources)
    objects = _draw_sources(model, true, placed, image, noise)
    _draw_wings(model, true, placed, image, noise)
    ghost_mask = _draw_ghosts(model, true, placed, image, noise)
    trail_mask = _draw_trails(model, detector, image, noise)
    return Scene(image, sky, objects, trail_mask, ghost_mask)


def render_sky(model: VisitModel, detector: int) -> np.ndarray:
    """Return electrons per pixel from sky and scattered light, shape (ny, nx)."""
    place = model.optics.detectors[detector].place
    return smooth_map(place, _sky_function(model, detector))


def median_sky(model: VisitModel, detector: int) -> float:
    """Return the median of :func:`render_sky` to 1e-3, from a few hundred places."""
    place = model.optics.detectors[detector].place
    middles = (np.arange(20) + 0.5) / 20
    x, y = np.meshgrid(middles * place.size_pix[0] - 0.5, middles * place.size_pix[1] - 0.5)
    return float(np.median(_sky_function(model, detector)(*place.pixel_to_focal(x, y))))


def _sky_function(
    model: VisitModel, detector: int
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the sky in electrons per pixel as a function of the focal plane [mm]."""
    item = next(f for f in model.config.instrument.filters if f.band == model.truth.band)
    # Airglow comes from a shell: more of it in the line of sight further down.
    mag = item.sky_mag + model.truth.sky_offset_mag
    brightness = float(mag_to_njy(mag)) * model.truth.airmass**0.6
    level = brightness * model.flat_rate(detector, through_air=False)
    level *= model.truth.exposure_time_s * pixel_arcsec(model, detector) ** 2

    def electrons(x_mm: np.ndarray, y_mm: np.ndarray) -> np.ndarray:
        proper = model.sky.sky(x_mm, y_mm) * model.optics.illumination(x_mm, y_mm)
        area = model.optics.pixel_area(x_mm, y_mm)
        return level * (proper + model.sky.scattered(x_mm, y_mm)) * area

    return electrons


def _draw_sources(
    model: VisitModel, true: TrueDetector, placed: Placed, image: np.ndarray, noise: float
) -> np.ndarray:
    """Add the images of all sources without their far wings, and return the truth of each."""
    scale = pixel_arcsec(model, true.place.id)
    boxes = _boxes(placed, scale, STAMP_LIMIT_SIGMA * noise)
    ny, nx = image.shape
    near = (placed.x > -boxes / 2 - 1) & (placed.x < nx + boxes / 2)
    near &= (placed.y > -boxes / 2 - 1) & (placed.y < ny + boxes / 2)
    placed, boxes = placed.select(near), boxes[near]
    compact = 1 - wing_fraction(model.config.artifacts)
    peak, area = np.zeros(len(boxes)), np.zeros(len(boxes))
    x0, y0 = np.stack([placed.x, placed.y]) + placed.cumulants.centering_pix().T
    angles = pixel_angles(model, true, placed.sources["position_angle_deg"])
    trails = trail_pixels(model, true, placed.sources["trail_arcsec"], scale)
    for i, box in enumerate(boxes):
        turbulence, covariance, coma = placed.cumulants.row(i)
        # Of faint sources noise hides more.
        aliasing = STAMP_LIMIT_SIGMA * noise / placed.flux_electron[i]
        board = canvas(int(box), sampling(turbulence, covariance, aliasing))
        shape = _shape(board, placed.sources[i], scale, angles[i], trails[i])
        column, row = round(placed.x[i]), round(placed.y[i])
        half = int(box) // 2
        center = (half + x0[i] - column, half + y0[i] - row)
        stamp = board.draw(center, turbulence, covariance, coma, shape)
        area[i] = 1 / np.einsum("ij,ij", stamp, stamp)
        stamp *= placed.flux_electron[i] * compact
        peak[i] = stamp.max()
        paste(image, stamp, column - half, row - half)
    return _truth(model, placed, peak, area, (nx, ny))


def _boxes(placed: Placed, pixel_scale: float, limit_electron: float) -> np.ndarray:
    """Return the size of each source's stamp, beyond which it is fainter than a limit.

    Far out Kolmogorov's image falls as ``0.1423 a r^(-11/3)``, the transform of
    ``-a k^(5/3)``; a disc of scale h as ``exp(-r/h) / (2 π h²)``; a bulge of half-light radius
    R as ``exp(-7.67 ((r/R)^¼ - 1)) / (7.215 π R²)``.
    """
    sizes = np.array(BOXES_PIX)
    s, brightness = placed.sources, placed.flux_electron / limit_electron
    reach = (0.1423 * placed.cumulants.turbulence * brightness) ** (3 / 11)
    scale = np.maximum(s["disc_radius_arcsec"] / pixel_scale / 1.678, 0.1)
    disc = scale * _positive_log(brightness / (2 * np.pi * scale**2))
    radius = np.maximum(s["bulge_radius_arcsec"] / pixel_scale, 0.1)
    bulge = brightness * s["bulge_fraction"] / (7.215 * np.pi * radius**2)
    bulge = np.where(bulge > 0, radius * (1 + _positive_log(bulge) / 7.67) ** 4, 0.0)
    extended = np.where(s["kind"] == Kind.GALAXY, np.maximum(disc, bulge) + _CORE_PIX / 2, 0.0)
    blur = np.sqrt(placed.cumulants.covariance[:, [0, 2]].sum(axis=1))
    moving = np.hypot(*s["trail_arcsec"].T) / pixel_scale
    needed = 2 * (np.maximum(np.maximum(reach, extended), _CORE_PIX) + 3 * blur + moving)
    return sizes[np.minimum(np.searchsorted(sizes, needed), len(sizes) - 1)]


def _positive_log(value: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(value, 1.0))


def _shape(
    board: Canvas, source: np.void, pixel_scale: float, angle_rad: float, trail: np.ndarray
) -> np.ndarray | None:
    if source["kind"] == Kind.GALAXY:
        return galaxy_transfer(board, source, pixel_scale, angle_rad)
    if source["kind"] == Kind.ASTEROID:
        return trail_transfer(board, (float(trail[0]), float(trail[1])))
    return None


def _truth(
    model: VisitModel, placed: Placed, peak: np.ndarray, area: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Return the truth table of the sources on and just beside the detector."""
    standard = band_flux(
        model.sed_library, standard_curve(model.throughputs, model.truth.physical_filter)
    )
    s = placed.sources
    found = np.zeros(len(s), OBJECT_DTYPE)
    for name in ("id", "kind", "sed"):
        found[name] = s[name]
    found["x"], found["y"] = placed.x, placed.y
    found["flux_electron"] = placed.flux_electron
    found["mag"] = s["mag"] - 2.5 * np.log10(SedLibrary.interpolate(standard, s["sed"]))
    found["ra"], found["dec"] = ra_dec_deg(s["direction"])
    found["peak_electron"], found["effective_area_pix"] = peak, area
    inside = (found["x"] > -_BORDER_PIX) & (found["x"] < size[0] + _BORDER_PIX)
    inside &= (found["y"] > -_BORDER_PIX) & (found["y"] < size[1] + _BORDER_PIX)
    return found[inside]


def _draw_wings(
    model: VisitModel, true: TrueDetector, placed: Placed, image: np.ndarray, noise: float
) -> None:
    """Add aureoles and spikes, also of stars beyond the detector's edges."""
    scale = pixel_arcsec(model, true.place.id)
    wavelength = model.geometry.wavelength_nm
    fwhm_pix = float(model.psf.fwhm_arcsec(wavelength)) / scale
    wings = build_wings(model.config.artifacts, scale, fwhm_pix, true.place.rotation_deg)
    limit = WING_LIMIT_SIGMA * noise
    for x, y, flux in zip(placed.x, placed.y, placed.flux_electron, strict=True):
        wings.add_aureole(image, x, y, flux, limit)
        wings.add_spikes(image, x, y, flux, limit)


def _draw_ghosts(
    model: VisitModel, true: TrueDetector, placed: Placed, image: np.ndarray, noise: float
) -> np.ndarray:
    """Add ghosts of bright stars on the camera, and return the pixels that they touch."""
    touched = np.zeros(image.shape, bool)
    a = model.config.artifacts
    if not a.ghosts:
        return touched
    bright = (placed.sources["mag"] < a.ghost_mag) & (placed.sources["kind"] == Kind.STAR)
    # Only light that passes through the corrector is reflected there.
    bright &= np.hypot(placed.x_mm, placed.y_mm) < 1.3 * model.optics.radius_mm
    for i in np.flatnonzero(bright):
        star = (float(placed.x_mm[i]), float(placed.y_mm[i]))
        found = ghost_image(true.place, star, a.ghost_fraction * placed.flux_electron[i])
        if found is None:
            continue
        ghost, x0, y0 = found
        window = (slice(y0, y0 + ghost.shape[0]), slice(x0, x0 + ghost.shape[1]))
        image[window] += ghost
        touched[window] |= ghost > MASK_LIMIT_SIGMA * noise
    return touched


def _draw_trails(model: VisitModel, detector: int, image: np.ndarray, noise: float) -> np.ndarray:
    """Add satellite trails, and return the pixels that they touch."""
    touched = np.zeros(image.shape, bool)
    place = model.optics.detectors[detector].place
    scale = pixel_arcsec(model, detector)
    seeing = float(model.psf.fwhm_arcsec(model.geometry.wavelength_nm))
    per_njy = model.flat_rate(detector) * model.truth.exposure_time_s * scale**2
    for trail in model.trails:
        peak = float(mag_to_njy(trail.mag_per_arcsec2)) * per_njy
        width = np.hypot(seeing, trail.defocus_arcsec) / scale
        pixels, electrons = trail.draw(place, peak, float(width))
        image.ravel()[pixels] += electrons
        touched.ravel()[pixels[electrons > MASK_LIMIT_SIGMA * noise]] = True
    return touched
