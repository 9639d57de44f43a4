"""A small survey of stars for solveAstrometry: camera, visits with first WCSs, detections."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

from drpflow.data.astrometric_survey import AstrometricSurvey, VisitInput
from drpflow.data.astrometric_tables import Observations, Stars
from drpflow.data.camera import Camera
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.plane_maps import PolynomialMap
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.reference_stars import ReferenceStars
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.star_color import ColorMeaning
from drpflow.data.table import Table
from drpflow.data.visit_info import VisitInfo
from drpflow.io.component_tables import write_component_table
from drpflow.io.records import write_component_json
from drpflow.io.reference_stars import write_reference_stars
from drpflow.io.tables import write_table
from tests.workflow.small_survey import camera_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SIZE_PIX, SCALE_ARCSEC, PIXEL_MM = 500, 0.3, 0.015
RA_DEG, DEC_DEG = 0.02, -30.0
NOISE_PIX = 0.01
MJD = 60000.0
PIECES = (1028, 1032)
"""Pieces of the association of order 4: stars of even numbers are in the first."""
SKYPIX = 257
"""The coarse piece that holds the first, but not the second."""


@dataclass(frozen=True, eq=False)
class SmallAstrometry:
    """A survey with what is true of it.

    Parameters
    ----------
    survey
        What the task is given.
    wcs
        True WCSs by visit and detector.
    ra_deg, dec_deg
        True places of the stars, which do not move.
    """

    survey: AstrometricSurvey
    wcs: dict[tuple[int, int], SkyWcs]
    ra_deg: Floats
    dec_deg: Floats

    def errors_mas(self, visit: int, detector: int, wcs: SkyWcs) -> Floats:
        """Return distances of a WCS from the truth at the centres of 8 x 8 cells."""
        middle = (np.arange(8) + 0.5) * SIZE_PIX / 8 - 0.5
        x, y = (a.ravel() for a in np.meshgrid(middle, middle))
        u, v = np.array(wcs.pixel_to_world_values(x, y)) - np.array(
            self.wcs[visit, detector].pixel_to_world_values(x, y)
        )
        u = (u + 180) % 360 - 180
        return 3.6e6 * np.hypot(u * np.cos(np.radians(DEC_DEG)), v)


def camera() -> Camera:
    """Return a camera of four detectors; (1, 1) is turned."""
    values = camera_values(4)
    values["optics"] = {"plate_scale_arcsec_per_mm": SCALE_ARCSEC / PIXEL_MM}
    step = 1.03 * SIZE_PIX * PIXEL_MM
    section = [0, SIZE_PIX, 0, SIZE_PIX]
    for k, detector in enumerate(values["detectors"]):
        detector["size_pix"] = [SIZE_PIX, SIZE_PIX]
        detector["center_mm"] = [step * (k % 2 - 0.5), step * (k // 2 - 0.5)]
        detector["rotation_deg"] = 180.0 * (k == 3)
        amplifier = dict(detector["amplifiers"][0])
        amplifier.pop("raw_serial_overscan")
        detector["amplifiers"] = [
            amplifier | {"data_section": section, "raw_data_section": section}
        ]
    return Camera.model_validate(values)


def small_astrometry(n_visits: int = 6, n_stars: int = 600, seed: int = 1) -> SmallAstrometry:
    """Make a survey: dithered, turned visits of one field in g, r, i."""
    rng = np.random.default_rng(seed)
    cam = camera()
    half = 1.1 * SIZE_PIX * SCALE_ARCSEC / 3600
    span = rng.uniform(-1.3 * half, 1.3 * half, (2, n_stars))
    ra = (RA_DEG + span[0] / np.cos(np.radians(DEC_DEG))) % 360
    dec = DEC_DEG + span[1]
    basis = Basis2D(2, Domain(-half, half, -half, half))
    true: dict[tuple[int, int], SkyWcs] = {}
    visits, columns = [], []
    for k in range(n_visits):
        info, boresight, first = _visit(rng, k, cam, true, basis, half)
        visits.append(VisitInput(info, boresight, first))
        for d, detector in enumerate(cam.detectors):
            x, y = true[info.visit, detector.id].world_to_pixel_values(ra, dec)
            on = np.flatnonzero((x > 0) & (x < SIZE_PIX - 1) & (y > 0) & (y < SIZE_PIX - 1))
            x, y = (a[on] + rng.normal(0, NOISE_PIX, on.size) for a in (x, y))
            columns.append((on, np.full(on.size, k), np.full(on.size, d), x, y))
    star, visit, number, x, y = (np.concatenate(c) for c in zip(*columns, strict=True))
    variance = np.full(star.size, NOISE_PIX**2)
    seen, row = np.unique(star, return_inverse=True)
    observations = Observations(row, visit, number, x, y, variance, 0 * variance, variance)
    ra, dec = ra[seen], dec[seen]
    place = [a + rng.normal(0, 0.02 / 3600, seen.size) for a in (ra, dec)]
    color = np.where(rng.random(seen.size) < 0.1, np.nan, rng.normal(0.8, 0.4, seen.size))
    stars = Stars(1000 + seen, place[0] % 360, place[1], color, rng.random(seen.size) < 0.15)
    survey = AstrometricSurvey(
        cam, visits, {}, observations, stars, np.ones(seen.size, np.bool_),
        ColorMeaning(("g", "i"), 0.8), _catalog(ra, dec, rng),
    )  # fmt: skip
    return SmallAstrometry(survey, true, ra, dec)


def _visit(
    rng: np.random.Generator,
    k: int,
    cam: Camera,
    true: dict[tuple[int, int], SkyWcs],
    basis: Basis2D,
    half: float,
) -> tuple[VisitInfo, tuple[float, float, float], dict[int, SkyWcs | None]]:
    """Return metadata, fitted boresight and first WCSs of a visit, and add the true ones."""
    ra, dec = RA_DEG + rng.normal(0, 0.3 * half), DEC_DEG + rng.normal(0, 0.3 * half)
    turn = 90.0 * k + rng.normal(0, 0.5)
    shape = PolynomialMap.identity(basis)
    bent = shape.coefficients + rng.normal(0, 0.05 / 3600, shape.coefficients.shape)
    visit, first = 20 + k, {}
    for d in cam.detectors:
        start = SkyWcs.from_camera(cam, d, ra, dec, turn)
        true[visit, d.id] = start.with_visit_map(PolynomialMap(basis, bent))
        first[d.id] = start
    info = VisitInfo(
        visit=visit, band="gri"[k % 3], mjd=MJD + 100.0 * k, ra_deg=ra % 360, dec_deg=dec,
        rotation_deg=turn, longitude_deg=20.0, latitude_deg=-30.0, recorded_hour_angle_deg=10.0 * k,
    )  # fmt: skip
    return info, (ra % 360, dec, turn), first


def _catalog(ra: Floats, dec: Floats, rng: np.random.Generator) -> ReferenceStars:
    """Return every third star, as a catalogue of 0.5 mas has it."""
    n = ra[::3].size
    error = 0.5 / 3.6e6
    columns = {
        "id": 7000 + np.arange(n),
        "ra": (ra[::3] + rng.normal(0, error, n) / np.cos(np.radians(DEC_DEG))) % 360,
        "dec": dec[::3] + rng.normal(0, error, n),
        "epoch": np.full(n, MJD - 1000.0),
        **dict.fromkeys(("ra_err", "dec_err", "parallax_err"), np.full(n, 0.5)),
        **dict.fromkeys(("pm_ra_err", "pm_dec_err"), np.full(n, 0.2)),
        **dict.fromkeys(("pm_ra", "pm_dec", "parallax"), np.zeros(n)),
        **dict.fromkeys(("flux_r", "flux_r_err"), np.ones(n)),
    }
    return ReferenceStars.from_columns(columns)


def write_survey(folder: Path, given: SmallAstrometry) -> list[str]:
    """Write what the script reads; return its arguments."""
    survey = given.survey
    (folder / "camera.yaml").write_text(yaml.safe_dump(survey.camera.model_dump(mode="json")))
    for item in survey.visits:
        info, boresight = item.info, item.boresight_deg
        write_component_json(folder / f"info/{info.visit}.json", info)
        rows = {d: ComponentRow({"wcs": wcs}) for d, wcs in item.wcs.items()}
        names = ("boresight_ra", "boresight_dec", "boresight_rotation")
        columns = {n: np.full(len(rows), v) for n, v in zip(names, boresight, strict=True)}
        path = folder / f"summary/{info.visit}.parquet"
        write_component_table(path, ComponentTable(rows, columns), ["wcs"], "detector")
    for parity, piece in enumerate(PIECES):
        _write_piece(folder, survey, piece, survey.stars.id % 2 == parity)
    assert survey.references is not None
    write_reference_stars(folder / "reference.parquet", survey.references)
    visits = [item.info.visit for item in survey.visits]
    return [
        *("--camera", str(folder / "camera.yaml"), "--skypix", str(SKYPIX)),
        *("--order", "3", "--association-order", "4"),
        *("--visits", f"{visits[0]}-{visits[-1]}", "--pieces", ",".join(map(str, PIECES))),
        *("--visit-info", str(folder / "info/{visit}.json")),
        *("--initial-visit-summary", str(folder / "summary/{visit}.parquet")),
        *("--isolated-stars", str(folder / "stars/{skypix}.parquet")),
        *("--isolated-stars-source", str(folder / "sources/{skypix}.parquet")),
        *("--fgcm-standard-stars", str(folder / "standard/{skypix}.parquet")),
        *("--reference-stars", str(folder / "reference.parquet")),
    ]


def _write_piece(
    folder: Path, survey: AstrometricSurvey, piece: int, mine: NDArray[np.bool_]
) -> None:
    stars, obs = survey.stars, survey.observations
    ids = stars.id[mine]
    table = {"isolated_star_id": ids, "ra": stars.ra_deg[mine], "dec": stars.dec_deg[mine]}
    write_table(folder / f"stars/{piece}.parquet", table | {"reserved": stars.reserved[mine]})
    known = np.isfinite(stars.color[mine])
    color = np.tile(np.where(known, stars.color[mine], 0.8), 2)
    standard = {"isolated_star_id": np.tile(ids, 2), "band": np.repeat(["g", "i"], ids.size)}
    standard |= {"color": color, "color_assumed": np.tile(~known, 2)}
    table = Table.from_columns(standard, meta=survey.color.to_meta())
    write_table(folder / f"standard/{piece}.parquet", table)
    rows = np.flatnonzero(mine[obs.star])
    visits = np.array([item.info.visit for item in survey.visits])
    detectors = np.array([d.id for d in survey.camera.detectors], np.int32)
    sources = {
        "isolated_star_id": stars.id[obs.star[rows]],
        "visit": visits[obs.visit[rows]],
        "detector": detectors[obs.detector[rows]],
        **{name: getattr(obs, name)[rows] for name in ("x", "y")},
        "xErr": np.sqrt(obs.xx[rows]),
        "yErr": np.sqrt(obs.yy[rows]),
        "x_y_Cov": obs.xy[rows],
    }
    write_table(folder / f"sources/{piece}.parquet", sources)
