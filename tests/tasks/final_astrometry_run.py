"""The small survey of solveAstrometry once more, with final centroids."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drpflow.io.tables import write_table
from tests.tasks.astrometric_run import SKYPIX, SmallAstrometry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TABLES = ("stars", "visits", "residuals")
WCS = "wcs/skypix={skypix}/{visit}.parquet"


def true_pixels(given: SmallAstrometry) -> tuple[Floats, Floats]:
    """Return where the stars of all observations really are."""
    obs, survey = given.survey.observations, given.survey
    x, y = np.empty(len(obs)), np.empty(len(obs))
    for (visit, detector), wcs in given.wcs.items():
        row = [item.info.visit for item in survey.visits].index(visit)
        column = [d.id for d in survey.camera.detectors].index(detector)
        at = np.flatnonzero((obs.visit == row) & (obs.detector == column))
        star = obs.star[at]
        x[at], y[at] = wcs.world_to_pixel_values(given.ra_deg[star], given.dec_deg[star])
    return x, y


def write_centroids(
    folder: Path, given: SmallAstrometry, x: Floats, y: Floats, error_pix: float
) -> None:
    """Write ``final_characterization_stars`` of all visits."""
    obs, survey = given.survey.observations, given.survey
    detectors = np.array([d.id for d in survey.camera.detectors], np.int32)
    for row, item in enumerate(survey.visits):
        at = np.flatnonzero(obs.visit == row)
        columns = {
            "isolated_star_id": survey.stars.id[obs.star[at]],
            "detector": detectors[obs.detector[at]],
            "x": x[at],
            "y": y[at],
            **dict.fromkeys(("xErr", "yErr"), np.full(at.size, error_pix, np.float32)),
            "x_y_Cov": np.zeros(at.size, np.float32),
            "centroid_flag": np.zeros(at.size, bool),
        }
        write_table(folder / f"final/{item.info.visit}.parquet", columns)


def second_arguments(folder: Path, first: list[str], out: Path) -> list[str]:
    """Return the arguments of finalizeAstrometry, of those of solveAstrometry."""
    words = [*first, "--final-characterization-stars", str(folder / "final/{visit}.parquet")]
    words += ["--solved-astrometry-wcs", str(folder / "out" / WCS)]
    words += ["--final-astrometry-wcs", str(out / WCS)]
    for name in TABLES:
        words += [f"--solved-astrometry-{name}", str(folder / f"out/{name}.parquet")]
        words += [f"--final-astrometry-{name}", str(out / f"{name}.parquet")]
    status = out / f"status/finalizeAstrometry/skypix={SKYPIX}.json"
    return [*words, "--status", str(status), "--code", "c"]
