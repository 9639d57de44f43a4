"""Stacks of warps with a truth: visits of one field with all that should not be on a coadd.

Each visit is drawn on pixels of its own, half a pixel or so off those of the tract, with its own
seeing and white noise; cosmic rays fall on these pixels. It is then resampled with a Lanczos kernel
and, for the matched warp, convolved to the common PSF. Both give noise the correlation that it has
in life, of which the variance plane of the matched warp knows nothing.

What is left by the steps before is there too: a position error, an error of the flux scale and of
the matching kernel, and an uneven background.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from scipy.ndimage import correlate1d, gaussian_filter

from drpflow.data.exposure import Exposure
from drpflow.data.geometry import Box
from drpflow.data.mask import Mask
from drpflow.data.warps import Warp

TARGET_FWHM_PIX = 7.0
_FWHM = 2.3548
_Light: TypeAlias = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class StackConfig:
    """What is in a stack; numbers of things are per visit where not said otherwise."""

    side: int = 700
    visits: int = 10
    seed: int = 1
    noise: float = 10.0
    stars: int = 120
    bright_stars: int = 3
    galaxies: int = 15
    fwhm_pix: tuple[float, float] = (3.2, 5.5)
    position_error_pix: float = 0.03
    scale_error: float = 0.004
    kernel_error: float = 0.01
    background: float = 0.04
    trail_visits: float = 0.3
    trail_snr: tuple[float, float] = (0.8, 20.0)
    cosmic_rays: int = 6
    asteroids: int = 2
    ghost_visits: float = 0.2
    ghost_snr: tuple[float, float] = (0.5, 5.0)
    variables: int = 12
    transients: int = 8
    xy0: tuple[int, int] = (1000, 3000)


@dataclass
class Truth:
    """What is in the visits.

    Parameters
    ----------
    trails
        By visit, light of trails in noises of a pixel, shape (ny, nx); absent without one.
    rays
        By visit, cosmic rays: (signal-to-noise ratio, rows, columns of the pixels it fell on).
    ghosts
        By visit, light of ghosts in noises of a pixel.
    asteroids
        By visit: (signal-to-noise ratio, x, y).
    variables
        Variable stars: (x, y, flux in each visit over its noise).
    transients
        (x, y, flux in each visit over its noise), 0 where it does not shine.
    clean
        By visit, pixels far from anything that belongs in a mask.
    sharpness
        By visit, peak of its PSF over that of the matched one.
    stars
        Constant stars: (x, y, flux).
    """

    trails: dict[int, np.ndarray] = field(default_factory=dict)
    rays: dict[int, list[tuple[float, np.ndarray, np.ndarray]]] = field(default_factory=dict)
    ghosts: dict[int, np.ndarray] = field(default_factory=dict)
    asteroids: dict[int, list[tuple[float, float, float]]] = field(default_factory=dict)
    variables: list[tuple[float, float, np.ndarray]] = field(default_factory=list)
    transients: list[tuple[float, float, np.ndarray]] = field(default_factory=list)
    clean: dict[int, np.ndarray] = field(default_factory=dict)
    sharpness: dict[int, float] = field(default_factory=dict)
    stars: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))


def lanczos_taps(shift: float, order: int = 3) -> np.ndarray:
    """Return taps for a shift of a fraction of a pixel, of sum 1."""
    t = np.arange(-order + 1, order + 1) - shift
    taps = np.sinc(t) * np.sinc(t / order) * (np.abs(t) < order)
    return taps / taps.sum()


def _shift(image: np.ndarray, dx: float, dy: float, power: int = 1) -> np.ndarray:
    """Resample an image at places that are (dx, dy) further on, 0 ≤ dx, dy < 1."""
    for axis, shift in ((0, dy), (1, dx)):
        image = correlate1d(
            image, lanczos_taps(shift) ** power, axis=axis, origin=-1, mode="constant"
        )
    return image


def _point(image: np.ndarray, x: float, y: float, flux: float, sigma: float) -> None:
    """Add a Gaussian of a flux."""
    reach = int(6 * sigma) + 1
    x0, y0 = int(np.floor(x)), int(np.floor(y))
    rows = np.arange(max(0, y0 - reach), min(image.shape[0], y0 + reach + 1))
    columns = np.arange(max(0, x0 - reach), min(image.shape[1], x0 + reach + 1))
    if rows.size and columns.size:
        profile = np.exp(-0.5 * ((rows - y) / sigma) ** 2)[:, None]
        profile = profile * np.exp(-0.5 * ((columns - x) / sigma) ** 2)
        image[np.ix_(rows, columns)] += flux * profile / (2 * np.pi * sigma**2)


def point_noise(noise: float, sigma: float) -> float:
    """Return the noise of the flux of a point source by its PSF."""
    return noise * np.sqrt(4 * np.pi) * sigma


def make_stack(config: StackConfig) -> tuple[list[Warp], Truth, Box]:
    """Return the warps of a field, what is in them, and their box on the tract."""
    rng = np.random.default_rng([config.seed, config.visits])
    n, side = config.visits, config.side
    box = Box.from_shape((side, side), config.xy0)
    sigmas = rng.uniform(*config.fwhm_pix, n) / _FWHM
    noises = config.noise * rng.uniform(0.8, 1.6, n)
    truth = Truth(sharpness={k: (TARGET_FWHM_PIX / _FWHM / s) ** 2 for k, s in enumerate(sigmas)})
    middle = point_noise(config.noise, np.median(sigmas))
    flux = middle * np.concatenate(
        [10 ** rng.uniform(0.3, 2.5, config.stars), 10 ** rng.uniform(3, 4, config.bright_stars)]
    )
    places = rng.uniform(0, side, (flux.size, 2))
    truth.stars = np.column_stack([places, flux])
    galaxies = np.column_stack([
        rng.uniform(0, side, (config.galaxies, 2)),
        middle * 10 ** rng.uniform(1, 2.5, config.galaxies),
        rng.uniform(2, 8, config.galaxies),
    ])  # fmt: skip
    _draw_variables(truth, config, rng, middle)
    warps = [_visit(k, sigmas[k], noises[k], galaxies, truth, config, rng) for k in range(n)]
    return warps, truth, box


def _draw_variables(
    truth: Truth, config: StackConfig, rng: np.random.Generator, unit: float
) -> None:
    """Draw variable stars and transients: flux in each visit."""
    n, side = config.visits, config.side
    for k in range(config.variables):
        x, y = rng.uniform(40, side - 40, 2)
        mean = unit * 10 ** rng.uniform(1.3, 2.3)
        if k % 3 == 0:  # an eclipse, a flare: few visits differ
            magnitude = np.zeros(n)
            magnitude[rng.integers(n)] = rng.choice([1.0, -1.0]) * rng.uniform(0.4, 1.0)
        else:
            magnitude = rng.uniform(0.2, 0.6) * np.sin(rng.uniform(0, 2 * np.pi, n))
        truth.variables.append((x, y, mean * 10 ** (-0.4 * magnitude)))
    for _ in range(config.transients):
        x, y = rng.uniform(40, side - 40, 2)
        present = rng.integers(1, n + 1)
        begin = rng.integers(0, n - present + 1)
        flux = np.zeros(n)
        flux[begin : begin + present] = unit * 10 ** rng.uniform(1.1, 2.0)
        truth.transients.append((x, y, flux))


def _visit(
    k: int,
    sigma: float,
    noise: float,
    galaxies: np.ndarray,
    truth: Truth,
    config: StackConfig,
    rng: np.random.Generator,
) -> Warp:
    """Draw one visit and resample it."""
    side = config.side
    pad = 16
    shape = side + 2 * pad, side + 2 * pad
    dx, dy = rng.uniform(0, 1, 2)
    ex, ey = rng.normal(0, config.position_error_pix, 2)
    # A place on the tract lies at (x + pad + dx, y + pad + dy) on the visit's own pixels.
    ox, oy = pad + dx, pad + dy
    light = np.zeros(shape)
    for x, y, flux in truth.stars:
        _point(light, x + ox + ex, y + oy + ey, flux, sigma)
    for x, y, flux, size in galaxies:
        _point(light, x + ox + ex, y + oy + ey, flux, np.hypot(sigma, size))
    for x, y, fluxes in [*truth.variables, *truth.transients]:
        _point(light, x + ox + ex, y + oy + ey, fluxes[k], sigma)
    light *= 1 + rng.normal(0, config.scale_error)
    light += _artifacts(k, sigma, noise, (ox, oy), shape, truth, config, rng)
    slope = rng.normal(0, config.background * noise, 2)
    y, x = np.mgrid[: shape[0], : shape[1]] / shape[0] - 0.5
    light += slope[0] * x + slope[1] * y
    own = light + rng.normal(0, noise, shape)
    inner = slice(pad, pad + side)
    direct = _shift(own, dx, dy)
    spread = np.full(shape, noise**2)
    direct_variance = _shift(spread, dx, dy, 2)
    kernel = np.sqrt((TARGET_FWHM_PIX / _FWHM) ** 2 - sigma**2)
    wrong = kernel * (1 + rng.normal(0, config.kernel_error))
    matched = gaussian_filter(direct, wrong)
    matched_variance = direct_variance / (4 * np.pi * kernel**2)
    weight = 1 / float(np.median(direct_variance))
    parts = [
        _exposure(i[inner, inner], v[inner, inner], config.xy0)
        for i, v in ((direct, direct_variance), (matched, matched_variance))
    ]
    return Warp(k, weight, *parts)


def _exposure(image: np.ndarray, variance: np.ndarray, xy0: tuple[int, int]) -> Exposure:
    return Exposure(
        np.ascontiguousarray(image, np.float32),
        Mask.zeros(image.shape),
        np.ascontiguousarray(variance, np.float32),
        unit="nJy",
        xy0=xy0,
    )


def _trail(sigma: float, config: StackConfig, rng: np.random.Generator) -> _Light:
    """Draw a satellite's trail, some of them flashing; light in units of the noise."""
    angle, width = rng.uniform(0, np.pi), np.hypot(sigma, rng.uniform(0.4, 2.8))
    cx, cy = rng.uniform(0.25 * config.side, 0.75 * config.side, 2)
    peak = np.exp(rng.uniform(*np.log(config.trail_snr)))
    deep = rng.uniform(0.3, 0.9) if rng.uniform() < 0.3 else 0.0

    def light(px: np.ndarray, py: np.ndarray) -> np.ndarray:
        across = (py - cy) * np.cos(angle) - (px - cx) * np.sin(angle)
        along = (py - cy) * np.sin(angle) + (px - cx) * np.cos(angle)
        flash = 1 - deep * (0.5 + 0.5 * np.cos(2 * np.pi * along / 300))
        return peak * flash * np.exp(-0.5 * (across / width) ** 2)

    return light


def _ghost(config: StackConfig, rng: np.random.Generator) -> _Light:
    """Draw the ghost of a star, a disc with a hole; light in units of the noise."""
    cx, cy = rng.uniform(0, config.side, 2)
    radius = rng.uniform(45, 110)
    peak = np.exp(rng.uniform(*np.log(config.ghost_snr)))

    def light(px: np.ndarray, py: np.ndarray) -> np.ndarray:
        r = np.hypot(px - cx, py - cy)
        outer, hole = 0.5 + (radius - r) / 4, 0.5 + (r - 0.36 * radius) / 4
        return peak * np.clip(outer, 0, 1) * np.clip(hole, 0, 1)

    return light


def _artifacts(
    k: int,
    sigma: float,
    noise: float,
    origin: tuple[float, float],
    shape: tuple[int, int],
    truth: Truth,
    config: StackConfig,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the light of artifacts on the visit's own pixels; note it in the truth."""
    light, side = np.zeros(shape), config.side
    ox, oy = origin
    near = np.zeros((side, side), bool)
    y, x = np.mgrid[:side, :side]
    y_own, x_own = np.mgrid[: shape[0], : shape[1]]
    if rng.uniform() < config.trail_visits:
        trail = _trail(sigma, config, rng)
        light += noise * trail(x_own - ox, y_own - oy)
        truth.trails[k] = trail(x, y)
        near |= truth.trails[k] > 0.02
    if rng.uniform() < config.ghost_visits:
        ghost = _ghost(config, rng)
        light += noise * ghost(x_own - ox, y_own - oy)
        truth.ghosts[k] = ghost(x, y)
        near |= truth.ghosts[k] > 0.02
    truth.rays[k] = [
        _cosmic_ray(light, noise, origin, config, rng) for _ in range(config.cosmic_rays)
    ]
    truth.asteroids[k] = []
    for _ in range(config.asteroids):
        ax, ay = rng.uniform(20, side - 20, 2)
        snr = 10 ** rng.uniform(1, 2.5)
        _point(light, ax + ox, ay + oy, snr * point_noise(noise, sigma), sigma)
        truth.asteroids[k].append((snr, ax, ay))
        near |= np.hypot(x - ax, y - ay) < 25
    for _, rows, columns in truth.rays[k]:
        for v, u in zip(rows, columns, strict=True):
            near[int(max(0, v - 14)) : int(v + 15), int(max(0, u - 14)) : int(u + 15)] = True
    for px, py, fluxes in truth.transients:
        near |= (np.hypot(x - px, y - py) < 25) & (fluxes.max() > 0)
    truth.clean[k] = ~near
    return light


def _cosmic_ray(
    light: np.ndarray,
    noise: float,
    origin: tuple[float, float],
    config: StackConfig,
    rng: np.random.Generator,
) -> tuple[float, np.ndarray, np.ndarray]:
    """Add a cosmic ray to own pixels; return its S/N and where its pixels lie on the tract."""
    angle, length = rng.uniform(0, np.pi), int(rng.integers(1, 9))
    x0, y0 = rng.uniform(30, config.side - 30, 2)
    step = np.arange(length)
    columns = np.unique(
        np.column_stack([np.round(x0 + origin[0] + step * np.cos(angle)),
                         np.round(y0 + origin[1] + step * np.sin(angle))]).astype(int), axis=0
    )  # fmt: skip
    snr = 10 ** rng.uniform(0.85, 2.2)
    # S/N over its pixels: Σ I / (σ √n).
    value = snr * noise / np.sqrt(len(columns))
    light[columns[:, 1], columns[:, 0]] += value
    return snr, columns[:, 1] - origin[1], columns[:, 0] - origin[0]
