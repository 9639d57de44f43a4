"""Reference magnitudes as rows of the fit: which are used, with what colour, in what region."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.fgcm.layout import NO_REGIONS, Regions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.config.fgcm import FgcmConfig, ReferenceConfig
    from drpflow.data.photometric_tables import Stars

    Floats: TypeAlias = NDArray[np.float64]
    Int32: TypeAlias = NDArray[np.int32]
    Bools: TypeAlias = NDArray[np.bool_]

# Each costs a parameter of the dense fit.
_MAX_REGIONS = 400
# Regions of this size are the whole sky.
_LARGEST_REGION_DEG = 180.0


@dataclass(frozen=True, eq=False)
class ReferenceRows:
    """Usable reference magnitudes of observed stars, (n,).

    Parameters
    ----------
    star, band
        Whose, and in which band.
    region
        Row of `regions`.
    mag, err
        Magnitude and error.
    color
        On which the colour term acts, less its pivot.
    regions
        Parts of the sky that share errors.
    n_large_error, n_unusual_color, n_without_color
        Magnitudes of observed stars that were left out, by reason.
    """

    star: Int32
    band: Int32
    region: NDArray[np.intp]
    mag: Floats
    err: Floats
    color: Floats
    regions: Regions = NO_REGIONS
    n_large_error: int = 0
    n_unusual_color: int = 0
    n_without_color: int = 0


@dataclass(frozen=True, eq=False)
class Colors:
    """The colour of the catalogue that serves for the colour terms, by star (S,).

    Parameters
    ----------
    value
        Less the pivot; that of the median star where it is not known.
    known, usual
        Whether it is known, and within the percentiles of the configuration; with a catalogue of
        one band all are 0, known and usual.
    spread
        Scatter of the usual ones [mag].
    """

    value: Floats
    known: Bools
    usual: Bools
    spread: float


def reference_rows(
    stars: Stars, seen: Bools, wavelength_nm: Floats, config: FgcmConfig
) -> ReferenceRows | None:
    """Return the usable reference magnitudes, None without a catalogue.

    A star whose colour the catalogue does not tell counts as having the median one, and its error
    grows by what the expected colour term makes of the spread of colours.

    Parameters
    ----------
    stars
        All stars.
    seen
        In which bands stars have observations, (S, B).
    wavelength_nm
        Effective wavelengths of the bands, (B,), to tell which colours are wide.
    config
        Largest error, percentiles of colours, colour term, size of regions.
    """
    if stars.reference_mag is None or stars.reference_err is None:
        return None
    limit = config.reference.max_error_mag
    seen_mag = np.where(seen, stars.reference_mag, np.nan)
    present = np.isfinite(seen_mag)
    precise = present & ~(stars.reference_err > limit)
    observed = np.asarray(seen.any(axis=1))
    mag, wavelengths = stars.catalog(wavelength_nm) or (stars.reference_mag, wavelength_nm)
    colors = reference_colors(mag, observed, wavelengths, config.reference)
    err = _reference_errors(stars.reference_err, precise)
    added = np.where(colors.known, 0.0, config.reference.color_term_sigma * colors.spread)
    err = np.hypot(err, added[:, None])
    unusual = precise & (colors.known & ~colors.usual)[:, None]
    vague = precise & ~colors.known[:, None] & (err > limit)
    usable = precise & ~unusual & ~vague
    star, band = (a.astype(np.int32) for a in np.nonzero(usable))
    region, regions = regions_of(stars, star, band, config)
    return ReferenceRows(
        star,
        band,
        region,
        stars.reference_mag[usable],
        err[usable],
        colors.value[star],
        regions,
        int((present & ~precise).sum()),
        int(unusual.sum()),
        int(vague.sum()),
    )


def reference_colors(
    mag: Floats, seen: Bools, wavelength_nm: Floats, config: ReferenceConfig
) -> Colors:
    """Return the colours of the catalogue's stars.

    Of all pairs of bands it is that with the largest product of the distance in wavelength and the
    number of stars with both: a band that the catalogue has for few stars does not decide.

    Parameters
    ----------
    mag
        Magnitudes of the catalogue, (S, C), NaN where it has none.
    seen
        Which stars are observed, (S,).
    wavelength_nm
        Effective wavelengths of the catalogue's bands, (C,).
    config
        Pivot and percentiles.
    """
    has = np.isfinite(mag) & np.isfinite(wavelength_nm)
    order = np.argsort(wavelength_nm, kind="stable")
    worth = {
        (int(blue), int(red)): float(
            (has[:, blue] & has[:, red] & seen).sum() * (wavelength_nm[red] - wavelength_nm[blue])
        )
        for blue, red in combinations(order[np.isfinite(wavelength_nm[order])], 2)
    }
    best = max(worth, key=lambda pair: worth[pair], default=None)
    every = np.ones(len(mag), np.bool_)
    if best is None or worth[best] <= 0:
        return Colors(np.zeros(len(mag)), every, every, 0.0)
    color = mag[:, best[0]] - mag[:, best[1]]
    known = np.isfinite(color)
    low, high = np.percentile(color[known], config.color_percentile)
    with np.errstate(invalid="ignore"):
        usual = (color >= low) & (color <= high)
    value = np.where(known, color, np.median(color[usual])) - config.color_pivot_mag
    return Colors(value, known, usual, float(np.std(color[usual])))


def _reference_errors(err: Floats, usable: Bools) -> Floats:
    """Return the errors of reference magnitudes, (S, B).

    One that is unknown, or not positive, is the median of the known ones of its band: none is
    perfect. Where none is known they are zero, and the scatter that is found is the whole.
    """
    known = usable & (err > 0)
    out = np.where(known, err, 0.0)
    for band in range(err.shape[1]):
        if known[:, band].any():
            out[~known[:, band], band] = np.median(err[known[:, band], band])
    return np.asarray(out, np.float64)


def regions_of(
    stars: Stars, star: Int32, band: Int32, config: FgcmConfig
) -> tuple[NDArray[np.intp], Regions]:
    """Return the region of each reference magnitude, (n,), and the regions.

    Regions are cells of a grid in declination and right ascension, each band its own; wide ones
    are twice the size. Over a sky so wide that there would be more than `_MAX_REGIONS`, both are
    larger.
    """
    size_deg = config.reference.systematic_deg / 2
    if star.size == 0:
        return np.zeros(0, np.intp), NO_REGIONS
    while True:
        wide, part = _cell(stars, star, 2 * size_deg), _cell(stars, star, size_deg)
        cells = np.stack([band.astype(float), *wide, *part], axis=1)
        found, region = np.unique(cells, axis=0, return_inverse=True)
        if len(found) <= _MAX_REGIONS or size_deg >= _LARGEST_REGION_DEG:
            parent = np.unique(found[:, :3], axis=0, return_inverse=True)[1].ravel()
            return region.ravel(), Regions(found[:, 0].astype(np.int32), parent.astype(np.int32))
        size_deg *= 2


def _cell(stars: Stars, star: Int32, size_deg: float) -> tuple[Floats, Floats]:
    """Return the strip in declination, and the place in it, of each star.

    Stars of unknown position share a cell; NaN, which equals nothing, would make one of each.
    """
    ra, dec_deg = (np.nan_to_num(a[star], posinf=0.0, neginf=0.0) for a in (stars.ra, stars.dec))
    dec = np.floor(dec_deg / size_deg)
    width = size_deg / np.cos(np.deg2rad(np.clip((dec + 0.5) * size_deg, -89.5, 89.5)))
    return dec, np.floor(ra / width)
