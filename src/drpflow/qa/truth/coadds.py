"""Artifact masks and coadds against the truth."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.geometry import Box
from drpflow.data.warp_masks import WarpMask
from drpflow.errors import AlgorithmError
from drpflow.qa.merit import resampled, share
from drpflow.qa.truth.score import Score

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from drpflow.data.exposure import Exposure
    from drpflow.io.store import Store
    from drpflow.qa.truth.tables import Columns, Frame, TruthTables

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

_STAGE = "compareWarpAssembleCoadd"
_BAD = ("SAT", "BAD", "NO_DATA", "EDGE")
_INEXACT, _CORE_PIX = ("INEXACT_PSF",), 4
_KNOWN = ("BAD", "SAT", "NO_DATA", "CR")
_MOST_STARS, _STEADY_MAG = 12, 0.005
_BRIGHT_MAG, _FAINT_MAG = 17.5, 20.5
_ALONE_ARCSEC = 4.0
_NJY_MAG = 31.4
_FAR_PIX, _FAR_MMAG = 12, 100.0


class MaskTally:
    """How much of what moves is masked, counted on the pixels of detectors."""

    def __init__(self) -> None:
        self.counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])

    def add(self, store: Store, frame: Frame, exposure: Exposure) -> None:
        """Add a detector image with the masks of all patches that it touches."""
        from scipy.ndimage import binary_dilation

        ids = store.query("warp_mask", visit=frame.visit)
        if not ids:
            return
        marked = np.zeros(exposure.shape, bool)
        for data_id in ids:
            mask = WarpMask.from_columns(store.get("warp_mask", **data_id).to_dict())
            marked |= mask.paint(exposure.box, frame.detector)
        usable = ~exposure.mask.any(_KNOWN)
        trail, ghost = (frame.flagged(n) & usable for n in ("TRAIL", "GHOST"))
        near = binary_dilation(
            trail | ghost | (frame.image("COSMIC_RAYS") > 0), iterations=_FAR_PIX
        )
        for name, where in (("trail", trail), ("clean", usable & ~near)):
            self.counts[name][0] += int((where & marked).sum())
            self.counts[name][1] += int(where.sum())

    def rows(self) -> Iterator[Score]:
        """Yield the figures."""
        for name, metric in (
            ("trail", "pixels of satellite trails masked, faint edges too"),
            ("clean", "pixels masked far from trails, ghosts and cosmic rays"),
        ):
            found = share(*self.counts[name])
            if found.number:
                yield Score.of(_STAGE, metric, "%", found.scaled(100))


def coadd_rows(store: Store, truth: TruthTables) -> Iterator[Score]:
    """Yield fluxes of stars on coadds against truth, by their PSF."""
    stars = places_of_date(_lonely(truth.table("stars"), truth.table("galaxies")), truth)
    found: dict[str, list[float]] = defaultdict(list)
    for data_id in store.query("coadd"):
        coadd = store.get("coadd", **data_id)
        band = str(data_id["band"])
        if coadd.psf is not None and coadd.wcs is not None and f"mag_{band}" in stars:
            found[band] += _star_offsets(coadd, stars, f"mag_{band}")
    for band, values in found.items():
        off = np.array(values)
        metric = f"stars on coadds of {band} against truth"
        yield Score.of(_STAGE, f"{metric}, median", "mmag", resampled(off, np.median))
        about = off - np.median(off) if off.size else off
        yield Score.of(_STAGE, f"{metric}, robust scatter", "mmag", resampled(about, _robust))
        far = share(int((np.abs(about) > _FAR_MMAG).sum()), about.size)
        metric = f"{metric}, more than {_FAR_MMAG:.0f} mmag from the median"
        yield Score.of(_STAGE, metric, "%", far.scaled(100), most=0.0)


def places_of_date(stars: Columns, truth: TruthTables) -> Columns:
    """Return those stars that visits have, where they stand in the mean of all visits.

    The table of stars has them at the epoch of the catalogue, years before.
    """
    parts = [truth.sources(visit) for visit in truth.visits]
    ids, row = np.unique(np.concatenate([p["id"] for p in parts]), return_inverse=True)
    ra, dec = (np.concatenate([p[n] for p in parts]) for n in ("ra", "dec"))
    # No field of a simulated survey is half the sky wide.
    ra = ra[0] + (ra - ra[0] + 180) % 360 - 180
    number = np.bincount(row)
    at = np.searchsorted(ids, stars["id"]).clip(max=ids.size - 1)
    here = ids[at] == stars["id"]
    places = {n: (np.bincount(row, v) / number)[at[here]] for n, v in (("ra", ra), ("dec", dec))}
    return {n: v[here] for n, v in stars.items()} | places


def _lonely(stars: Columns, galaxies: Columns) -> Columns:
    """Return steady stars without neighbours of a hundredth of their light."""
    from scipy.spatial import cKDTree

    ra = np.concatenate([stars["ra"], galaxies["ra"]])
    dec = np.concatenate([stars["dec"], galaxies["dec"]])
    mag = np.concatenate([stars["mag"], galaxies["mag"]])
    east = (ra - np.median(ra)) * np.cos(np.radians(np.median(dec))) * 3600
    places = np.column_stack([east, 3600 * dec])
    pairs = cKDTree(places).query_pairs(_ALONE_ARCSEC, output_type="ndarray")
    alone = np.ones(ra.size, bool)
    for a, b in (pairs.T, pairs.T[::-1]):
        alone[a[mag[b] < mag[a] + 5]] = False
    good = alone[: stars["ra"].size] & (stars["amplitude_mag"] < _STEADY_MAG)
    good &= (stars["mag"] > _BRIGHT_MAG) & (stars["mag"] < _FAINT_MAG)
    return {n: v[good] for n, v in stars.items()}


def _star_offsets(coadd: Exposure, stars: Columns, column: str) -> list[float]:
    """Return measured less true magnitudes of the brightest stars of a patch, mmag."""
    assert coadd.wcs is not None
    x, y = coadd.wcs.world_to_pixel_values(stars["ra"], stars["dec"])
    rows = np.flatnonzero(coadd.box.grow(-30).contains(x, y))
    inexact = coadd.mask.any([n for n in _INEXACT if n in coadd.mask.planes])
    found: list[float] = []
    for k in rows[np.argsort(stars["mag"][rows])].tolist():
        place = float(x[k]), float(y[k])
        if inexact[Box.around(*place, _CORE_PIX).slices(coadd.xy0)].any():
            continue
        flux = psf_flux(coadd, *place)[0] * _correction(coadd, *place)
        if flux > 0:
            found.append(1e3 * (_NJY_MAG - 2.5 * float(np.log10(flux)) - float(stars[column][k])))
        if len(found) == _MOST_STARS:
            break
    return found


def _correction(coadd: Exposure, x: float, y: float) -> float:
    known = coadd.ap_corr
    return float(known.evaluate("psfFlux", x, y)) if known and "psfFlux" in known else 1.0


def psf_flux(
    exposure: Exposure,
    x: float,
    y: float,
    planes: Sequence[str] = _BAD,
    clear_pix: int | None = 2 * _CORE_PIX,
) -> tuple[float, float]:
    """Return the flux of a source by the PSF and its error; NaN where it cannot be had.

    Pixels within `clear_pix`, or all of the PSF's if it is None, must be free of `planes`.
    """
    try:
        image, box = exposure.components["psf"].compute_image(x, y)
    except AlgorithmError:
        return np.nan, np.nan
    clear = box if clear_pix is None else Box.around(x, y, clear_pix)
    if not (exposure.box.covers(box) and exposure.box.covers(clear)):
        return np.nan, np.nan
    known = [name for name in planes if name in exposure.mask.planes]
    if exposure.mask.any(known)[clear.slices(exposure.xy0)].any():
        return np.nan, np.nan
    window = box.slices(exposure.xy0)
    pixels, variance = exposure.image[window].astype(float), exposure.variance[window]
    if not np.isfinite(pixels).all():
        return np.nan, np.nan
    norm = (image**2).sum()
    factor = exposure.components["noise_covariance"].factor(image)
    error = np.sqrt(factor * (image**2 * variance).sum()) / norm
    return float((image * pixels).sum() / norm), float(error)


def _robust(values: Floats) -> float:
    return 1.4826 * float(np.median(np.abs(values))) if values.size else float("nan")
