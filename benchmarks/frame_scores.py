"""What calibrateImage made of one frame, against its truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scoring import (
    CosmicRayCounts,
    away_from,
    best_fit_error,
    count_cosmic_rays,
    match,
    polynomial_design,
    robust_sigma,
    shape_errors,
    slope,
    star_cores,
)
from truth_survey import STAR_LIKE, TruthFrame

from drpflow.data.sky_wcs import SkyWcs
from drpflow.qa.truth.detection import BLENDED, DEPTH_BINS, Depth, match_radius_pix, wcs_error_pix
from drpflow.sim.reference import parallax_error_mas, relative_flux_error

Bools = NDArray[np.bool_]

__all__ = ["BLENDED", "DEPTH_BINS", "Depth", "FrameScore", "Scorer", "wcs_error_pix"]

DEAD = ("BAD", "SAT", "NO_DATA")
PULL_BINS = ((5, 10), (10, 20), (20, 50), (50, 200))
SEP_THRESHOLDS = (3.5, 4.0, 4.5, 5.0, 5.5, 6.5)
SCRAPPY = (1.0, 2.0, 3.5, 5.0)
"""Values of objlim that astroscrappy is tried with; sigclip and sigfrac hardly matter here."""

_TURBULENCE_FLOOR_ARCSEC = 0.004


@dataclass
class FrameScore:
    """Numbers of one frame; NaN where calibrateImage gave nothing."""

    visit: int
    detector: int
    usable: bool
    calibrated: bool = False
    numbers: dict[str, float] = field(default_factory=dict)
    samples: dict[str, NDArray] = field(default_factory=dict)
    """Values of single sources, by what they are of."""
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    """(hits, tries)."""
    cosmic_rays: dict[str, CosmicRayCounts] = field(default_factory=dict)


class Scorer:
    """Compares one frame.

    Parameters
    ----------
    frame
        The truth.
    exposure
        ``initial_pvi``, in nJy.
    table
        ``initial_stars_detector``.
    detrended
        ``post_isr_image``, if it was kept: what rivals are given.
    """

    def __init__(self, frame: TruthFrame, exposure: Any, table: Any, detrended: Any = None) -> None:
        self.frame, self.exposure, self.table, self.detrended = frame, exposure, table, detrended

    @cached_property
    def primary(self) -> NDArray[np.intp]:
        """Rows of the sources that count."""
        return np.flatnonzero(self.table["detect_isPrimary"] & ~self.table["sky_source"])

    @cached_property
    def dead(self) -> Bools:
        """Pixels that no method can use; cosmic rays are those of the truth."""
        mask, hits = self.exposure.mask, self.frame.image("COSMIC_RAYS")
        return mask.any(DEAD) | (hits > 30)

    @cached_property
    def pairs(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows of the table and of the truth that are the same source."""
        s = self.frame.sources
        seen = np.flatnonzero(s["snr"] >= 2)
        radius = match_radius_pix(self.frame.fwhm_pix)
        t = self.table
        mine, true = match(
            t["x"][self.primary], t["y"][self.primary], s["x"][seen], s["y"][seen], radius
        )
        return self.primary[mine], seen[true]

    @cached_property
    def clean(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Those of `pairs` that are points, apart from brighter ones and from dead pixels."""
        mine, true = self.pairs
        s = self.frame.sources
        good = s["isolated"] & np.isin(s["kind"], STAR_LIKE) & ~s["saturated"]
        good &= away_from(s["x"], s["y"], self.dead, int(np.ceil(1.5 * self.frame.fwhm_pix)))
        keep = good[true] & ~self.table["psfFlux_flag"][mine] & ~self.table["centroid_flag"][mine]
        return mine[keep], true[keep]

    def score(self) -> FrameScore:
        """Return all scores of the frame."""
        frame, exposure = self.frame, self.exposure
        found = FrameScore(frame.visit, frame.detector, frame.usable)
        components = (exposure.wcs, exposure.psf, exposure.photo_calib)
        found.calibrated = all(c is not None for c in components)
        if exposure.wcs is not None:
            found.numbers["wcs_pix"] = wcs_error_pix(exposure.wcs, frame)
        if exposure.psf is not None:
            self._psf(found)
        if found.calibrated:
            self._fluxes(found)
            self._positions(found)
            self._sky(found)
            self._depth(found)
        if frame.usable:
            self._cosmic_rays(found)
        return found

    def _psf(self, found: FrameScore) -> None:
        """Score sizes and shapes at clean stars that did not make the model, and on a grid."""
        s, t = self.frame.sources, self.table
        used = set(self.pairs[1][t["calib_psf_used"][self.pairs[0]]].tolist())
        stars = np.array([k for k in np.flatnonzero(s["psf_star"]) if k not in used], int)
        grid = self.frame.grid
        nodes = np.arange(len(grid["x"]))[::6]
        for name, x, y in (
            ("star", s["x"][stars], s["y"][stars]),
            ("grid", grid["x"][nodes], grid["y"][nodes]),
        ):
            if not len(x):
                continue
            model = self.exposure.psf.compute_shape(x, y)
            errors = shape_errors((model.xx, model.yy, model.xy), self.frame.shapes(x, y))
            for quantity, values in errors.items():
                found.samples[f"psf_{name}_{quantity}"] = values
                found.numbers[f"psf_{name}_{quantity}"] = float(np.mean(values))
        found.numbers["psf_stars_used"] = float(t["calib_psf_used"].sum())

    def _fluxes(self, found: FrameScore) -> None:
        """Score zero point, flux by the PSF against the aperture's, and flux errors."""
        t, s = self.table, self.frame.sources
        mine, true = self.clean
        snr = s["snr"][true]
        njy = self.frame.flux_njy()[true]
        with np.errstate(invalid="ignore", divide="ignore"):
            aperture = 2.5 * np.log10(t["calibFlux"][mine] / njy)
            psf = 2.5 * np.log10(t["psfFlux"][mine] / njy)
        bright = snr >= 100
        if bright.sum() < 3:
            return
        weight = np.minimum(snr, 400) ** 2
        found.numbers["zero_point_mmag"] = 1e3 * clipped_mean(aperture[bright], weight[bright])
        apart = ~t["calib_apcorr_used"][mine] & (snr >= 200)
        for name, which in (("", snr >= 200), ("_unused", apart)):
            if which.sum() >= 3:
                bias = clipped_mean((psf - aperture)[which], weight[which])
                found.numbers[f"psf_flux{name}_mmag"] = 1e3 * bias
        some = snr >= 50
        found.numbers["psf_flux_slope"] = 1e3 * slope(-2.5 * np.log10(njy[some]), psf[some])
        scale = 10 ** (-0.4 * np.median(psf[some]))
        pull = (t["psfFlux"][mine] * scale - njy) / (t["psfFluxErr"][mine] * scale)
        inst = t["psfFlux_instFluxErr"][mine] / t["psfFlux_instFlux"][mine] * t["psfFlux"][mine]
        pull = np.where(np.isfinite(inst), pull, np.nan)
        for low, high in PULL_BINS:
            found.samples[f"flux_pull_{low}"] = pull[(snr >= low) & (snr < high)]

    def _positions(self, found: FrameScore) -> None:
        """Score centroids."""
        t, s = self.table, self.frame.sources
        mine, true = self.clean
        snr = s["snr"][true]
        bright = snr >= 100
        for axis in ("x", "y"):
            off = t[axis][mine] - s[axis][true]
            found.numbers[f"centroid_{axis}_pix"] = float(np.median(off[bright]))
            found.numbers[f"centroid_{axis}_scatter_pix"] = robust_sigma(off[bright])
            pull = (off - np.median(off[bright])) / t[f"{axis}Err"][mine]
            for low, high in PULL_BINS:
                found.samples[f"{axis}_pull_{low}"] = pull[(snr >= low) & (snr < high)]

    def _sky(self, found: FrameScore) -> None:
        """Score what is measured where there is nothing."""
        t = self.table
        for flux in ("psfFlux", "ap09Flux"):
            rows = np.flatnonzero(t["sky_source"] & ~t[f"{flux}_flag"])
            ratio = t[f"{flux}_instFlux"][rows] / t[f"{flux}_instFluxErr"][rows]
            found.samples[f"sky_{flux}"] = ratio[np.isfinite(ratio)]
            found.numbers[f"sky_{flux}"] = float(np.mean(found.samples[f"sky_{flux}"]))

    def _depth(self, found: FrameScore) -> None:
        """Score detection, beside sep on the same pixels."""
        t = self.table
        x, y = t["x"][self.primary], t["y"][self.primary]
        ours = Depth(self.frame, self.dead | self.frame.flagged("TRAIL", "GHOST"))
        for name, (hits, tries) in ours.completeness(x, y).items():
            found.counts[name] = (hits, tries)
        false = ours.false(x, y)
        found.numbers["false"] = float(false)
        self._sep_depth(found, ours)

    def _sep_depth(self, found: FrameScore, depth: Depth) -> None:
        """Count what sep finds on the same pixels, threshold by threshold."""
        import sep

        image = np.ascontiguousarray(self.exposure.image, np.float32)
        masked = self.exposure.mask.any((*DEAD, "CR")) | ~np.isfinite(image)
        image = np.where(masked, 0, image)
        image = image - sep.Background(image, mask=masked, bw=64, bh=64).back()
        noise = np.sqrt(np.nan_to_num(self.exposure.variance, nan=1.0))
        kernel = gaussian_kernel(self.frame.fwhm_pix / 2.355)
        false, hits = [], []
        for threshold in SEP_THRESHOLDS:
            objects = sep.extract(
                image, threshold, err=noise, mask=masked, minarea=1, filter_kernel=kernel,
                filter_type="matched", deblend_cont=1e-4, clean=False,
            )  # fmt: skip
            x, y = objects["x"], objects["y"]
            false.append(depth.false(x, y))
            hits.append(depth.completeness(x, y))
        found.samples["sep_false"] = np.array(false)
        for name in hits[0]:
            found.samples[f"sep {name}"] = np.array([h[name][0] for h in hits])

    def _cosmic_rays(self, found: FrameScore) -> None:
        """Count masked pixels, ours and astroscrappy's."""
        frame, mask = self.frame, self.exposure.mask
        s = frame.sources
        stars = s["psf_star"]
        cores = star_cores(mask.array.shape, s["x"][stars], s["y"][stars], 0.6 * frame.fwhm_pix)
        hits = frame.image("COSMIC_RAYS")
        usable = ~mask.any(DEAD)
        sigma = np.sqrt(frame.row["sky_electron"] + 36.0)
        arguments = (hits, sigma, cores, usable)
        found.cosmic_rays["drpflow"] = count_cosmic_rays(mask.any(("CR",)), *arguments)
        if self.detrended is None:
            return
        for limit in SCRAPPY:
            masked = scrappy(self.detrended, frame.fwhm_pix, limit)
            name = f"astroscrappy, objlim {limit:g}"
            found.cosmic_rays[name] = count_cosmic_rays(masked, *arguments)


def attainable_wcs_pix(frame: TruthFrame, camera: Any, pointing: Any, seed: int = 1) -> float:
    """Return the rms error of a fit that knows which star is which and their errors.

    Position errors of 1.2 σ_PSF/(S/N), Gaia-like errors at the epoch, and what turbulence leaves;
    polynomials of order 1 to 3 on top of the camera model, the best of them.
    """
    base = SkyWcs.from_camera(
        camera, frame.detector, pointing.ra_deg, pointing.dec_deg, pointing.rotation_deg
    )
    grid, s = frame.grid, frame.sources
    nx = float(grid["x"].max())
    bx, by = base.world_to_pixel_values(grid["ra"], grid["dec"])
    offset = np.column_stack([grid["x"] - bx, grid["y"] - by])
    scaled = (2 * bx / nx - 1, 2 * by / nx - 1)
    truth = np.linalg.lstsq(polynomial_design(*scaled, 6), offset, rcond=None)[0]
    rows = frame.reference_sources
    rows = rows[(s["snr"][rows] >= 10) & ~s["saturated"][rows]]
    sx, sy = base.world_to_pixel_values(s["ra"][rows], s["dec"][rows])
    star = (2 * sx / nx - 1, 2 * sy / nx - 1)
    sigma = 1.2 * frame.fwhm_pix / 2.355 / s["snr"][rows]
    sigma = np.hypot(sigma, catalog_error_arcsec(frame, s["mag"][rows]) / frame.pixel_arcsec)
    sigma = np.hypot(sigma, 0.001 / frame.pixel_arcsec)
    rng = np.random.default_rng([seed, frame.visit, frame.detector])
    shift = polynomial_design(*star, 6) @ truth + sigma[:, None] * rng.normal(size=(len(rows), 2))
    floor = np.hypot(sigma, _TURBULENCE_FLOOR_ARCSEC / frame.pixel_arcsec)
    return min(best_fit_error(star, shift, floor, scaled, offset, order) for order in (1, 2, 3))


def attainable_zero_point_mmag(frame: TruthFrame) -> float:
    """Return the error of a zero point that only noise limits: photons, and the catalogue's.

    Flat field, colours and clouds are taken as known.
    """
    s, rows = frame.sources, frame.reference_sources
    rows = rows[(s["snr"][rows] >= 10) & ~s["saturated"][rows]]
    floor = frame.survey.survey.config.reference.flux_floor
    error = np.hypot(relative_flux_error(s["mag"][rows], floor), 1 / s["snr"][rows])
    return float(1086 / np.sqrt(np.sum(error**-2.0)))


def attainable_psf(frame: TruthFrame, terms: int = 6) -> tuple[float, float]:
    """Return errors of PSF size (relative) and ellipticity that only noise of the sky limits.

    A Gaussian of signal to noise ν gives its size to 1/ν and each distortion to 2/ν (Bernstein &
    Jarvis 2002, AJ 123, 583); a polynomial of `terms` terms over N stars keeps √(terms/Σν²) of it.
    """
    snr = frame.sources["snr"][frame.sources["psf_star"]]
    size = float(np.sqrt(terms / np.sum(np.square(snr))))
    return size, 2 * size


def catalog_error_arcsec(frame: TruthFrame, mag: NDArray) -> NDArray:
    """Return the error of catalogue positions, moved to the time of the visit, on one axis."""
    config = frame.survey.survey.config.reference
    years = (frame.survey.survey.visit(frame.visit).mjd_tai - config.epoch_mjd) / 365.25
    return parallax_error_mas(mag) / 1e3 * np.hypot(0.8, 1.03 * years)


def clipped_mean(values: NDArray, weight: NDArray) -> float:
    """Return the weighted mean without what lies beyond 4 sigma of the median."""
    good = np.isfinite(values)
    off = np.abs(values - np.median(values[good]))
    good &= off <= 4 * robust_sigma(values[good]) + 1e-9
    return float(np.average(values[good], weights=weight[good]))


def gaussian_kernel(sigma_pix: float) -> NDArray[np.float32]:
    """Return a Gaussian of peak 1 out to 3 sigma."""
    r = np.arange(-int(np.ceil(3 * sigma_pix)), int(np.ceil(3 * sigma_pix)) + 1)
    line = np.exp(-0.5 * (r / sigma_pix) ** 2)
    return np.outer(line, line).astype(np.float32)


def scrappy(exposure: Any, fwhm_pix: float, limit: float) -> Bools:
    """Return what astroscrappy takes for cosmic rays."""
    from astroscrappy import detect_cosmics

    image = np.nan_to_num(np.asarray(exposure.image, np.float32))
    masked = exposure.mask.any(DEAD)
    sky = float(np.median(image[~masked]))
    found, _ = detect_cosmics(
        image - sky, inmask=masked, invar=np.asarray(exposure.variance, np.float32),
        sigclip=4.5, sigfrac=0.3, objlim=limit, gain=1.0, readnoise=0.0, satlevel=1e9,
        niter=4, cleantype="medmask", fsmode="convolve", psfmodel="gauss", psffwhm=fwhm_pix,
        psfsize=2 * round(1.5 * fwhm_pix) + 1,
    )  # fmt: skip
    return np.asarray(found)
