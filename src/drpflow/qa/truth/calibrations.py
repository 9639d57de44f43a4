"""Calibrations of detector images, standard stars and motions against the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.sky_match import match_nearest
from drpflow.errors import MissingDatasetError
from drpflow.qa.merit import pull_figure, resampled, rms, share
from drpflow.qa.truth.detection import wcs_error_pix
from drpflow.qa.truth.score import Score

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from drpflow.io.store import Store
    from drpflow.qa.truth.tables import Columns, Frame, TruthTables

    Floats: TypeAlias = NDArray[np.float64]

_RADIUS_ARCSEC = 0.5
_STEADY_MAG = 0.005
_BRIGHT_SNR = 100.0
_FEWEST_STARS = 3
_CLEAR_MAG = 0.02
_FEWEST_PULLS = 20
_TIED = 2


def wcs_rows(store: Store, frames: list[Frame]) -> Iterator[Score]:
    """Yield errors of the coordinate systems of usable detectors, turbulence included."""
    for stage, name, asked in (
        ("calibrateImage", "initial_pvi", 0.05),
        ("consolidateVisit", "initial_visit_summary", 0.05),
        ("solveAstrometry", "solved_astrometry_wcs", np.nan),
        ("finalizeAstrometry", "final_visit_summary", np.nan),
    ):
        pix, mas = [], []
        for frame in frames:
            wcs = _wcs(store, name, frame)
            if wcs is not None:
                pix.append(wcs_error_pix(wcs, frame))
                mas.append(1e3 * pix[-1] * frame.pixel_arcsec)
        if not pix:
            continue
        if stage != "solveAstrometry":
            yield Score.of(
                stage, "usable detectors with a WCS", "%", share(len(pix), len(frames)).scaled(100),
                least=98,
            )  # fmt: skip
        metric = "WCS error over detectors, turbulence included, rms"
        yield Score.of(stage, metric, "pix", resampled(np.array(pix), rms), most=asked)
        yield Score.of(stage, metric, "mas", resampled(np.array(mas), rms))


def _wcs(store: Store, name: str, frame: Frame) -> Any:
    """Return the WCS of a detector by one of the tasks, None if there is none."""
    where = {"visit": frame.visit, "detector": frame.detector}
    places: list[dict[str, Any]] = [where]
    if name == "solved_astrometry_wcs":
        places = [where | i for i in store.query(name, visit=frame.visit)]
    for place in places:
        try:
            return store.get(f"{name}.wcs", **place)
        except MissingDatasetError:
            continue
    return None


def photometric_rows(store: Store, truth: TruthTables) -> Iterator[Score]:
    """Yield errors of the global calibration: of standard stars, and of detector images."""
    stars = truth.table("stars")
    if not store.query("fgcm_standard_stars"):
        return
    found = _standard_stars(store, stars)
    for band in dict.fromkeys(found["band"].tolist()):
        mine = found["band"] == band
        off = found["off"][mine]
        figure = resampled(off, np.median)
        yield Score.of("fgcm", f"standard stars of {band} against truth, median", "mmag", figure)
        about = off - np.median(off)
        metric = f"standard stars of {band} against truth, robust scatter"
        yield Score.of("fgcm", metric, "mmag", resampled(about, _robust))
    images = _image_errors(store, truth, found)
    for name, clear, most in (("clear", True, 4.0), ("cloudy", False, 10.0)):
        values = np.array([v for v, is_clear in images if is_clear == clear])
        if values.size:
            metric = f"detector images of {name} visits against truth, rms"
            yield Score.of("fgcm", metric, "mmag", resampled(values, rms), most=most)


def _standard_stars(store: Store, stars: Columns) -> Columns:
    """Return standard magnitudes of steady bright stars with the true ones, mmag off."""
    parts = []
    for data_id in store.query("fgcm_standard_stars"):
        made = store.get("fgcm_standard_stars", **data_id).to_dict()
        places = store.get("isolated_stars", **data_id).to_dict()
        pairs = match_nearest(
            places["ra"], places["dec"], stars["ra"], stars["dec"], _RADIUS_ARCSEC
        )
        known = dict(
            zip(
                places["isolated_star_id"][pairs.first].tolist(), pairs.second.tolist(), strict=True
            )
        )
        at = np.array([known.get(k, -1) for k in made["isolated_star_id"].tolist()], int)
        good = (at >= 0) & np.isfinite(made["mag_std"]) & (made["mag_err"] < 0.01)
        good &= stars["amplitude_mag"][at] < _STEADY_MAG
        true = np.full(at.size, np.nan)
        for band in np.unique(made["band"]).tolist():
            mine = (made["band"] == band) & good
            if f"mag_{band}" in stars:
                true[mine] = stars[f"mag_{band}"][at[mine]]
        good &= np.isfinite(true)
        parts.append(
            {
                "id": made["isolated_star_id"][good], "band": made["band"][good],
                "off": 1e3 * (made["mag_std"] - true)[good], "true": true[good],
            }
        )  # fmt: skip
    return {n: np.concatenate([p[n] for p in parts]) for n in parts[0]}


def _image_errors(
    store: Store, truth: TruthTables, found: Columns
) -> list[tuple[float, bool]]:  # fmt: skip
    """Return by how much bright stars of each detector image are off, about their band, mmag."""
    keys = zip(found["id"].tolist(), found["band"].tolist(), strict=True)
    true = dict(zip(keys, found["true"].tolist(), strict=True))
    columns = ["isolated_star_id", "visit", "detector", "band", "x", "y",
               "normCompTophatFlux_instFlux", "normCompTophatFlux_instFluxErr"]  # fmt: skip
    tables = [
        store.get("isolated_stars_source", columns=columns, **i).to_dict()
        for i in store.query("isolated_stars_source")
    ]
    s = {n: np.concatenate([t[n] for t in tables]) for n in columns}
    flux, error = s[columns[-2]], s[columns[-1]]
    ids = zip(s["isolated_star_id"].tolist(), s["band"].tolist(), strict=True)
    expected = np.array([true.get(k, np.nan) for k in ids])
    good = np.isfinite(expected) & (flux > _BRIGHT_SNR * error)
    table = truth.detectors
    clouds = dict(
        zip(zip(table["visit"].tolist(), table["detector"].tolist(), strict=True),
            table["cloud_mag"].tolist(), strict=True)
    )  # fmt: skip
    offsets: list[tuple[str, float, bool]] = []
    for (visit, detector), cloud in clouds.items():
        rows = np.flatnonzero(good & (s["visit"] == visit) & (s["detector"] == detector))
        if rows.size < _FEWEST_STARS:
            continue
        try:
            calib = store.get("fgcm_photo_calib.photo_calib", visit=visit, detector=detector)
        except MissingDatasetError:
            continue
        mag = calib.flux_to_magnitude(flux[rows], s["x"][rows], s["y"][rows])
        off = 1e3 * float(np.median(mag - expected[rows]))
        offsets.append((str(s["band"][rows[0]]), off, abs(cloud) < _CLEAR_MAG))
    middles = {
        band: float(np.median([v for b, v, _ in offsets if b == band]))
        for band in {b for b, _, _ in offsets}
    }
    return [(off - middles[band], clear) for band, off, clear in offsets]


def motion_rows(store: Store, truth: TruthTables) -> Iterator[Score]:
    """Yield errors of proper motions and parallaxes over what they are said to be."""
    stars, stage = truth.table("stars"), "fitStellarMotions"
    ids = store.query("stellar_motions")
    tables = [store.get("stellar_motions", **i).to_dict() for i in ids]
    if not tables:
        return
    made = {n: np.concatenate([t[n] for t in tables]) for n in tables[0]}
    pairs = match_nearest(made["ra"], made["dec"], stars["ra"], stars["dec"], _RADIUS_ARCSEC)
    alone = (made["flag"][pairs.first] & _TIED) == 0
    for motion, true in (("raPM", "pm_ra"), ("decPM", "pm_dec"), ("parallax", "parallax")):
        off = made[motion][pairs.first] - stars[true][pairs.second]
        pulls = off / made[f"{motion}Err"][pairs.first]
        for whose, rows in (
            ("all stars", np.isfinite(pulls)), ("not in the catalogue", np.isfinite(pulls) & alone),
        ):  # fmt: skip
            if rows.sum() >= _FEWEST_PULLS:
                figure = pull_figure(pulls[rows])
                metric = f"width of {motion} pulls, {whose}"
                yield Score.of(stage, metric, "", figure, least=0.9, most=1.1)
        if np.isfinite(pulls).sum() >= _FEWEST_PULLS:
            figure = resampled(pulls, np.median, resamplings=300)
            yield Score.of(stage, f"median of {motion} pulls", "", figure)


def rescue_rows(store: Store, frames: list[Frame]) -> Iterator[Score]:
    """Yield how many usable detectors are of use after the visit was gathered."""
    good = total = 0
    for frame in frames:
        if not store.exists("initial_visit_summary", visit=frame.visit):
            continue
        table = store.get("initial_visit_summary", columns=["detector", "lost"], visit=frame.visit)
        lost = dict(zip(table["detector"].tolist(), table["lost"].tolist(), strict=True))
        total += 1
        good += lost.get(frame.detector, "absent") == ""
    if total:
        figure = share(good, total).scaled(100)
        yield Score.of("consolidateVisit", "usable detectors of use", "%", figure, least=98)


def _robust(values: Floats) -> float:
    return 1.4826 * float(np.median(np.abs(values)))
