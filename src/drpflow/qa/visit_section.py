"""What the report shows of each visit after its first calibration: figures with their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.qa.astrometry_figures import residual_vectors
from drpflow.qa.calibration_section import middle
from drpflow.qa.canvas import is_large
from drpflow.qa.figures import detector_values, focal_plane, focal_plane_masks
from drpflow.qa.page import Block, Column, Picture, make_table
from drpflow.qa.psf_figures import psf_map, size_residuals
from drpflow.qa.star_figures import size_magnitude

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drpflow.data.camera import Detector
    from drpflow.qa.visit_data import VisitData

_COLUMNS = (
    Column("detector"),
    Column("WCS from", text=True),
    Column("residual", "mas", 1),
    Column("its scatter", "mas", 1),
    Column("stars", "WCS"),
    Column("zero point from", text=True),
    Column("zero point", "mag", 3),
    Column("− visit", "mmag", 0),
    Column("stars", "zero point"),
    Column("PSF width", "arcsec", 3),
    Column("varies by", "%", 1),
    Column("ellipticity", "", 4),
    Column("stars − PSF", "size %", 2),
    Column("scatter", "size %", 2),
    Column("stars", "PSF"),
    Column("sky", "electron", 1),
    Column("noise", "electron", 2),
    Column("5 sigma", "mag", 2),
    Column("masked", "%", 2),
    Column("stars", "all"),
    Column("lost", text=True),
)


def first_look(data: VisitData) -> Block:
    """Return the figures and the numbers of a visit after its first calibration."""
    detectors = [data.detectors[key] for key in sorted(data.detectors)]
    return Block(
        "First look",
        figures=_figures(data, detectors) if detectors else (),
        table=make_table(_COLUMNS, _rows(data)),
        folded="Numbers of each detector",
        wide=is_large(detectors),
    )


def _figures(data: VisitData, detectors: Sequence[Detector]) -> list[Picture]:
    """Return the figures for which there is something to show."""
    pictures = []
    if data.thumbnails:
        shown = {key: image.image for key, image in data.thumbnails.items()}
        first = next(iter(data.thumbnails.values()))
        masks = {key: image.mask.array for key, image in data.thumbnails.items()}
        pictures += [
            Picture(focal_plane(shown, detectors, first.unit), "image, background subtracted"),
            Picture(focal_plane_masks(masks, first.mask.planes, detectors), "mask planes"),
        ]
    if data.backgrounds:
        picture = focal_plane(data.backgrounds, detectors, "electron", full_range=True)
        pictures.append(Picture(picture, "background that was subtracted"))
    zero = data.column("zeroPoint")
    if np.isfinite(zero).any():
        pictures.append(Picture(_zero_points(data, detectors), "zero points"))
    grids = data.psf_grids()
    if grids:
        pictures.append(Picture(psf_map(grids, detectors), "PSF: size and whiskers"))
    sizes = data.sizes()
    if sizes is not None:
        pictures += [
            Picture(size_magnitude(sizes), "sizes of sources"),
            Picture(size_residuals(data.psf_stars(), detectors), "sizes of stars against the PSF"),
            Picture(residual_vectors(data.residuals(), detectors), "stars − reference catalogue"),
        ]
    return pictures


def _zero_points(data: VisitData, detectors: Sequence[Detector]) -> str:
    zero = data.column("zeroPoint")
    keys = data.summary["detector"].tolist()
    offsets = 1e3 * (zero - middle(zero))
    sources = data.text("photo_calib_source")
    labels = {
        key: (f"{value:.3f}" + ("" if source in ("fit", "") else f"\n{source}"))
        if np.isfinite(value)
        else "none"
        for key, value, source in zip(keys, zero.tolist(), sources, strict=True)
    }
    values = dict(zip(keys, offsets.tolist(), strict=True))
    unit = "zero point − median of the visit [mmag]"
    return detector_values(values, labels, detectors, unit, least=10.0)


def _rows(data: VisitData) -> list[list[object]]:
    zero = data.column("zeroPoint")
    sigma = data.column("psfSigma")
    with np.errstate(invalid="ignore", divide="ignore"):
        varies = 100 * data.column("psfTraceRadiusDelta") / sigma
        bias = 100 * data.column("psfStarDeltaSizeMedian") / sigma
        scatter = 100 * data.column("psfStarDeltaSizeScatter") / sigma
    columns = [
        data.summary["detector"].tolist(),
        data.text("wcs_source"),
        1e3 * data.column("astromOffsetMean"),
        1e3 * data.column("astromOffsetStd"),
        _counts(data, "nAstromStar"),
        data.text("photo_calib_source"),
        zero,
        1e3 * (zero - middle(zero)),
        _counts(data, "nPhotomStar"),
        data.fwhm_arcsec,
        varies,
        data.ellipticity,
        bias,
        scatter,
        _counts(data, "nPsfStar"),
        data.column("skyBg"),
        data.column("skyNoise"),
        data.column("magLim"),
        100 * data.column("maskedFraction"),
        _counts(data, "n_stars"),
        data.text("lost"),
    ]
    rows = zip(*columns, strict=True)
    return [[value.item() if hasattr(value, "item") else value for value in row] for row in rows]


def _counts(data: VisitData, name: str) -> list[int | None]:
    return [int(v) if np.isfinite(v) else None for v in data.column(name)]
