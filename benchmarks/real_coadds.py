"""Coadds of real frames: beside their own warps, and beside published calibrations.

    python benchmarks/real_coadds.py saao RUN_FOLDER
    python benchmarks/real_coadds.py decam ../shared/data/decam_cutouts

The first takes a run folder whose coadds were made with ``keep: [direct_warp]``;
``docs/real-frames.md`` has the commands. The second coadds cut-outs of DECam by the tasks of the
workflow with the WCS, PSF, sky and zero point that the Legacy Surveys published for each, in half a
minute, and compares.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from coadd_quality import (
    as_dict,
    depth_share,
    half_difference_ratios,
)
from decam_coadds import aperture_flux, centroid, coadd, drawn_errors, sources, tract_of, usable
from decam_cutouts import read_cutouts, read_gaia
from scipy.spatial import cKDTree

from drpflow import Store
from drpflow.data.coadd_plan import FWHM_OF_SIGMA
from drpflow.data.geometry import Box
from drpflow.data.psf_moments import adaptive_moments
from drpflow.errors import AlgorithmError
from drpflow.io.coadd_files import read_warp_mask
from drpflow.io.reference_stars import read_reference_stars
from drpflow.io.run_yaml import load_run

if TYPE_CHECKING:
    from decam_coadds import Coadded
    from decam_cutouts import Cutout
    from numpy.typing import NDArray

    from drpflow.data.exposure import Exposure
    from drpflow.data.reference_stars import ReferenceStars

    Floats = NDArray[np.float64]
    Warps = dict[int, tuple[float, Exposure]]

DECAM_FOLDERS = ("testcase6", "testcase3", "testcase9")
_ISOLATION_ARCSEC = 3.0
_ISOLATION = 0.05
_APERTURE_PIX = 14.0
_SOURCE_SIGMA = 30.0
# Of stars beside the warps: radius in which all visits, or so many, are in the coadd; least S/N;
# share of the warps that show the star without a bad pixel.
_CORE_PIX, _MIN_SHARE = 4, 0.9
_MIN_SNR, _MIN_SEEN, _STAR_PIX = 500.0, 0.8, 7
_BAD = ("BAD", "SAT", "CR", "SUSPECT", "NO_DATA", "CROSSTALK", "EDGE")
# Noise is taken from so far about a place.
_MIDDLE_PIX = 60


def saao(folder: Path) -> None:
    """Print what the coadds of a run folder are beside their warps."""
    run = load_run(folder / "config" / "config.yaml")
    assert run.reference_stars is not None
    stars = read_reference_stars(folder / run.reference_stars, 0.0, 0.0, 180.0)
    store = Store(folder / run.output)
    for item in store.query("coadd"):
        made = store.get("coadd", **item)
        warps = read_warps(store, item, made)
        x, y = _isolated(made, stars)
        every = [pair for _, pair in sorted(warps.items())]
        share = depth_share(made, warps)
        inner = np.isfinite(share)
        print(f"{item}: {len(warps)} visits")
        whole = _whole(made, store.get("coadd_n_image", **item), x, y)
        x, y = x[whole], y[whole]
        fits = [core_fit(made, u, v) for u, v in zip(x, y, strict=True)]
        size = np.array([fit.size for fit in fits if fit.snr > _MIN_SNR])
        print("  stars within 4 pixels less the warps' mean, mmag:",
              as_dict(beside_warps(made, every, x, y)))  # fmt: skip
        print("  size of stars over that of the PSF, %:", as_dict(size, 100))
        print(f"  S/N beside that of all pixels with data: {share[inner].mean():.4f}")
        # Where stars of different PSFs leave least; nothing is empty in a crowded field.
        dark = made.image < np.nanmedian(made.image)
        print("  half of the visits less the others, scatter over stated noise, darker half:",
              half_difference_ratios(every, made.box, dark))  # fmt: skip
        print("  ", gained(made, warps))
        print("  masked in each visit, %:", _masked(store, item, made))


def read_warps(store: Store, item: dict[str, int | str], made: Exposure) -> Warps:
    """Return weights and direct warps of the visits of a coadd, cut to its box."""
    found = {}
    for given in made.components["coadd_inputs"]:
        visit = int(given.data_id["visit"])
        warp = store.get("direct_warp", tract=item["tract"], patch=item["patch"], visit=visit)
        found[visit] = (given.weight, warp.cutout(made.box))
    return found


def _isolated(made: Exposure, stars: ReferenceStars) -> tuple[Floats, Floats]:
    """Return places of stars with little light of others about them."""
    scale = float(made.wcs.pixel_scale_arcsec(*made.xy0))
    places = np.column_stack(made.wcs.world_to_pixel_values(stars.ra, stars.dec))
    near = cKDTree(places).query_ball_point(places, _ISOLATION_ARCSEC / scale)
    flux = stars.flux_njy[stars.bands[0]]
    share = np.array([flux[k].sum() / flux[i] - 1 for i, k in enumerate(near)])
    x, y = places[(share < _ISOLATION) & made.box.contains(*places.T)].T
    return x, y


def _whole(made: Exposure, count: Exposure, x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Return which stars nearly all visits show; of 60 visits one has a cosmic ray anywhere."""
    good = np.zeros(x.size, bool)
    for k, (u, v) in enumerate(zip(x, y, strict=True)):
        box = Box.around(u, v, _CORE_PIX)
        if made.box.covers(box):
            good[k] = count.image[box.slices(made.xy0)].min() > _MIN_SHARE * count.image.max()
    return good


def beside_warps(
    made: Exposure, warps: list[tuple[float, Exposure]], x: Floats, y: Floats
) -> Floats:
    """Return the light of stars in a small aperture, coadd less mean of the warps, mmag.

    The mean is of the warps without a bad pixel in it; of the brighter half of the stars.
    """
    own = disc_sums(made, x, y, ("SAT", "NO_DATA"))
    each = np.array([disc_sums(e, x, y, _BAD) for _, e in warps])
    weights = np.array([w for w, _ in warps])[:, None] * np.isfinite(each)
    good = np.isfinite(each).mean(axis=0) > _MIN_SEEN
    good &= own > np.nanmedian(own)
    mean = (weights * np.nan_to_num(each)).sum(axis=0)[good] / weights.sum(axis=0)[good]
    return np.asarray(-2500 * np.log10(own[good] / mean))


def disc_sums(exposure: Exposure, x: Floats, y: Floats, bad: tuple[str, ...]) -> Floats:
    """Return the sum of the pixels about each place; NaN with a bad one."""
    good = ~exposure.mask.any(bad) & np.isfinite(exposure.image)
    offset = np.arange(-_STAR_PIX, _STAR_PIX + 1)
    inside = np.hypot(offset, offset[:, None]) <= _CORE_PIX
    found = np.full(x.size, np.nan)
    for k, (u, v) in enumerate(zip(x, y, strict=True)):
        box = Box.around(u, v, _STAR_PIX)
        if exposure.box.covers(box):
            window = box.slices(exposure.xy0)
            if good[window][inside].all():
                found[k] = exposure.image[window][inside].sum(dtype=float)
    return found


class CoreFit(NamedTuple):
    """PSF and a level fitted to the core of a star; NaN where there is a bad pixel.

    Attributes
    ----------
    flux, snr
        By the PSF.
    size
        Of the star less the level over that of the PSF, less 1: by moments with a window of the
        PSF's own sigma.
    """

    flux: float
    snr: float
    size: float


def core_fit(exposure: Exposure, x: float, y: float) -> CoreFit:
    """Fit PSF and level: in a crowded field others' light lies under a star."""
    core = Box.around(x, y, _STAR_PIX)
    lost = CoreFit(np.nan, np.nan, np.nan)
    try:
        image, box = exposure.components["psf"].compute_image(x, y)
    except AlgorithmError:
        return lost
    if not exposure.box.covers(core):
        return lost
    window, psf = core.slices(exposure.xy0), image[core.slices(box.xy0)]
    pixels = exposure.image[window].astype(float)
    if not np.isfinite(pixels).all() or exposure.mask.any(("SAT", "NO_DATA"))[window].any():
        return lost
    design = np.stack([psf.ravel(), np.ones(psf.size)], axis=1)
    (flux, level), *_ = np.linalg.lstsq(design, pixels.ravel(), rcond=None)
    noise = np.sqrt(np.median(exposure.variance[window]) / (psf**2).sum())
    square = (core.x - x) ** 2 + (core.y[:, None] - y) ** 2
    weight = np.exp(-square / (2 * float(adaptive_moments(image)[0].determinant_radius) ** 2))
    star, model = ((weight * square * v).sum() / (weight * v).sum() for v in (pixels - level, psf))
    return CoreFit(float(flux), float(flux / noise), float(star / model - 1))


def gained(made: Exposure, warps: Warps) -> str:
    """Compare the noise of a point source on the coadd with those on the warps, at the middle."""
    x, y = (float(np.mean(edges)) for edges in (made.box.extent[:2], made.box.extent[2:]))
    own = _point_noise(made, x, y)
    each = np.array([_point_noise(warp, x, y) for _, warp in warps.values()])
    bound = (1 / each**2).sum() ** -0.5
    return (
        f"point sources are {2.5 * np.log10(np.median(each) / own):.2f} mag deeper than in the "
        f"median visit, {2.5 * np.log10(each.min() / own):.2f} than in the best; S/N is "
        f"{bound / own:.4f} of that of a filter for each visit; {len(each)} visits"
    )


def _point_noise(exposure: Exposure, x: float, y: float) -> float:
    """Return the error of the flux of a faint point source, by the median variance about it."""
    image = exposure.components["psf"].compute_kernel_image(x, y)
    factor = exposure.components["noise_covariance"].factor(image)
    middle = Box.around(x, y, _MIDDLE_PIX).intersect(exposure.box)
    window = middle.slices(exposure.xy0)
    variance = float(np.nanmedian(exposure.variance[window][usable(exposure)[window]]))
    return float(np.sqrt(variance * factor / (image**2).sum()))


def _masked(store: Store, item: dict[str, int | str], made: Exposure) -> str:
    folder = store.path("warp_mask", **item, visit=0).parents[1]
    masks = [read_warp_mask(path) for path in sorted(folder.glob("visit=*/*.parquet"))]
    shares = [100 * float(mask.paint(made.box).mean()) for mask in masks]
    return f"median {np.median(shares):.3f}, mean {np.mean(shares):.3f}, most {max(shares):.2f}"


def decam(folder: Path) -> None:
    """Coadd the cut-outs band by band and print what comes out beside what was published."""
    for name in DECAM_FOLDERS:
        with tempfile.TemporaryDirectory() as scratch:
            cutouts = read_cutouts(folder / name, Path(scratch))
        tract = tract_of(cutouts)
        for band in "grz":
            part = [c for c in cutouts if c.published.band == band]
            made = coadd(part, tract)
            print(f"{name} {band}: {_what(made)}")
            print("  ", _depth(made))
            print("  ", _drawn(drawn_errors(part, tract)))
            for line in [*_beside_inputs(made), *_beside_gaia(made, folder / name)]:
                print("  ", line)


def _what(made: Coadded) -> str:
    """Say what entered the coadd."""
    numbers = made.made.numbers
    kinds = {k[2:]: v for k, v in numbers.items() if k.startswith("n_") and v}
    return (
        f"{[c.published.ccd for c in made.inputs]}, FWHM "
        f"{[round(c.published.fwhm_pix, 1) for c in made.inputs]} pixels, weights "
        f"{np.round(made.weights / made.weights.sum(), 2).tolist()}, masked "
        f"{numbers['masked_fraction']:.4f} {kinds}"
    )


def _depth(made: Coadded) -> str:
    """Compare noise and PSF with the published ones."""
    image = made.coadd
    x, y = (float(np.mean(edges)) for edges in (image.box.extent[:2], image.box.extent[2:]))
    own = _point_noise(image, x, y)
    # What is published is the noise of the darkest pixels; weights of both are the same.
    published = sum(c.published.depth_njy**-2 for c in made.inputs) ** -0.5
    fwhm = FWHM_OF_SIGMA * float(image.psf.compute_sigma(x, y))
    expected = np.average([_fwhm(c) ** 2 for c in made.inputs], weights=made.weights) ** 0.5
    return (
        f"point source 1 sigma {own:.1f} nJy, of sig1/psfnorm {published:.1f} "
        f"({2.5 * np.log10(own / published):+.3f} mag); PSF {fwhm:.2f} pixels, mean of the "
        f"published models {expected:.2f}"
    )


def _fwhm(cutout: Cutout) -> float:
    ny, nx = cutout.exposure.shape
    return FWHM_OF_SIGMA * float(cutout.exposure.psf.compute_sigma((nx - 1) / 2, (ny - 1) / 2))


def _drawn(found: dict[str, Floats]) -> str:
    return (
        "stars of the published PSFs: "
        f"place {found['distance_pix'].max():.4f} pixels at most, "
        f"flux {np.abs(found['flux_mmag']).max():.2f} mmag, "
        f"size {100 * np.abs(found['size']).max():.2f} %"
    )


def _beside_inputs(made: Coadded) -> list[str]:
    """Compare fluxes and places of the sources on the coadd with those on the cut-outs."""
    lines = []
    image, weights = made.coadd, made.weights / made.weights.sum()
    for x, y in np.column_stack(sources(image, _SOURCE_SIGMA)):
        flux, _ = aperture_flux(image, x, y, _APERTURE_PIX)
        u, v = centroid(image, x, y, 2.0)
        if not np.isfinite([flux, u]).all():
            continue
        ra, dec = map(float, image.wcs.pixel_to_world_values(u, v))
        each = np.array([_on_cutout(c.exposure, image, ra, dec) for c in made.inputs])
        if not np.isfinite(each).all():
            continue
        fluxes, errors, offsets = each[:, 0], each[:, 1], each[:, 2:]
        mean = weights @ fluxes
        lines.append(
            f"({x:.0f}, {y:.0f}) {31.4 - 2.5 * np.log10(flux):.3f} mag: coadd less mean of the "
            f"cut-outs {-1085.7 * np.log(flux / mean):+.2f} mmag; cut-outs by published zero "
            f"points {np.round(-1085.7 * np.log(fluxes / mean), 1).tolist()} ± "
            f"{np.round(1085.7 * errors / fluxes, 1).tolist()} mmag; places, mas "
            f"{np.round(offsets, 1).tolist()}, mean {np.round(weights @ offsets, 1).tolist()}"
        )
    return lines


def _on_cutout(one: Exposure, image: Exposure, ra: float, dec: float) -> Floats:
    """Return flux, its error and place of a source on a cut-out, from that on the coadd, mas."""
    at = one.wcs.world_to_pixel_values(ra, dec)
    # The same aperture on the sky.
    radius = _APERTURE_PIX * made_scale(image, one, at)
    flux, error = aperture_flux(one, float(at[0]), float(at[1]), radius)
    there = one.wcs.pixel_to_world_values(*centroid(one, float(at[0]), float(at[1]), 2.0))
    east = 3.6e6 * (float(there[0]) - ra) * np.cos(np.radians(dec))
    return np.array([flux, error, east, 3.6e6 * (float(there[1]) - dec)])


def made_scale(image: Exposure, other: Exposure, at: tuple[Floats, Floats]) -> float:
    """Return the size of a pixel of the coadd in pixels of a cut-out."""
    return float(image.wcs.pixel_scale_arcsec(*image.xy0) / other.wcs.pixel_scale_arcsec(*at))


def _beside_gaia(made: Coadded, folder: Path) -> list[str]:
    """Compare places on the coadd with Gaia's at the mean time."""
    image = made.coadd
    gaia = read_gaia(folder, float(np.average([c.published.mjd for c in made.inputs])))
    x, y = image.wcs.world_to_pixel_values(gaia["ra"], gaia["dec"])
    lines = []
    for k in np.flatnonzero(image.box.contains(x, y)):
        u, v = centroid(image, float(x[k]), float(y[k]), 2.0)
        if not np.isfinite(u):
            lines.append(f"Gaia G = {gaia['mag'][k]:.2f}: saturated")
            continue
        ra, dec = image.wcs.pixel_to_world_values(u, v)
        east = 3.6e6 * (float(ra) - gaia["ra"][k]) * np.cos(np.radians(gaia["dec"][k]))
        north = 3.6e6 * (float(dec) - gaia["dec"][k])
        lines.append(f"Gaia G = {gaia['mag'][k]:.2f}: {east:+.1f} mas east, {north:+.1f} north")
    return lines


def main() -> None:
    """Run the part that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frames", choices=["saao", "decam"])
    parser.add_argument("folder", type=Path, help="run folder, or that of the cut-outs")
    args = parser.parse_args()
    {"saao": saao, "decam": decam}[args.frames](args.folder)


if __name__ == "__main__":
    main()
