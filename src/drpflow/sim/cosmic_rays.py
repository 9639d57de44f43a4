"""Cosmic rays: tracks of ionisation in a slab of silicon, drawn particle by particle.

Three kinds of hits, as thick CCDs show them:

* *muons*, straight lines through the whole depth. Zenith angles follow the intensity cos²θ on a
  horizontal surface. Energy loss has a Landau-like core (Moyal's approximation) and knock-on
  electrons with dN/dE ∝ E⁻²;
* *worms*, Compton electrons that scatter ever more strongly until they stop;
* *spots*, X-rays and other deposits at one point.

The charge of each step along a track is scattered in parcels by diffusion, which grows with the
square root of the depth at which it was set free.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.sim.detector_config import CosmicRays

# A minimum-ionising particle in silicon sets about 80 electron-hole pairs free in a micron on
# average, fewer at the most probable loss (PDG review, passage of particles through matter).
MOST_PROBABLE_PER_UM = 62.0
LANDAU_WIDTH_PER_UM = 4.9
# Knock-on electrons above this charge are drawn one by one.
KNOCK_ON_MIN_ELECTRON = 3000.0
KNOCK_ON_MAX_ELECTRON = 60000.0
STEP_UM = 5.0
PARCEL_ELECTRON = 40.0
LONGEST_UM = 6000.0


@dataclass(frozen=True)
class Track:
    """Charge along one particle's way.

    Attributes
    ----------
    x_um, y_um
        Position from the first hit point.
    depth
        Distance from the gates over the thickness, 0 to 1.
    electron
        Charge set free.
    """

    x_um: NDArray[np.float64]
    y_um: NDArray[np.float64]
    depth: NDArray[np.float64]
    electron: NDArray[np.float64]


def hit_image(
    config: CosmicRays,
    shape: tuple[int, int],
    pixel_um: float,
    exposure_s: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], int]:
    """Draw the cosmic rays of one exposure.

    Parameters
    ----------
    config
        Rates and sensor.
    shape
        Rows and columns.
    pixel_um
        Pixel pitch, µm.
    exposure_s
        Exposure time, s.
    rng
        Random generator.

    Returns
    -------
    image : ndarray of float32
        Electrons.
    number : int
        Hits drawn.
    """
    image = np.zeros(shape, np.float32)
    area_cm2 = shape[0] * shape[1] * (pixel_um * 1e-4) ** 2
    number = int(rng.poisson(config.rate_cm2_s * area_cm2 * exposure_s))
    for _ in range(number):
        kind = rng.random()
        x, y = rng.random(2) * (shape[1], shape[0])
        if kind < config.muon_fraction:
            track = muon(config.thickness_um, rng)
        elif kind < config.muon_fraction + config.worm_fraction:
            track = worm(config.thickness_um, rng)
        else:
            track = spot(rng)
        _deposit(image, track, (x, y), pixel_um, config.diffusion_um, rng)
    return image, number


def muon(thickness_um: float, rng: np.random.Generator) -> Track:
    """Draw a straight track through the slab."""
    # Particles that cross a horizontal area: dN ∝ cos²θ · cosθ · d(cosθ), hence the fourth root.
    cos_zenith = max((1 - rng.random()) ** 0.25, thickness_um / LONGEST_UM)
    length = thickness_um / cos_zenith
    steps = max(1, round(length / STEP_UM))
    depth = 1 - (np.arange(steps) + 0.5) / steps
    radius = (1 - depth) * length * np.sqrt(1 - cos_zenith**2)
    angle = rng.uniform(0, 2 * np.pi)
    return Track(
        x_um=radius * np.cos(angle),
        y_um=radius * np.sin(angle),
        depth=depth,
        electron=energy_loss(np.full(steps, length / steps), rng),
    )


def energy_loss(length_um: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the charge set free by a minimum-ionising particle in thin layers, electrons."""
    # -2 ln|z| of a normal z has Moyal's distribution, with its peak at 0.
    normal = np.abs(rng.standard_normal(length_um.size))
    moyal = -2 * np.log(np.maximum(normal, 1e-12))
    charge = length_um * (MOST_PROBABLE_PER_UM + LANDAU_WIDTH_PER_UM * moyal)
    knocks = rng.poisson(length_um * LANDAU_WIDTH_PER_UM / KNOCK_ON_MIN_ELECTRON)
    energies = KNOCK_ON_MIN_ELECTRON / (1 - rng.random(int(knocks.sum())))
    np.add.at(
        charge,
        np.repeat(np.arange(charge.size), knocks),
        np.minimum(energies, KNOCK_ON_MAX_ELECTRON),
    )
    return np.maximum(charge, 0)


def worm(thickness_um: float, rng: np.random.Generator) -> Track:
    """Draw an electron that is scattered until it stops or leaves the slab.

    The stopping power rises and the scattering angle grows as 1/E when the energy E falls, the
    latter as in multiple Coulomb scattering.
    """
    energy = 15000.0 + rng.exponential(60000.0)
    heading, slope = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.3)
    x = y = 0.0
    depth = rng.random()
    steps = []
    while energy > 0 and 0 <= depth <= 1:
        charge = min(energy, STEP_UM * 80.0 * (1 + 12000.0 / (energy + 3000.0)))
        steps.append((x, y, depth, charge))
        energy -= charge
        scatter = min(1.0, 9000.0 / (energy + 1.0))
        heading += scatter * rng.standard_normal()
        slope += 0.5 * scatter * rng.standard_normal()
        x += STEP_UM * np.cos(heading) * np.cos(slope)
        y += STEP_UM * np.sin(heading) * np.cos(slope)
        depth += STEP_UM * np.sin(slope) / thickness_um
    return Track(*np.array(steps).T)


def spot(rng: np.random.Generator) -> Track:
    """Draw a deposit at one point: 200 to 20,000 electrons, few of them large."""
    charge = 200.0 * 100.0 ** (rng.random() ** 1.5)
    return Track(np.zeros(1), np.zeros(1), np.array([rng.random()]), np.array([charge]))


def _deposit(
    image: NDArray[np.float32],
    track: Track,
    start: tuple[float, float],
    pixel_um: float,
    diffusion_um: float,
    rng: np.random.Generator,
) -> None:
    """Add a track's charge to an image; what falls beside the detector is lost."""
    parcels = np.maximum(1, np.round(track.electron / PARCEL_ELECTRON)).astype(np.int64)
    spread = np.repeat(diffusion_um * np.sqrt(track.depth), parcels)
    offset = spread * rng.standard_normal((2, spread.size))
    column = np.floor(start[0] + (np.repeat(track.x_um, parcels) + offset[0]) / pixel_um)
    row = np.floor(start[1] + (np.repeat(track.y_um, parcels) + offset[1]) / pixel_um)
    charge = np.repeat(track.electron / parcels, parcels)
    inside = (column >= 0) & (column < image.shape[1]) & (row >= 0) & (row < image.shape[0])
    index = (row[inside].astype(np.int64), column[inside].astype(np.int64))
    np.add.at(image, index, charge[inside].astype(np.float32))
