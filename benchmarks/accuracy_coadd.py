"""Artifacts and coadds of a simulated survey against its truth.

    python benchmarks/accuracy_coadd.py SURVEY [--products ROOT] [--bands g r i]

SURVEY is a folder that ``drpflow simulate`` made, ROOT the output root of its run (by default
SURVEY/results). Everything is scored on the pixels of those detectors that the plan has in the
coadds, through the runs of pixels that ``warp_mask`` holds for them, within the patches that there
are.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from coadd_quality import (
    as_dict,
    depth_share,
    half_difference_ratios,
    noise_ratios,
    photometry_error_mmag,
    size_error,
)
from scipy.ndimage import binary_dilation, gaussian_filter, label, map_coordinates
from truth_survey import TruthSurvey, read_columns

from drpflow.algorithms.coadd.epochs import epoch_limit
from drpflow.config.compare_warp_assemble_coadd import CompareWarpAssembleCoaddConfig
from drpflow.data.sky_map import sky_map_from_json
from drpflow.io.coadd_files import read_warp_mask
from drpflow.io.coadd_plan_files import read_coadd_plan
from drpflow.io.store import Store
from drpflow.sim.ghosts import ghost_image
from drpflow.sim.photometry import mag_to_njy
from drpflow.sim.placement import pixel_arcsec, place_sources
from drpflow.sim.sources import Kind

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from truth_survey import TruthFrame

    from drpflow.config.compare_warp_assemble_coadd import EpochConfig
    from drpflow.data.exposure import Exposure
    from drpflow.data.sky_map import Tract

    Id = dict[str, int | str]

    Bool = NDArray[np.bool_]
    Floats = NDArray[np.float64]

_USELESS = ("BAD", "SAT", "NO_DATA", "CR", "SUSPECT", "CROSSTALK")
_TRAIL_LEVELS = (0.3, 0.6, 1.0, 1.5)
_RAY_LEVELS = (5.0, 10.0, 20.0)
_REJECTED = (*CompareWarpAssembleCoaddConfig().rejected_planes, "NO_DATA", "EDGE")
_VARIABLE_MAG, _SHINING = 0.05, 5.0
# The masks of trails are bins of half a FWHM and grow: so far beyond their light they may reach.
_BESIDE_TRAIL_PIX = 8


@dataclass
class Tally:
    """How many there are of something, and how many of them are masked."""

    counts: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, number: float, masked: float) -> None:
        """Add to a count."""
        found = self.counts.setdefault(name, [0, 0])
        found[0] += float(number)
        found[1] += float(masked)

    def table(self) -> str:
        """Return a line a count, with the binomial 95 % interval (Wilson 1927)."""
        lines = [f"{'':28s} {'number':>10s} {'masked':>8s}  95 % interval"]
        for name, (n, k) in sorted(self.counts.items()):
            share = k / n if n else np.nan
            low, high = wilson(k, n)
            lines.append(f"{name:28s} {n:10.0f} {share:8.4f}  {low:.4f} to {high:.4f}")
        return "\n".join(lines)


def wilson(k: float, n: float, z: float = 1.96) -> tuple[float, float]:
    """Return the score interval of a share."""
    if not n:
        return np.nan, np.nan
    p = k / n
    middle, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)


def trail_light(frame: TruthFrame) -> Floats:
    """Return electrons of satellite trails on a detector."""
    model = frame.survey.model(frame.visit)
    place = model.optics.detectors[frame.detector].place
    scale = pixel_arcsec(model, frame.detector)
    seeing = float(model.psf.fwhm_arcsec(model.geometry.wavelength_nm))
    per_njy = model.flat_rate(frame.detector) * model.truth.exposure_time_s * scale**2
    nx, ny = place.size_pix
    light = np.zeros((ny, nx))
    for trail in model.trails:
        peak = float(mag_to_njy(trail.mag_per_arcsec2)) * per_njy
        width = float(np.hypot(seeing, trail.defocus_arcsec) / scale)
        pixels, electrons = trail.draw(place, peak, width)
        light.ravel()[pixels] += electrons
    return light


def ghost_light(frame: TruthFrame) -> Floats:
    """Return electrons of ghosts on a detector."""
    model = frame.survey.model(frame.visit)
    true, a = model.optics.detectors[frame.detector], model.config.artifacts
    nx, ny = true.place.size_pix
    light = np.zeros((ny, nx))
    sources = frame.survey.survey.sources(frame.visit)
    placed = place_sources(model, frame.detector, sources)
    bright = (placed.sources["mag"] < a.ghost_mag) & (placed.sources["kind"] == Kind.STAR)
    bright &= np.hypot(placed.x_mm, placed.y_mm) < 1.3 * model.optics.radius_mm
    for i in np.flatnonzero(bright) if a.ghosts else ():
        star = (float(placed.x_mm[i]), float(placed.y_mm[i]))
        found = ghost_image(true.place, star, a.ghost_fraction * placed.flux_electron[i])
        if found is not None:
            ghost, x0, y0 = found
            light[y0 : y0 + ghost.shape[0], x0 : x0 + ghost.shape[1]] += ghost
    return light


def score_detector(
    tally: Tally,
    frame: TruthFrame,
    exposure: Exposure,
    marked: Bool,
    inside: Bool,
    lasting: Lasting,
) -> None:
    """Add a detector.

    Parameters
    ----------
    tally
        Changed.
    frame, exposure
        Truth and first calibrated image.
    marked
        Pixels of artifacts by ``warp_mask``.
    inside
        Pixels within the patches that there are.
    lasting
        Sources that a mask must spare.
    """
    sky = float(frame.row["sky_electron"])
    noise = np.sqrt(sky + 25.0)
    known = exposure.mask.any(_USELESS)
    score = inside & ~known
    trail, ghost = trail_light(frame) / noise, ghost_light(frame) / noise
    rays = frame.image("COSMIC_RAYS").astype(float)
    for low, high in zip(_TRAIL_LEVELS, (*_TRAIL_LEVELS[1:], np.inf), strict=True):
        for name, light in (("trail", trail), ("ghost", ghost)):
            where = score & (light > low) & (light <= high)
            tally.add(f"{name} {low}..{high}", where.sum(), (where & marked).sum())
    band = str(frame.row["band"])
    bright = score & (trail > _TRAIL_LEVELS[-1])
    tally.add(f"trail, {band}", bright.sum(), (bright & marked).sum())
    _score_rays(tally, rays, noise, exposure, marked, score)
    touched = binary_dilation((trail > 0.02) | (ghost > 0.1), iterations=3)
    touched |= binary_dilation(rays > 0, iterations=12) | _moving(frame, marked.shape)
    clean = score & ~touched
    tally.add("clean", clean.sum(), (clean & marked).sum())
    covered = trail > 0.05
    beside = binary_dilation(covered, iterations=_BESIDE_TRAIL_PIX)
    _score_sources(tally, frame, marked & ~covered, score & ~covered, beside, lasting)


def _score_rays(
    tally: Tally, rays: Floats, noise: float, exposure: Exposure, marked: Bool, score: Bool
) -> None:
    """Score cosmic rays that isr and calibrateImage left.

    Pixels that a Lanczos kernel mixes with masked ones are rejected in coadds: what is left only
    there is counted apart, and is in no coadd.
    """
    left = (rays > 0.5 * noise) & ~exposure.mask.any(("CR", "BAD", "SAT", "NO_DATA", "INTRP"))
    used = ~binary_dilation(exposure.mask.any(_REJECTED), np.ones((5, 5), bool))
    groups, n = label(left & score, np.ones((3, 3)))
    for k in range(1, n + 1):
        where = groups == k
        place = "beside masks" if (where & used).sum() < 0.5 * where.sum() else "used"
        snr = float((rays[where]).sum() / noise / np.sqrt(where.sum()))
        for level in _RAY_LEVELS:
            if snr > level:
                tally.add(f"rays above {level:.0f}, {place}", 1, marked[where].mean() > 0.5)


def _moving(frame: TruthFrame, shape: tuple[int, int]) -> Bool:
    """Return the surroundings of asteroids, supernovae and flares."""
    near = np.zeros(shape, bool)
    s = frame.sources
    wanted = (s["kind"] != Kind.GALAXY) & (s["kind"] != Kind.STAR)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for u, v in zip(s["x"][wanted], s["y"][wanted], strict=True):
        near |= np.hypot(x - u, y - v) < 25
    return near


@dataclass(frozen=True)
class Lasting:
    """Sources that differ between visits and are on the sky.

    Parameters
    ----------
    variable
        Numbers of variable stars.
    transient
        By band, numbers of those that shine in more visits than count as few.
    """

    variable: NDArray[np.int64]
    transient: dict[str, set[int]]

    @classmethod
    def of(cls, truth: TruthSurvey, config: EpochConfig) -> Lasting:
        """Return those of a survey."""
        stars = read_columns(truth.folder / "truth/stars.parquet")
        visits = read_columns(truth.folder / "truth/visits.parquet")
        many = {}
        for band in np.unique(visits["band"]).tolist():
            own, shining = visits["visit"][visits["band"] == band].tolist(), []
            for visit in own:
                s = read_columns(truth.folder / f"truth/sources/visit={visit}/sources.parquet")
                brief = np.isin(s["kind"], [Kind.SUPERNOVA, Kind.FLARE]) & (s["snr"] > _SHINING)
                shining.extend(np.unique(s["id"][brief]).tolist())
            limit = epoch_limit(len(own), config)
            many[band] = {i for i in set(shining) if shining.count(i) > limit}
        return cls(stars["id"][stars["amplitude_mag"] > _VARIABLE_MAG], many)


def _score_sources(
    tally: Tally, frame: TruthFrame, marked: Bool, score: Bool, beside: Bool, lasting: Lasting
) -> None:
    """Score moving and variable sources by their central pixels; variable ones beside trails apart.

    What is masked beside a trail is masked for the trail, whatever shines there.
    """
    s, band = frame.sources, str(frame.row["band"])
    many = lasting.transient.get(band, set())
    columns = (s["kind"], s["id"], s["x"], s["y"], s["snr"])
    for kind, number, u, v, snr in zip(*(c.tolist() for c in columns), strict=True):
        i, j = round(u), round(v)
        if snr <= 10 or not (0 <= j < marked.shape[0] and 0 <= i < marked.shape[1]):
            continue
        if not score[j, i]:
            continue
        tally.add(f"{Kind(kind).name.lower()} above 10", 1, marked[j, i])
        if kind == Kind.STAR and number in lasting.variable:
            where = "variable stars beside trails" if beside[j, i] else "variable stars above 10"
            tally.add(where, 1, marked[j, i])
        if number in many:
            tally.add("transients in many visits", 1, marked[j, i])


def on_patches(exposure: Exposure, tract: Tract, patches: list[int]) -> Bool:
    """Return which pixels of a detector lie on patches; interpolated between every 16th pixel."""
    ny, nx = exposure.shape
    inside = np.zeros((ny, nx), bool)
    y, x = np.mgrid[:ny, :nx] / 16
    rough = np.mgrid[0 : ny + 16 : 16, 0 : nx + 16 : 16].astype(float)
    sky = exposure.wcs.pixel_to_world_values(rough[1], rough[0])
    u, v = (
        map_coordinates(w, np.array([y, x]), order=1, mode="nearest")
        for w in tract.wcs.world_to_pixel_values(*sky)
    )
    for patch in patches:
        inside |= tract.patch(patch).outer.contains(u, v)
    return inside


def _in_coadds(made: Store, one: Id, frame: TruthFrame) -> bool:
    """Return whether the plan has a detector in the coadds: others have no masks."""
    plan = read_coadd_plan(made.path("coadd_plan", tract=one["tract"], band=one["band"]))
    return frame.detector in plan.detectors(frame.visit)


def _score(
    tally: Tally,
    frame: TruthFrame,
    exposure: Exposure,
    made: Store,
    tract: Tract,
    ids: list[Id],
    lasting: Lasting,
) -> None:
    """Score one detector with the masks of all its patches."""
    marked = np.zeros(exposure.shape, bool)
    for one in ids:
        mask = read_warp_mask(made.path("warp_mask", **one))
        marked |= mask.paint(exposure.box, frame.detector)
    inside = on_patches(exposure, tract, [int(one["patch"]) for one in ids])
    score_detector(tally, frame, exposure, marked, inside, lasting)


def _empty(coadd: Exposure) -> Bool:
    """Return pixels of a coadd without sources, artifacts and masked pixels."""
    empty = ~coadd.mask.any(("NO_DATA", "CLIPPED", "SAT", "BRIGHT_OBJECT"))
    centre = np.nanmedian(coadd.image)
    sigma = np.sqrt(coadd.variance)
    smooth = gaussian_filter(np.nan_to_num(coadd.image - centre), 2.0)
    return empty & ~binary_dilation(smooth > 0.8 * np.nanmedian(sigma), iterations=6)


def _quality(made: Store, one: Id) -> None:
    """Print whether a coadd is as noisy as it says."""
    coadd = made.get("coadd", **one)
    print(one, "noise over prediction", noise_ratios(coadd, _empty(coadd)))


def _beside_warps(made: Store, one: Id, truth: TruthSurvey) -> None:
    """Print photometry, PSF and depth of a coadd beside its warps, where these have been kept."""
    coadd = made.get("coadd", **one)
    place = {"tract": one["tract"], "patch": one["patch"]}
    weights = {int(i.data_id["visit"]): i.weight for i in coadd.coadd_inputs}
    if not all(made.exists("direct_warp", visit=v, **place) for v in weights):
        return
    warps = {v: (w, made.get("direct_warp", visit=v, **place)) for v, w in weights.items()}
    halves = half_difference_ratios([*warps.values()], coadd.box, _empty(coadd))
    print("  the same of one half of the visits less the other:", halves)
    path = truth.folder / f"truth/sources/visit={min(weights)}/sources.parquet"
    s, stars = read_columns(path), read_columns(truth.folder / "truth/stars.parquet")
    steady = np.isin(s["id"], stars["id"][stars["amplitude_mag"] < 0.005])
    good = (s["kind"] == Kind.STAR) & s["isolated"] & ~s["saturated"] & (s["snr"] > 40) & steady
    x, y = coadd.wcs.world_to_pixel_values(s["ra"][good], s["dec"][good])
    print(
        "  flux beside warps, mmag:", as_dict(photometry_error_mmag(coadd, [*warps.values()], x, y))
    )
    print("  size beside PSF, %:", as_dict(size_error(coadd, x, y), 100))
    print(
        "  S/N over that of all pixels, mean:",
        round(float(np.nanmean(depth_share(coadd, warps))), 4),
    )


def main() -> int:
    """Score a survey and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("survey", type=Path)
    parser.add_argument("--products", type=Path, help="root with warp_mask and coadd")
    parser.add_argument("--sky-map", required=True, help="section skyMap as JSON")
    parser.add_argument("--bands", nargs="+", default=["g", "r", "i"])
    args = parser.parse_args()
    truth, run = TruthSurvey(args.survey), Store(args.survey / "results")
    made = Store(args.products or args.survey / "results")
    tract, tally = sky_map_from_json(args.sky_map).tract(0), Tally()
    lasting = Lasting.of(truth, CompareWarpAssembleCoaddConfig().epochs)
    for frame in truth.frames():
        ids = [i for i in made.query("warp_mask", visit=frame.visit) if i["band"] in args.bands]
        exposure = run.get("recalibrated_pvi", visit=frame.visit, detector=frame.detector)
        if ids and exposure.wcs is not None and _in_coadds(made, ids[0], frame):
            _score(tally, frame, exposure, made, tract, ids, lasting)
    print(tally.table())
    for one in made.query("coadd"):
        if one["band"] in args.bands:
            _quality(made, one)
            _beside_warps(made, one, truth)
    return 0


if __name__ == "__main__":
    sys.exit(main())
