"""Visits of small detectors whose PSF is a known field over the focal plane; numpy alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drpflow.algorithms.final_characterization.geometry import Place
from drpflow.data.camera import Amplifier, Detector
from drpflow.data.psf import Moments, adaptive_moments

SIDE = 320
SKY = 150.0
READ_NOISE = 5.0
PIXEL_MM = 0.015
BETA = 3.2
STAMP = 24
REFERENCE_COLOR = 1.0
COLOR_SLOPE = 0.02
"""Change of the logarithm of the size by a magnitude of colour."""

_FINE = 5


def make_detector(number: int, rotation_deg: float = 0.0) -> Detector:
    """One of a row of four detectors."""
    box = (0, SIDE, 0, SIDE)
    amplifier = Amplifier(
        name="A", data_section=box, raw_data_section=box, gain=1.0, read_noise=READ_NOISE,
        saturation=1e6,
    )  # fmt: skip
    center = ((number - 1.5) * (SIDE + 20) * PIXEL_MM, 0.3 * number)
    return Detector(
        id=number, name=f"CCD{number}", size_pix=(SIDE, SIDE), center_mm=center,
        rotation_deg=rotation_deg, pixel_size_mm=PIXEL_MM, amplifiers=(amplifier,),
    )  # fmt: skip


def core(x_mm: np.ndarray, y_mm: np.ndarray, color: np.ndarray) -> np.ndarray:
    """Return the matrix C of Moffat's (1 + dᵀ C⁻¹ d)^-β in focal-plane axes, pix², (N, 2, 2)."""
    u, v = x_mm / 10, y_mm / 5
    size = 2.6 * np.exp(0.03 * u + 0.02 * u * u - 0.01 * v)
    size = size * np.exp(COLOR_SLOPE * (color - REFERENCE_COLOR))
    e1, e2 = 0.04 + 0.03 * u, -0.03 + 0.02 * u * u
    matrix = np.array([[1 + e1, e2], [e2, 1 - e1]]).transpose(2, 0, 1)
    return size[:, None, None] ** 2 * matrix / np.sqrt(1 - e1**2 - e2**2)[:, None, None]


def star_stamps(
    place: Place, x: np.ndarray, y: np.ndarray, color: np.ndarray, half: int = STAMP
) -> np.ndarray:
    """Return stars of unit flux about their nearest pixels, integrated over pixels."""
    x_mm, y_mm = place.to_focal.forward(x, y)
    turn = np.radians(place.rotation_deg)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrices = rotation.T @ core(x_mm, y_mm, color) @ rotation
    steps = (np.arange(_FINE) - _FINE // 2) / _FINE
    offsets = (np.arange(-half, half + 1)[:, None] + steps).ravel()
    stamps = []
    for a, b, matrix in zip(x, y, matrices, strict=True):
        u, v = offsets - (a - round(a)), offsets - (b - round(b))
        inverse = np.linalg.inv(matrix)
        q = inverse[0, 0] * u[None, :] ** 2 + inverse[1, 1] * v[:, None] ** 2
        q = q + 2 * inverse[0, 1] * v[:, None] * u[None, :]
        fine = (BETA - 1) / np.pi / np.sqrt(np.linalg.det(matrix)) * (1 + q) ** -BETA
        n = 2 * half + 1
        stamps.append(fine.reshape(n, _FINE, n, _FINE).mean(axis=(1, 3)))
    return np.array(stamps)


def true_shape(place: Place, x: np.ndarray, y: np.ndarray, color: np.ndarray) -> Moments:
    """Return the adaptive moments of stars."""
    return adaptive_moments(star_stamps(place, x, y, color))[0]


@dataclass(frozen=True)
class DetectorImage:
    """Pixels of a detector and the stars on it."""

    place: Place
    image: np.ndarray
    variance: np.ndarray
    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    color: np.ndarray


def detector_image(detector: Detector, number: int, rng: np.random.Generator) -> DetectorImage:
    """Return a detector with stars of S/N from 50 to 700, apart from each other."""
    place = Place.of_detector(detector)
    cells = np.arange(35, SIDE - 35, 42)
    nodes = np.array([(a, b) for a in cells for b in cells], float)
    chosen = nodes[rng.choice(len(nodes), number, replace=False)]
    x, y = (chosen + rng.uniform(-4, 4, chosen.shape)).T if number else np.zeros((2, 0))
    snr = 50 * (700 / 50) ** rng.uniform(0, 1, number)
    flux = snr**2 / 2 * (1 + np.sqrt(1 + 4 * SKY * 90 / snr**2))
    color = rng.uniform(0.3, 2.2, number)
    image = np.full((SIDE, SIDE), SKY)
    for a, b, f, s in zip(x, y, flux, star_stamps(place, x, y, color), strict=True):
        rows = slice(round(b) - STAMP, round(b) + STAMP + 1)
        columns = slice(round(a) - STAMP, round(a) + STAMP + 1)
        image[rows, columns] += f * s
    variance = image + READ_NOISE**2
    noisy = image + rng.normal(size=image.shape) * np.sqrt(variance) - SKY
    return DetectorImage(
        place, noisy.astype(np.float32), variance.astype(np.float32), x, y, flux, color
    )
