"""What finalizeImage found on one frame, against its truth: values of single sources, pooled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from frame_scores import DEAD
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scoring import Figure, away_from, match, nearness, resampled
from truth_survey import STAR_LIKE, TruthFrame

from drpflow.sim.psf_image import psf_image

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SEP_THRESHOLDS = (4.5, 4.75, 5.0, 5.25, 5.5, 6.0)
_CURVE = (3.0, 8.0)
"""Range of S/N in which the curve of completeness is fitted."""


@dataclass
class SourceScores:
    """Values of single sources, one array a name; see :func:`score_frame`."""

    samples: dict[str, list[NDArray[Any]]] = field(default_factory=dict)

    def add(self, **values: Any) -> None:
        """Append values."""
        for name, value in values.items():
            self.samples.setdefault(name, []).append(np.atleast_1d(value))

    def __getitem__(self, name: str) -> NDArray[Any]:
        return np.concatenate(self.samples[name]) if name in self.samples else np.empty(0)


def score_frame(scores: SourceScores, number: int, frame: TruthFrame, table: Any, pvi: Any) -> None:
    """Score the sources of one frame.

    Parameters
    ----------
    scores
        Appended to.
    number
        Of the frame, for resampling.
    frame
        The truth.
    table
        ``final_source_detector``.
    pvi
        Its image.
    """
    s = frame.sources
    dead = pvi.mask.any((*DEAD, "CR"))
    artifact = frame.flagged("TRAIL", "GHOST")
    reach = int(np.ceil(1.5 * frame.fwhm_pix))
    rows = np.flatnonzero(table["detect_isPrimary"] & ~table["sky_source"])
    x, y = (np.asarray(table[name])[rows] for name in ("x", "y"))
    of_truth = rows_of_truth(frame, x, y)
    clean = away_from(s["x"], s["y"], dead | artifact, reach) & ~s["saturated"] & (s["snr"] >= 2)
    near = nearness(s["x"], s["y"], s["flux_electron"], frame.fwhm_pix)
    star = np.isin(s["kind"], STAR_LIKE)
    point = np.flatnonzero(clean & star)
    scores.add(
        depth_snr=s["snr"][point],
        depth_found=of_truth[point] >= 0,
        depth_isolated=near[point] < 1,
    )
    _sources(scores, number, frame, table, rows, of_truth, clean & (near < 1))
    _false(scores, frame, table, rows, dead, reach)
    sky = np.flatnonzero(table["sky_source"] & ~table["psfFlux_flag"])
    scores.add(sky=np.asarray(table["psfFlux"])[sky] / np.asarray(table["psfFluxErr"])[sky])


def rows_of_truth(frame: TruthFrame, x: Floats, y: Floats) -> NDArray[np.intp]:
    """Return the detection of each true source, -1 for none."""
    s = frame.sources
    seen = np.flatnonzero(s["snr"] >= 2)
    radius = max(1.5, 0.4 * frame.fwhm_pix)
    mine, true = match(x, y, s["x"][seen], s["y"][seen], radius)
    found = np.full(len(s["x"]), -1)
    found[seen[true]] = mine
    return found


def _sources(
    scores: SourceScores, number: int, frame: TruthFrame, table: Any, rows: Any, of_truth: Any,
    clean: Bools,
) -> None:  # fmt: skip
    """Note what was measured of isolated true sources."""
    s, njy = frame.sources, frame.flux_njy()
    true = np.flatnonzero(clean & (of_truth >= 0))
    k = rows[of_truth[true]]
    usable = ~table["psfFlux_flag"][k] & ~table["centroid_flag"][k]
    true, k = true[usable], k[usable]
    column = {name: np.asarray(table[name], float)[k] for name in _COLUMNS}
    flux, error = column["psfFlux"], column["psfFluxErr"]
    # Common to the sources of an image, and so a column of its own.
    of_zero_point = flux * column["localPhotoCalibErr"] / column["localPhotoCalib"]
    star = np.isin(s["kind"][true], STAR_LIKE)
    bright = star & (s["snr"][true] >= 100)
    ratio = flux / njy[true]
    scale = np.median(ratio[bright]) if bright.sum() >= 3 else np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        scores.add(
            frame=np.full(true.size, number),
            band=np.full(true.size, str(frame.row["band"])),
            relative_error=np.hypot(error, of_zero_point) / flux,
            star=star,
            snr=s["snr"][true],
            ratio=ratio,
            relative=ratio / scale,
            pull=(flux - njy[true]) / np.hypot(error, of_zero_point),
            pull_own=(flux - njy[true]) / error,
            pull_relative=(flux / scale - njy[true]) / error * scale,
            pull_x=(column["x"] - s["x"][true]) / column["xErr"],
            pull_y=(column["y"] - s["y"][true]) / column["yErr"],
            extended=column["extendedness"],
            kron=column["kronFlux"] / njy[true] / scale,
            kron_pull=(column["kronFlux"] / scale - njy[true]) / column["kronFluxErr"] * scale,
            debiased=(column["ixx"] + column["iyy"])
            / (column["ixxDebiasedPSF"] + column["iyyDebiasedPSF"]),
            size=(column["ixx"] + column["iyy"]) / (column["ixxPSF"] + column["iyyPSF"]),
        )


_COLUMNS = (
    "x", "y", "xErr", "yErr", "psfFlux", "psfFluxErr", "extendedness", "kronFlux", "kronFluxErr",
    "ixx", "iyy", "ixxPSF", "iyyPSF", "ixxDebiasedPSF", "iyyDebiasedPSF",
    "localPhotoCalib", "localPhotoCalibErr",
)  # fmt: skip


def _false(
    scores: SourceScores, frame: TruthFrame, table: Any, rows: Any, dead: Bools, reach: int
) -> None:
    """Note which detections no true source explains, and which lie on trails."""
    x, y = (np.asarray(table[name])[rows] for name in ("x", "y"))
    flagged = np.zeros(rows.size, bool)
    for name in ("streak", "artifact", "saturated", "bad", "cr"):
        flagged |= np.asarray(table[f"pixelFlags_{name}"])[rows]
    unexplained = unexplained_by(frame, x, y)
    artifact = frame.flagged("TRAIL", "GHOST")
    away = away_from(x, y, dead | artifact, reach)
    scores.add(unexplained=unexplained, unexplained_away=away, unexplained_flagged=flagged)
    on_trail = _at(frame.flagged("TRAIL"), x, y)
    marked = np.zeros(rows.size, bool)
    for name in ("streak", "artifact"):
        marked |= np.asarray(table[f"pixelFlags_{name}"])[rows]
    scores.add(trail_flagged=marked[on_trail], trail_false=unexplained[on_trail])


def unexplained_by(frame: TruthFrame, x: Floats, y: Floats) -> Bools:
    """Return which places have no true source near them: a blend or bright wings are no fault."""
    s = frame.sources
    seen = s["snr"] >= 1
    tree = cKDTree(np.column_stack([s["x"][seen], s["y"][seen]]))
    distance, which = tree.query(np.column_stack([x, y]))
    reach = frame.fwhm_pix * np.clip(np.sqrt(s["snr"][seen][which] / 100), 1, 4)
    return np.asarray(distance > reach)


def _at(plane: Bools, x: Floats, y: Floats) -> Bools:
    """Return the values of a plane at places."""
    ny, nx = plane.shape
    row, column = np.rint(y).astype(int).clip(0, ny - 1), np.rint(x).astype(int).clip(0, nx - 1)
    return np.asarray(plane[row, column])


def half_complete(snr: Floats, found: Bools, seed: int = 1) -> Figure:
    """Return the S/N at which half of the sources are found: the middle of a logistic curve."""
    from scipy.optimize import minimize

    inside = (snr > _CURVE[0]) & (snr < _CURVE[1])
    snr, found = snr[inside], found[inside]

    def middle(rows: Floats) -> float:
        k = rows.astype(int)
        sign = np.where(found[k], 1.0, -1.0)

        def misfit(p: Floats) -> float:
            return float(np.logaddexp(0, -sign * (snr[k] - p[0]) / max(abs(p[1]), 0.05)).sum())

        return float(minimize(misfit, [5.0, 0.6], method="Nelder-Mead").x[0])

    return resampled(np.arange(snr.size), middle, seed, 30)


def sep_depth(scores: SourceScores, frame: TruthFrame, pvi: Any) -> None:
    """Note what sep finds with the true PSF as its matched filter, threshold by threshold.

    Its noise is the one that it measures itself (`Background.rms`), its deblending as deep as it
    goes. With the variance plane it loses half of the stars at S/N 10 to 20.
    """
    import sep

    image = np.array(pvi.image, np.float32)
    bad = pvi.mask.any((*DEAD, "CR")) | ~np.isfinite(image)
    image[bad] = 0
    psf = psf_image(frame.survey.model(frame.visit), frame.detector, *(n / 2 for n in image.shape))
    middle, reach = len(psf) // 2, int(np.ceil(2.5 * frame.fwhm_pix / 2.355))
    inner = slice(middle - reach, middle + reach + 1)
    kernel = np.ascontiguousarray(psf[inner, inner], np.float32)
    noise = sep.Background(image, mask=bad, bw=64, bh=64).rms()
    s, step = frame.sources, int(np.ceil(1.5 * frame.fwhm_pix))
    dead = bad | frame.flagged("TRAIL", "GHOST")
    clean = away_from(s["x"], s["y"], dead, step) & ~s["saturated"] & (s["snr"] >= 2)
    near = nearness(s["x"], s["y"], s["flux_electron"], frame.fwhm_pix)
    point = clean & np.isin(s["kind"], STAR_LIKE) & (near < 1)
    scores.add(sep_snr=s["snr"][point])
    for threshold in SEP_THRESHOLDS:
        objects = sep.extract(
            image, threshold, err=noise, mask=bad, minarea=1, filter_kernel=kernel,
            filter_type="matched", deblend_cont=1e-4, clean=False,
        )  # fmt: skip
        x, y = np.asarray(objects["x"], float), np.asarray(objects["y"], float)
        away = away_from(x, y, dead, step)
        scores.add(
            **{
                f"sep_found_{threshold}": rows_of_truth(frame, x, y)[point] >= 0,
                f"sep_false_{threshold}": int(unexplained_by(frame, x[away], y[away]).sum()),
            }
        )
