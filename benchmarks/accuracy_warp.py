"""Places and fluxes of resampled stars, and noise of resampled pixels, beside swarp.

    apt-get install swarp
    python benchmarks/accuracy_warp.py [--size 2048] [--fwhm 3.2 4 5] [--no-swarp]

Gaussian stars without noise on a detector that is turned by 12 degrees against the tract and
distorted, and on one that lies along it with pixels 0.5 % larger, where a whole star is resampled
at one phase; then noise alone. What is asked: places to 0.01 pixels, fluxes to 0.5 mmag, noise as
the variance says to 2 %, with the correlation stated. Intervals are 95 %, by resampling stars or
tiles.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import fftconvolve
from warp_scenes import (
    GRIDS,
    SKY_VARIANCE,
    Resampled,
    by_drpflow,
    by_swarp,
    draw_stars,
    header,
    lanczos_kernel,
    measure,
    out_header,
    out_size,
)

from drpflow.algorithms.warp.inverse_map import footprint, make_map
from drpflow.algorithms.warp.noise import mean_correlation
from drpflow.data.geometry import Box
from drpflow.data.sky_wcs import SkyWcs

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Program = Callable[[NDArray, NDArray], Resampled]

TILE = 128


def stars(program: Program, size: int, fwhm_pix: float, grid: str = "turned") -> dict[str, Floats]:
    """Return the errors of stars: distance, pixels; flux by sum and by the PSF, mmag."""
    image, x, y, flux = draw_stars(size, fwhm_pix, 60, np.random.default_rng(4))
    made = program(image, np.full(image.shape, SKY_VARIANCE, np.float32))
    wcs = SkyWcs.from_fits_header(header(size, grid))
    u, v = made.wcs.world_to_pixel_values(*wcs.pixel_to_world_values(x, y))
    got = measure(made, u, v, fwhm_pix * GRIDS[grid].scale)
    return {
        "distance": np.hypot(got[0] - u, got[1] - v),
        "flux": 1085.7 * (got[2] / flux - 1),
        "psf_flux": 1085.7 * (got[3] / flux - 1),
    }


def noise(program: Program, size: int) -> dict[str, Floats]:
    """Return, by tile, the variance that there is over the one that is stated.

    Of pixels, of apertures of 6 pixels, of fluxes by a PSF of 4.2 pixels.
    """
    rng = np.random.default_rng(9)
    image = rng.normal(scale=np.sqrt(SKY_VARIANCE), size=(size, size)).astype(np.float32)
    made = program(image, np.full(image.shape, SKY_VARIANCE, np.float32))
    v, u = np.mgrid[-9:10, -9:10]
    shapes = {
        "pixel": np.ones((1, 1)),
        "aperture": (u * u + v * v <= 36).astype(float),
        "psf": np.exp(-(u * u + v * v) / (2 * 1.8**2)),
    }
    tiles = list(_tiles(made))
    return {
        name: np.array([_ratio(made, t, weights) for t in tiles])
        for name, weights in shapes.items()
    }


def _tiles(made: Resampled) -> list[tuple[slice, slice]]:
    """Return tiles without a gap."""
    ny, nx = made.image.shape
    found = []
    for y in range(0, ny - TILE, TILE):
        for x in range(0, nx - TILE, TILE):
            tile = slice(y, y + TILE), slice(x, x + TILE)
            if np.isfinite(made.image[tile]).all():
                found.append(tile)
    return found


def _ratio(made: Resampled, tile: tuple[slice, slice], weights: Floats) -> float:
    sums = fftconvolve(made.image[tile].astype(np.float64), weights, mode="valid")
    stated = fftconvolve(made.variance[tile].astype(np.float64), weights**2, mode="valid")
    return float((sums**2).mean() / stated.mean())


def interval(values: Floats, statistic: Callable[[Floats], float]) -> str:
    """Return a statistic with its 95 % interval."""
    rng = np.random.default_rng(1)
    drawn = [statistic(rng.choice(values, values.size)) for _ in range(400)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return f"{statistic(values):8.4f} ({low:.4f} to {high:.4f})"


def rms(values: Floats) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


def stated_factors(size: int) -> dict[str, float]:
    """Return the factors that drpflow states for apertures and the PSF."""
    v, u = np.mgrid[-9:10, -9:10]
    wcs = SkyWcs.from_fits_header(header(size))
    tract = SkyWcs.from_fits_header(out_header(out_size(size)))
    area = footprint(tract, wcs, Box(0, size, 0, size))
    assert area is not None
    rho = mean_correlation(make_map(tract, wcs, area, 32, 1e-3), area, 3)
    return {
        "pixel": 1.0,
        "aperture": rho.factor(u * u + v * v <= 36),
        "psf": rho.factor(np.exp(-(u * u + v * v) / (2 * 1.8**2))),
    }


def _programs(fwhm: float, grid: str, *, with_swarp: bool) -> dict[str, Program]:
    made: dict[str, Program] = {
        f"drpflow {order}": partial(by_drpflow, fwhm_pix=fwhm, order=order, grid=grid)
        for order in (3, 5)
    }
    for order in (3, 5):
        made[f"Lanczos {order}"] = partial(
            by_drpflow, fwhm_pix=fwhm, order=order, grid=grid, kernel=lanczos_kernel
        )
    if with_swarp:
        made["swarp LANCZOS3"] = partial(by_swarp, grid=grid)
    return made


def _print_stars(name: str, found: dict[str, Floats]) -> None:
    print(
        f"{name} {found['flux'].size} stars: distance, pixels: rms"
        f" {interval(found['distance'], rms)}, largest {found['distance'].max():.4f};"
        f" flux, mmag: mean {interval(found['flux'], np.mean)},"
        f" rms {interval(found['flux'], rms)}, largest {np.abs(found['flux']).max():.3f};"
        f" by the PSF: rms {interval(found['psf_flux'], rms)},"
        f" largest {np.abs(found['psf_flux']).max():.3f}",
        flush=True,
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--fwhm", type=float, nargs="+", default=[3.2, 4.0, 5.0])
    parser.add_argument("--no-swarp", action="store_true")
    args = parser.parse_args()
    for grid in GRIDS:
        print(grid)
        for fwhm in args.fwhm:
            for name, program in _programs(fwhm, grid, with_swarp=not args.no_swarp).items():
                _print_stars(f"FWHM {fwhm:.1f}  {name:15s}", stars(program, args.size, fwhm, grid))
    factors = stated_factors(args.size)
    for name, program in _programs(4.0, "turned", with_swarp=not args.no_swarp).items():
        if name not in ("drpflow 3", "swarp LANCZOS3"):
            continue
        for what, ratios in noise(program, args.size).items():
            stated = factors[what] if name.startswith("drpflow") else 1.0
            print(
                f"noise  {name:15s} {what:8s}: variance over that stated "
                f"{interval(ratios / stated, np.mean)}, factor stated {stated:.4f}"
            )


if __name__ == "__main__":
    main()
