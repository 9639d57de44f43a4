"""What the report shows of the final PSFs, gathered from finalizeCharacterization's tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.rho_statistics import PsfResiduals
from drpflow.data.detector_info import DetectorInfo
from drpflow.errors import MissingDatasetError
from drpflow.qa.canvas import to_focal_plane
from drpflow.qa.trend_figures import band_colors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.data.camera import Detector
    from drpflow.data.visit_info import VisitInfo
    from drpflow.io.store import Store

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]
    Columns: TypeAlias = dict[str, NDArray[Any]]

STARS, SUMMARY = "final_characterization_stars", "final_characterization_summary"
_FIRST_STARS, _FIRST_SUMMARY = "initial_stars", "initial_visit_summary"
_MOMENTS = ("ixx", "iyy", "ixy", "ixxPSF", "iyyPSF", "ixyPSF")
_COLUMNS = [
    "detector", "sourceId", "x", "y", *_MOMENTS, "ixxErr", "iyyErr", "ixyErr", "shape_flag",
    "psf_color_value", "psf_color_type", "psf_color_assumed", "calib_psf_candidate",
    "calib_psf_used", "calib_psf_reserved",
]  # fmt: skip
_FIRST_COLUMNS = ["sourceId", *_MOMENTS, "shape_flag", "calib_psf_used"]
_IMAGE_COLUMNS = [
    "detector", "psf_source", "ap_corr_source", "n_psf_candidates", "n_psf_used",
    "n_psf_reserved", "psf_order", "psf_size_scatter", "psf_e_scatter", "psf_size_own",
    "psf_e_own", "lost",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Against:
    """Stars against a PSF model, shape (N,).

    Parameters
    ----------
    e, de
        Distortion of the model and what that of the star is more, e1 + i e2, along the axes of
        the focal plane.
    dt
        Iₓₓ + I_yy of the star over that of the model, less 1.
    """

    e: NDArray[np.complex128]
    de: NDArray[np.complex128]
    dt: Floats


@dataclass(frozen=True, eq=False)
class PsfStars:
    """Stars good for a PSF, of all visits, shape (N,).

    Parameters
    ----------
    visit, detector, x, y
        Where they are.
    x_arcmin, y_arcmin
        Place in the focal plane.
    band
        Index into the bands of the run.
    color
        NaN where it is not known.
    reserved
        Whether they were kept out of the final PSF.
    first_used
        Whether they made the first PSF.
    before, after
        Against the first and the final PSF; the first is NaN where a star has no such figures.
    dt_err, de_err
        Noise of dt, and of each component of de.
    """

    visit: NDArray[np.int64]
    detector: NDArray[np.int32]
    x: Floats
    y: Floats
    x_arcmin: Floats
    y_arcmin: Floats
    band: NDArray[np.int64]
    color: Floats
    reserved: Bools
    first_used: Bools
    before: Against
    after: Against
    dt_err: Floats
    de_err: Floats

    def residuals(self, rows: Bools, *, before: bool = False) -> PsfResiduals:
        """Return some of them for two-point functions."""
        of = self.before if before else self.after
        return PsfResiduals(
            self.visit, self.x_arcmin, self.y_arcmin, of.e, of.de, of.dt
        ).take(rows)  # fmt: skip


@dataclass(frozen=True, eq=False)
class FinalPsf:
    """The final PSFs of a run.

    Parameters
    ----------
    stars
        Their stars.
    images
        Columns of ``final_characterization_summary`` with ``visit``.
    bands
        In the order of wavelengths.
    band_of
        Of each visit, by number.
    visits, detectors
        What is known of them.
    color_name
        What the colours are.
    """

    stars: PsfStars
    images: Columns
    bands: list[str]
    band_of: dict[int, str]
    visits: dict[int, VisitInfo] = field(default_factory=dict)
    detectors: dict[int, Detector] = field(default_factory=dict)
    color_name: str = ""


def read_final_psf(store: Store) -> FinalPsf | None:
    """Return the final PSFs of a run, None if it has none yet."""
    numbers = sorted(int(i["visit"]) for i in store.query(SUMMARY))
    if not numbers:
        return None
    visits = {v: store.get("visit_info", visit=v) for v in numbers
              if store.exists("visit_info", visit=v)}  # fmt: skip
    band_of = {v: visits[v].band or "–" if v in visits else "–" for v in numbers}
    bands = list(band_colors(band_of.values()))
    detectors: dict[int, Detector] = {}
    parts, images, names = [], [], set()
    for visit in numbers:
        scale = _geometry(store, visit, detectors)
        table = store.get(SUMMARY, columns=_IMAGE_COLUMNS, visit=visit).to_dict()
        images.append(table | {"visit": np.full(len(table["detector"]), visit)})
        if store.exists(STARS, visit=visit):
            stars = store.get(STARS, columns=_COLUMNS, visit=visit).to_dict()
            names |= set(stars["psf_color_type"].tolist()) - {""}
            first = _first_rows(store, visit, stars["sourceId"])
            band = bands.index(band_of[visit])
            parts.append(_stars(stars, first, visit, band, detectors, scale))
    return FinalPsf(
        _join(parts), {n: np.concatenate([i[n] for i in images]) for n in images[0]}, bands,
        band_of, visits, dict(sorted(detectors.items())), " or ".join(sorted(names)),
    )  # fmt: skip


def _geometry(store: Store, visit: int, to: dict[int, Detector]) -> dict[int, float]:
    """Add the detectors of a visit; return the scale of their pixels, arcsec, where known."""
    if not store.exists(_FIRST_SUMMARY, visit=visit):
        return {}
    table = store.get(_FIRST_SUMMARY, visit=visit)
    for key in table["detector"].tolist():
        if key not in to:
            try:
                about = table.component("detector", detector=key)
            except MissingDatasetError:
                continue
            if isinstance(about, DetectorInfo):
                to[key] = about.detector
    scale = table["pixelScale"] if "pixelScale" in table else np.full(len(table), np.nan)
    return dict(zip(table["detector"].tolist(), scale.astype(float).tolist(), strict=True))


def _first_rows(store: Store, visit: int, wanted: NDArray[np.int64]) -> Columns:
    """Return what the first measurement has of some sources, NaN where it has nothing."""
    if not store.exists(_FIRST_STARS, visit=visit):
        empty: Columns = {n: np.full(wanted.size, np.nan) for n in _MOMENTS}
        return empty | {"calib_psf_used": np.zeros(wanted.size, bool)}
    table = store.get(_FIRST_STARS, columns=_FIRST_COLUMNS, visit=visit).to_dict()
    order = np.argsort(table["sourceId"])
    if not order.size:
        order = np.zeros(1, np.intp)
        table = {n: np.zeros(1, v.dtype) for n, v in table.items()}
    place = np.searchsorted(table["sourceId"], wanted, sorter=order)
    at = order[np.minimum(place, order.size - 1)]
    there = table["sourceId"][at] == wanted
    measured = there & ~table["shape_flag"][at]
    found: Columns = {n: np.where(measured, table[n][at], np.nan) for n in _MOMENTS}
    return found | {"calib_psf_used": there & table["calib_psf_used"][at]}


def _stars(
    stars: Columns,
    first: Columns,
    visit: int,
    band: int,
    detectors: Mapping[int, Detector],
    scales: Mapping[int, float],
) -> PsfStars:
    """Return the stars of a visit that are good for a PSF."""
    good = stars["calib_psf_candidate"] & ~stars["shape_flag"]
    good &= stars["calib_psf_used"] | stars["calib_psf_reserved"]
    s, f = ({n: v[good] for n, v in c.items()} for c in (stars, first))
    x_arcmin, y_arcmin, turn = _places(s, detectors, scales)
    trace = s["ixx"] + s["iyy"]
    with np.errstate(invalid="ignore", divide="ignore"):
        dt_err = np.hypot(s["ixxErr"], s["iyyErr"]) / trace
        de_err = np.sqrt((dt_err**2 + (2 * s["ixyErr"] / trace) ** 2) / 2)
    known = ~s["psf_color_assumed"]
    return PsfStars(
        np.full(trace.size, visit), s["detector"], s["x"], s["y"], x_arcmin, y_arcmin,
        np.full(trace.size, band), np.where(known, s["psf_color_value"], np.nan),
        s["calib_psf_reserved"], f["calib_psf_used"], _against(f, turn), _against(s, turn),
        dt_err, de_err,
    )  # fmt: skip


def _places(
    stars: Columns, detectors: Mapping[int, Detector], scales: Mapping[int, float]
) -> tuple[Floats, Floats, NDArray[np.complex128]]:
    """Return places in the focal plane, arcmin, and what turns a distortion to its axes."""
    x, y = (np.full(stars["x"].size, np.nan) for _ in range(2))
    turn = np.full(x.size, np.nan + 0j)
    for key, detector in detectors.items():
        mine = stars["detector"] == key
        mm = to_focal_plane(detector, stars["x"][mine], stars["y"][mine])
        arcmin_per_mm = scales.get(key, np.nan) / 60 / detector.pixel_size_mm
        x[mine], y[mine] = (p * arcmin_per_mm for p in mm)
        turn[mine] = np.exp(2j * np.deg2rad(detector.rotation_deg))
    return x, y, turn


def _against(columns: Columns, turn: NDArray[np.complex128]) -> Against:
    xx, yy, xy, mxx, myy, mxy = (columns[n].astype(float) for n in _MOMENTS)
    with np.errstate(invalid="ignore", divide="ignore"):
        e = (xx - yy + 2j * xy) / (xx + yy) * turn
        model = (mxx - myy + 2j * mxy) / (mxx + myy) * turn
        return Against(model, e - model, (xx + yy) / (mxx + myy) - 1)


def _join(parts: Sequence[PsfStars]) -> PsfStars:
    """Return the stars of all visits."""
    if not parts:
        none, which = np.zeros(0), np.zeros(0, bool)
        number, shape = np.zeros(0, np.int64), np.zeros(0, np.complex128)
        nothing = Against(shape, shape, none)
        return PsfStars(
            number, number.astype(np.int32), none, none, none, none, number, none, which, which,
            nothing, nothing, none, none,
        )  # fmt: skip
    values: list[Any] = []
    for name in PsfStars.__dataclass_fields__:
        each = [getattr(p, name) for p in parts]
        if isinstance(each[0], Against):
            joined = (np.concatenate([getattr(a, n) for a in each]) for n in ("e", "de", "dt"))
            values.append(Against(*joined))
        else:
            values.append(np.concatenate(each))
    return PsfStars(*values)
