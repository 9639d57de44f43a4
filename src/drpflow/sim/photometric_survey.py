"""A survey of photometry without pixels: what detection and measurement would have given.

Stars of known spectra are seen by a mosaic through drifting air, haze, cloud with gradients, a
dusty mirror and flats that are wrong; some vary, some measurements are spoilt. Everything is
known: for each measurement, by how much its magnitude must be corrected to be the star's standard
magnitude. Work is vectorised by visit; 10⁶ measurements take about a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.atmosphere import STANDARD_AIR, STANDARD_AIRMASS, transmission
from drpflow.sim.earth import unit_vector
from drpflow.sim.photometric_camera import (
    PhotometricCamera,
    StarFlat,
    build_camera,
    draw_star_flat,
)
from drpflow.sim.photometric_light import (
    Spectra,
    StellarLight,
    build_light,
    electron_mag,
    flat_photons,
)
from drpflow.sim.photometric_nights import Exposure, draw_exposures
from drpflow.sim.photometric_stars import PhotometricStars, ab_magnitudes, draw_stars
from drpflow.sim.photometry import AB_ZERO_NJY, PHOTONS_PER_S_M2_NJY
from drpflow.sim.streams import Stage, generator

if TYPE_CHECKING:
    from drpflow.sim.photometric_config import PhotometricConfig

MAG_PER_RELATIVE = 2.5 / np.log(10.0)
_PLACES = (np.arange(16) - 7.5) / 8
NON_PHOTOMETRIC_MAG = 0.02
"""A visit with more cloud than this on average is not photometric."""


@dataclass(frozen=True)
class Measurements:
    """What was measured (N rows), and the truth of it.

    Parameters
    ----------
    star, visit, detector
        Rows of the stars, exposures and detectors.
    mag, mag_err
        ``-2.5 log10(electron/s)`` and the error that a catalogue tells.
    u, v
        Place on the detector, -1 to 1.
    correction
        True standard magnitude of the star less what a measurement without noise would have given
        (of a star that does not vary).
    spoilt
        Measurements with an error that nobody tells.
    """

    star: np.ndarray
    visit: np.ndarray
    detector: np.ndarray
    mag: np.ndarray
    mag_err: np.ndarray
    u: np.ndarray
    v: np.ndarray
    correction: np.ndarray
    spoilt: np.ndarray

    def __len__(self) -> int:
        return self.star.size


@dataclass(frozen=True)
class PhotometricSurvey:
    """A simulated survey.

    Parameters
    ----------
    config
        What was asked for.
    camera, star_flat
        The camera, and what its flats have wrong.
    exposures
        The visits (V), with the air of each.
    stars
        The stars.
    measurements
        What was measured.
    gray_mag
        Mean loss without colour by visit and detector, shape (V, D): aperture, haze, cloud.
    zero_point
        True zero points, shape (V, D): standard magnitude less instrumental one of a star of
        median spectrum, averaged over the detector's area.
    """

    config: PhotometricConfig
    camera: PhotometricCamera
    star_flat: StarFlat
    exposures: list[Exposure]
    stars: PhotometricStars
    measurements: Measurements
    gray_mag: np.ndarray
    zero_point: np.ndarray

    @property
    def photometric(self) -> np.ndarray:
        """Which visits are photometric, shape (V,)."""
        return np.array([e.cloud_mag <= NON_PHOTOMETRIC_MAG for e in self.exposures])

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands."""
        return tuple(f.band for f in self.config.camera.filters)


def simulate_photometry(
    config: PhotometricConfig, standard_air: np.ndarray | None = None
) -> PhotometricSurvey:
    """Draw a survey.

    Parameters
    ----------
    config
        What to simulate; equal configurations give equal surveys.
    standard_air
        Transmission, on :data:`drpflow.sim.sed.WAVELENGTH_NM`, of the air through which, on the
        mean detector, standard magnitudes are defined; that of :mod:`drpflow.sim.atmosphere` if
        not given.
    """
    if standard_air is None:
        standard_air = transmission(STANDARD_AIR, STANDARD_AIRMASS)
    camera, light = build_camera(config), build_light()
    flat = draw_star_flat(camera)
    exposures = draw_exposures(config, camera)
    stars = draw_stars(config, camera, light, standard_air)
    observer = _Observer(config, camera, flat, light, stars, standard_air)
    parts, gray, points = [], [], []
    for exposure in exposures:
        part, mean, point = observer.observe(exposure)
        parts.append(part)
        gray.append(mean)
        points.append(point)
    names = Measurements.__dataclass_fields__
    columns = {name: np.concatenate([p[name] for p in parts]) for name in names}
    measurements = Measurements(**columns)
    return PhotometricSurvey(
        config, camera, flat, exposures, stars, measurements, np.array(gray), np.array(points)
    )


class _Observer:
    """Turns exposures into measurements."""

    def __init__(
        self,
        config: PhotometricConfig,
        camera: PhotometricCamera,
        flat: StarFlat,
        light: StellarLight,
        stars: PhotometricStars,
        standard_air: np.ndarray,
    ) -> None:
        self.config, self.camera, self.flat = config, camera, flat
        self.light, self.stars = light, stars
        self.directions = unit_vector(stars.ra, stars.dec)
        middle = (stars.spectra.template, stars.spectra.reddening_mag)
        self.usual = Spectra(*(np.array([np.median(values)]) for values in middle))
        curves = camera.curves.mean(axis=1) * standard_air
        self.usual_mag = ab_magnitudes(np.zeros(1), self.usual, curves, light)[0]

    def observe(self, exposure: Exposure) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Return the measurements of a visit, and gray loss and zero point of each detector."""
        config, camera = self.config, self.camera
        rows, place = self._seen(exposure)
        detector, u, v = place
        half = camera.half_side_deg
        x, y = camera.x_deg[detector] + half * u, camera.y_deg[detector] + half * v
        lost = exposure.gray_mag(config.gray, camera, x, y)
        lost += self.flat.mag(camera, exposure.epoch, exposure.band, place)
        airmass = exposure.airmass(detector_directions(camera, exposure))
        table = self._light_table(exposure, airmass)
        clean = self._through_air(exposure, table, airmass, rows, detector) + lost
        rng = generator(config.seed, Stage.PHOTONS, exposure.number)
        varied = clean + self.stars.variation_mag(rows, exposure.mjd)
        mag, error, spoilt = self._noise(rng, exposure, varied)
        kept = (error < MAG_PER_RELATIVE / config.noise.min_signal_to_noise) & np.isfinite(mag)
        correction = self.stars.standard_mag[rows, exposure.band] - clean
        columns = {
            "star": rows.astype(np.int32),
            "visit": np.full(rows.size, exposure.number, np.int32),
            "detector": detector.astype(np.int32),
            "mag": mag,
            "mag_err": error.astype(np.float32),
            "u": u.astype(np.float32),
            "v": v.astype(np.float32),
            "correction": correction.astype(np.float32),
            "spoilt": spoilt,
        }
        kept_columns = {name: column[kept] for name, column in columns.items()}
        gray = self._gray(exposure)
        return kept_columns, gray, self._zero_point(exposure, table) - gray

    def _seen(
        self, exposure: Exposure
    ) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Return the stars on detectors, and their detectors and places."""
        near = np.abs(self.stars.dec - exposure.dec_deg) < 1.01 * self.camera.radius_deg
        rows = np.flatnonzero(near)
        x, y = self._field_deg(exposure, self.directions[rows])
        detector, u, v = self.camera.locate(x, y)
        kept = detector >= 0
        return rows[kept], (detector[kept], u[kept], v[kept])

    def _field_deg(
        self, exposure: Exposure, directions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Project directions on the tangent plane at the boresight, +y turned east of north."""
        east, north, out = _axes(exposure)
        depth = directions @ out
        # Nothing behind the observer.
        depth = np.where(depth > 0.1, depth, np.nan)
        xi, eta = (np.rad2deg(directions @ axis / depth) for axis in (east, north))
        turn = np.deg2rad(exposure.rotation_deg)
        x = xi * np.cos(turn) - eta * np.sin(turn)
        y = xi * np.sin(turn) + eta * np.cos(turn)
        return np.nan_to_num(x, nan=1e3), np.nan_to_num(y, nan=1e3)

    def _light_table(self, exposure: Exposure, airmass: np.ndarray) -> np.ndarray:
        """Return what templates give on each detector at its airmass."""
        paths = np.array([exposure.light_path(float(a)) for a in airmass])
        return self.light.per_njy(self.camera.curves[exposure.band] * paths)

    def _zero_point(self, exposure: Exposure, table: np.ndarray) -> np.ndarray:
        """Return the zero points of a star of median spectrum without gray losses, shape (D,)."""
        area = self.config.camera.collecting_area_m2
        mag = np.concatenate([electron_mag(self.usual.photons(own), area) for own in table])
        u, v = (w.ravel() for w in np.meshgrid(_PLACES, _PLACES))
        detector = np.arange(mag.size)[:, None]
        detector, u, v = np.broadcast_arrays(detector, u, v)
        flat = self.flat.mag(self.camera, exposure.epoch, exposure.band, (detector, u, v))
        return self.usual_mag[exposure.band] - mag - flat.mean(axis=1)

    def _through_air(
        self,
        exposure: Exposure,
        table: np.ndarray,
        airmass: np.ndarray,
        rows: np.ndarray,
        detector: np.ndarray,
    ) -> np.ndarray:
        """Return instrumental magnitudes without gray losses."""
        curves = self.camera.curves[exposure.band]
        photons = self.stars.spectra.take(rows).photons(table, detector)
        area = self.config.camera.collecting_area_m2
        mag = self.stars.mag[rows] + electron_mag(photons, area)
        # Airmass changes across a detector too: its broadband effect, to first order.
        step = 0.02
        further = exposure.light_path(float(airmass.mean()) + step)
        here = exposure.light_path(float(airmass.mean()))
        light = flat_photons(curves.mean(axis=0) * np.stack([here, further]))
        slope = -2.5 * np.log10(light[1] / light[0]) / step
        return mag + slope * (exposure.airmass(self.directions[rows]) - airmass[detector])

    def _noise(
        self, rng: np.random.Generator, exposure: Exposure, mag: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return measured magnitudes, their errors and which are spoilt.

        A catalogue has its errors from the measured flux: it knows no other.
        """
        noise, nights = self.config.noise, self.config.nights
        item = self.camera.config.filters[exposure.band]
        per_njy = PHOTONS_PER_S_M2_NJY * self.camera.config.collecting_area_m2
        throughput = flat_photons(self.camera.curves[exposure.band].mean(axis=0))
        sky_njy = AB_ZERO_NJY * 10.0 ** (-0.4 * item.sky_mag) * noise.aperture_arcsec2
        sky = per_njy * throughput * sky_njy * nights.exposure_time_s
        signal = 10.0 ** (-0.4 * mag) * nights.exposure_time_s
        background = sky + noise.read_noise_electron**2
        draws = rng.normal(size=(3, mag.size))
        electrons = signal + np.sqrt(signal + background) * draws[0]
        with np.errstate(invalid="ignore", divide="ignore"):
            measured = -2.5 * np.log10(electrons / nights.exposure_time_s)
            error = MAG_PER_RELATIVE * np.sqrt(np.maximum(electrons, 0) + background) / electrons
        spoilt = rng.uniform(size=mag.size) < noise.outlier_fraction
        measured = measured + noise.flat_mag * draws[1] + spoilt * noise.outlier_mag * draws[2]
        return measured, error, spoilt

    def _gray(self, exposure: Exposure) -> np.ndarray:
        """Return the mean gray loss over each detector, shape (D,)."""
        camera = self.camera
        dx, dy = (w.ravel() * camera.half_side_deg for w in np.meshgrid(_PLACES, _PLACES))
        x, y = camera.x_deg[:, None] + dx, camera.y_deg[:, None] + dy
        return exposure.gray_mag(self.config.gray, camera, x, y).mean(axis=1)


def _axes(exposure: Exposure) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return unit vectors to the east and north of the boresight, and to it."""
    ra, dec = np.deg2rad(exposure.ra_deg), np.deg2rad(exposure.dec_deg)
    east = np.array([-np.sin(ra), np.cos(ra), 0.0])
    north = np.array([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    return east, north, unit_vector(np.array(exposure.ra_deg), np.array(exposure.dec_deg))


def detector_directions(camera: PhotometricCamera, exposure: Exposure) -> np.ndarray:
    """Return directions of the detectors' centres during a visit, shape (D, 3)."""
    east, north, out = _axes(exposure)
    x, y = np.deg2rad(camera.x_deg), np.deg2rad(camera.y_deg)
    turn = np.deg2rad(exposure.rotation_deg)
    xi, eta = x * np.cos(turn) + y * np.sin(turn), -x * np.sin(turn) + y * np.cos(turn)
    directions = out + xi[:, None] * east + eta[:, None] * north
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)
