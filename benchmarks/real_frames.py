"""calibrateImage on real frames: how well they agree with each other, and with SDSS.

    python benchmarks/real_frames.py saao RUN_FOLDER
    python benchmarks/real_frames.py sdss ../shared/data/sdss_m2

The first takes a run folder whose frames were calibrated with a catalogue of their own
(``drpflow reference from-frame``); ``docs/real-frames.md`` has the commands. The second calibrates
five frames of one field of SDSS itself, in half a minute, and prints size of the PSF, noise and
zero point beside those of SDSS.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from drpflow import Store
from drpflow.data.flux_errors import own_errors
from drpflow.data.photo_calib import NJY_ZERO_POINT_MAG
from drpflow.io.reference_stars import read_reference_stars
from drpflow.io.run_yaml import load_run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.data.reference_stars import ReferenceStars

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

_MATCH_ARCSEC = 0.3
# The light of other stars of the catalogue within this radius, as a part of a star's own.
_ISOLATION_ARCSEC = 3.0
_ISOLATION = 0.05
_BORDER_PIX = 12
_BIN_MAG = 0.5
_BAD = (
    "sky_source",
    "psfFlux_flag",
    "pixelFlags_saturatedCenter",
    "pixelFlags_edge",
    "pixelFlags_interpolatedCenter",
    "pixelFlags_crCenter",
)


@dataclass(frozen=True, eq=False)
class Repeats:
    """Stars of a catalogue, S of them, in F frames; NaN where a star is not seen.

    Parameters
    ----------
    mag
        AB by the frames' zero points, shape (F, S).
    error
        Its expected error, beside that of the aperture correction, which the stars of a frame
        share.
    east_pix, north_pix
        Place relative to the catalogue's by the frames' WCSs.
    isolated
        Shape (S,).
    """

    mag: Floats
    error: Floats
    east_pix: Floats
    north_pix: Floats
    isolated: Bools

    def often(self) -> Repeats:
        """Return the stars that are in at least half of the frames."""
        kept = np.isfinite(self.mag).sum(axis=0) >= 0.5 * len(self.mag)
        return Repeats(*(getattr(self, part.name)[..., kept] for part in fields(self)))


def collect(store: Store, stars: ReferenceStars, band: str) -> tuple[Repeats, int]:
    """Return all measurements of the catalogue's stars, and the number of frames there are."""
    center = float(np.median(stars.ra)), float(np.median(stars.dec))
    places = _plane(stars.ra, stars.dec, center)
    tree = cKDTree(places)
    ids = store.query("post_isr_thumbnail")
    frames = [_frame(store, data_id, tree, center) for data_id in ids]
    seen = np.array([frame for frame in frames if frame is not None])
    flux = stars.flux_njy[band]
    near = tree.query_ball_point(places, _ISOLATION_ARCSEC)
    share = np.array([flux[k].sum() / flux[i] - 1 for i, k in enumerate(near)])
    return Repeats(*seen.transpose(1, 0, 2), share < _ISOLATION), len(ids)


def _plane(ra: Floats, dec: Floats, center: tuple[float, float]) -> Floats:
    """Return places in arcsec about a centre, shape (N, 2); the field is small."""
    cosine = np.cos(np.radians(center[1]))
    return 3600 * np.column_stack([(ra - center[0]) * cosine, dec - center[1]])


def _frame(
    store: Store, data_id: dict[str, int], tree: cKDTree, center: tuple[float, float]
) -> Floats | None:
    """Return magnitudes, errors and offsets of a frame's stars, (4, S); None without them."""
    exposure = store.get("initial_pvi", **data_id)
    if any(part is None for part in (exposure.psf, exposure.wcs, exposure.photo_calib)):
        return None
    table = store.get("initial_stars_detector", **data_id).to_dict()
    ny, nx = exposure.shape
    inside = (table["x"] > _BORDER_PIX) & (table["x"] < nx - _BORDER_PIX)
    inside &= (table["y"] > _BORDER_PIX) & (table["y"] < ny - _BORDER_PIX)
    good = inside & ~np.any([table[name] for name in _BAD], axis=0) & (table["psfFlux"] > 0)
    rows = np.flatnonzero(good)
    # Of two sources at one star the brighter one counts, which comes last.
    rows = rows[np.argsort(table["psfFlux"][rows], kind="stable")]
    places = _plane(table["ra"][rows], table["dec"][rows], center)
    distance, star = tree.query(places, distance_upper_bound=_MATCH_ARCSEC)
    matched = np.isfinite(distance)
    rows, star, places = rows[matched], star[matched], places[matched]
    found = np.full((4, tree.n), np.nan)
    names = "instFlux", "instFluxErr", "apCorr", "apCorrErr"
    flux, *parts = (table[f"psfFlux_{name}"][rows] for name in names)
    found[0, star] = NJY_ZERO_POINT_MAG - 2.5 * np.log10(table["psfFlux"][rows])
    found[1, star] = 2.5 / np.log(10) * own_errors(flux, *parts) / flux
    scale = float(exposure.wcs.pixel_scale_arcsec(nx / 2, ny / 2))
    found[2:, star] = (places - tree.data[star]).T / scale
    return found


def robust(values: Floats) -> Floats:
    """Return 1.4826 times the median absolute deviation of each column."""
    middle = np.nanmedian(values, axis=0)
    spread: Floats = 1.4826 * np.nanmedian(np.abs(values - middle), axis=0)
    return spread


def print_repeatability(repeats: Repeats, number: int) -> None:
    """Print how many frames were calibrated, and the scatter of stars by magnitude."""
    done = len(repeats.mag)
    print(f"Frames with PSF, WCS and zero point: {done} of {number} ({100 * done / number:.1f} %)")
    repeats = repeats.often()
    mag = np.nanmedian(repeats.mag, axis=0)
    scatter, east, north = (robust(v) for v in (repeats.mag, repeats.east_pix, repeats.north_pix))
    print("\n| magnitude | isolated | repeatability | expected | position | all | repeatability |")
    print("|---|---|---|---|---|---|---|")
    first = _BIN_MAG * np.floor(mag.min() / _BIN_MAG)
    for low in np.arange(first, mag.max(), _BIN_MAG):
        every = (mag >= low) & (mag < low + _BIN_MAG)
        alone = every & repeats.isolated
        if alone.sum() < 3:
            continue
        expected = np.nanmedian(repeats.error[:, alone])
        place = np.median(np.hypot(east[alone], north[alone]) / np.sqrt(2))
        print(
            f"| {low:.1f} to {low + _BIN_MAG:.1f} | {alone.sum()} "
            f"| {1e3 * np.median(scatter[alone]):.1f} mmag | {1e3 * expected:.1f} mmag "
            f"| {place:.3f} pix | {every.sum()} | {1e3 * np.median(scatter[every]):.1f} mmag |"
        )


def saao(folder: Path) -> None:
    """Print the tables of a run folder."""
    run = load_run(folder / "config" / "config.yaml")
    stars = read_reference_stars(folder / run.reference_stars, 0.0, 0.0, 180.0)
    store = Store(folder / run.output)
    repeats, number = collect(store, stars, stars.bands[0])
    print_repeatability(repeats, number)


def main() -> None:
    """Run the part that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frames", choices=["saao", "sdss"])
    parser.add_argument("folder", type=Path, help="run folder, or that of the SDSS frames")
    args = parser.parse_args()
    if args.frames == "saao":
        saao(args.folder)
    else:
        from sdss_frames import sdss

        sdss(args.folder)


if __name__ == "__main__":
    main()
