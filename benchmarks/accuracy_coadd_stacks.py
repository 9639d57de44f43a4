"""Artifacts and star fluxes of simulated stacks (:mod:`warp_stacks`) by number of visits.

    python benchmarks/accuracy_coadd_stacks.py [--visits 3 5 8 15 30] [--fields 3] [--left]

Artifacts against their truth; the flux of stars by the PSF in the coadd, beside a plain mean and a
mean clipped at 3 sigma of the visits. With ``--left``, on fields without sources: the light of
artifacts that each of these leaves.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

import numpy as np
from coadd_scores import artifact_counts
from warp_stacks import TARGET_FWHM_PIX, StackConfig, make_stack

from drpflow.algorithms.coadd.artifacts import find_artifacts
from drpflow.algorithms.coadd.epochs import epoch_limit
from drpflow.algorithms.coadd.mean import weighted_mean
from drpflow.algorithms.coadd.static_sky import find_static_sky
from drpflow.config.compare_warp_assemble_coadd import CompareWarpAssembleCoaddConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.data.geometry import Box
    from drpflow.data.warps import Warp

    Floats = NDArray[np.float64]

CONFIG = CompareWarpAssembleCoaddConfig()
_SHARP_TO_SIGMA = TARGET_FWHM_PIX / 2.3548


def clipped_mean(images: Floats, weights: Floats, sigma: float = 3.0) -> Floats:
    """Return the weighted mean, three times without what is farther than 3 sigma from it."""
    kept = np.ones(images.shape, bool)
    for _ in range(3):
        w = weights[:, None, None] * kept
        mean = (w * images).sum(axis=0) / w.sum(axis=0)
        spread = np.sqrt((w * (images - mean) ** 2).sum(axis=0) / w.sum(axis=0))
        kept = np.abs(images - mean) <= sigma * np.maximum(spread, 1e-9)
    return mean


def star_errors(image: Floats, warps: list[Warp], truth: object, side: int) -> Floats:
    """Return flux errors of isolated constant stars of S/N above 60, mmag."""
    weights = np.array([w.weight for w in warps])
    sigmas = _SHARP_TO_SIGMA / np.sqrt([truth.sharpness[w.visit] for w in warps])
    unit = np.sqrt(1 / weights.sum()) * np.sqrt(4 * np.pi) * np.mean(sigmas)
    others = np.array([v[:2] for v in (*truth.variables, *truth.transients)]).reshape(-1, 2)
    places = np.vstack([truth.stars[:, :2], others])
    found = []
    for x, y, flux in truth.stars:
        near = np.hypot(*(places - (x, y)).T)
        if flux < 60 * unit or np.sort(near)[1] < 20 or not 20 < min(x, y) <= max(x, y) < side - 20:
            continue
        j, i = round(y), round(x)
        v, u = np.mgrid[j - 12 : j + 13, i - 12 : i + 13]
        r2 = (u - x) ** 2 + (v - y) ** 2
        psf = (
            sum(
                w * np.exp(-0.5 * r2 / s**2) / (2 * np.pi * s**2)
                for w, s in zip(weights, sigmas, strict=True)
            )
            / weights.sum()
        )
        pixels = image[j - 12 : j + 13, i - 12 : i + 13]
        found.append(-2500 * np.log10((psf * pixels).sum() / (psf**2).sum() / flux))
    return np.array(found)


def coadds(warps: list[Warp], masks: object, box: Box) -> dict[str, Floats]:
    """Return the coadd, and what is compared with it."""
    images = np.array([w.direct.image for w in warps], float)
    weights = np.array([w.weight for w in warps])
    return {
        "this": weighted_mean(warps, masks, box, [], CONFIG).image,
        "plain mean": np.average(images, axis=0, weights=weights),
        "clipped mean": clipped_mean(images, weights),
        "median": np.median(images, axis=0),
    }


def print_light_left(n: int, fields: int) -> None:
    """Print the mean light that coadds of empty fields have where visits have artifacts.

    In noises of the plain mean: of pixels with more than 1.5, and with 0.5 to 1.5 noises of a visit
    of trails, with more than 0.5 of ghosts; and the noise away from artifacts.
    """
    found: dict[str, list[Floats]] = {}
    for seed in range(fields):
        config = StackConfig(visits=n, seed=300 + seed, stars=0, bright_stars=0, galaxies=0,
                             variables=0, transients=0, background=0.0)  # fmt: skip
        warps, truth, box = make_stack(config)
        sky = find_static_sky(warps, box, CONFIG)
        masks = find_artifacts(warps, sky, TARGET_FWHM_PIX, truth.sharpness, CONFIG).masks
        unit = 1 / np.sqrt(sum(w.weight for w in warps))
        trail, ghost = (np.max([*t.values(), np.zeros(box.shape)], axis=0)
                        for t in (truth.trails, truth.ghosts))  # fmt: skip
        clean = np.all([*truth.clean.values()], axis=0)
        places = {
            "trail above 1.5": trail > 1.5,
            "trail 0.5 to 1.5": (trail > 0.5) & (trail <= 1.5) & (ghost < 0.02),
            "ghost above 0.5": (ghost > 0.5) & (trail < 0.02),
        }
        for name, image in coadds(warps, masks, box).items():
            for place, where in places.items():
                values = image[where] / unit
                found.setdefault(f"{place}, {name}", []).append(values[np.isfinite(values)])
            found.setdefault(f"noise, {name}", []).append(image[clean] / unit)
    for name, parts in sorted(found.items()):
        values = np.concatenate(parts)
        figure = values.std() if name.startswith("noise") else values.mean()
        print(f"  {name:32s} {values.size:8d} {figure:8.3f}")


def main() -> int:
    """Print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, nargs="+", default=[3, 5, 8, 15, 30])
    parser.add_argument("--fields", type=int, default=3)
    parser.add_argument("--left", action="store_true", help="light left in fields without sources")
    args = parser.parse_args()
    for n in args.visits:
        if args.left:
            print(f"{n} visits")
            print_light_left(n, args.fields)
            continue
        total: dict[str, list[int]] = {}
        errors: dict[str, list[Floats]] = {}
        for seed in range(args.fields):
            config = StackConfig(visits=n, seed=100 + seed, scale_error=0.0, galaxies=6)
            warps, truth, box = make_stack(config)
            sky = find_static_sky(warps, box, CONFIG)
            found = find_artifacts(warps, sky, TARGET_FWHM_PIX, truth.sharpness, CONFIG)
            limit = epoch_limit(n, CONFIG.epochs)
            for name, (number, masked) in artifact_counts(found.masks, truth, box, limit).items():
                have = total.setdefault(name, [0, 0])
                have[0] += number
                have[1] += masked
            for name, image in coadds(warps, found.masks, box).items():
                errors.setdefault(name, []).append(star_errors(image, warps, truth, box.width))
        print(f"{n} visits")
        for name, (number, masked) in total.items():
            print(f"  {name:16s} {number:9d} {masked / max(1, number):8.4f}")
        for name, parts in errors.items():
            e = np.concatenate(parts)
            high, low = np.percentile(e, [84, 16])
            print(f"  stars, {name:13s} {e.size:4d}: median {np.median(e):7.2f} mmag, "
                  f"half width {(high - low) / 2:6.2f}, worst {np.abs(e).max():7.1f}")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
