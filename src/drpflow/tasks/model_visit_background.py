"""modelVisitBackground: one model of the sky for the whole focal plane, and wings of stars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.algorithms.visit_background.cells import detector_of, place_cells
from drpflow.algorithms.visit_background.design import build_design
from drpflow.algorithms.visit_background.frame import DetectorFrame
from drpflow.algorithms.visit_background.layers import detector_background
from drpflow.algorithms.visit_background.model import fit_visit
from drpflow.algorithms.visit_background.stars import NO_STARS, SkyStars
from drpflow.algorithms.visit_background.superpixels import superpixel_backgrounds
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.errors import AlgorithmError
from drpflow.tasks.make_sky_frame import detector_stars

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.algorithms.visit_background.cells import DetectorCells
    from drpflow.algorithms.visit_background.model import VisitFit
    from drpflow.algorithms.visit_background.stars import DetectorStars
    from drpflow.config.model_visit_background import ModelVisitBackgroundConfig
    from drpflow.data.background import Background
    from drpflow.data.camera import Camera, Detector
    from drpflow.tasks.make_sky_frame import VisitSky


@dataclass(frozen=True, eq=False)
class ModelledBackground:
    """What modelVisitBackground makes of a visit.

    Parameters
    ----------
    table
        ``visit_background``, a row a detector.
    numbers
        Figures for the status file.
    problem
        What the model had to do without, None for nothing.
    fit
        The model; None by the method of superpixels.
    """

    table: ComponentTable
    numbers: dict[str, float | int | str]
    problem: AlgorithmError | None
    fit: VisitFit | None = None


def model_visit_background(
    visit: VisitSky,
    frames: Mapping[int, Background],
    detectors: tuple[int, ...],
    camera: Camera,
    config: ModelVisitBackgroundConfig,
    shared: Mapping[str, NDArray[np.float64]] | None = None,
) -> ModelledBackground:
    """Model the background of a visit.

    Parameters
    ----------
    visit
        Samples of the sky, WCSs, zero points, stars.
    frames
        Sky frames by detector; may be empty.
    detectors
        All detectors of the visit, also those of which no sky was measured.
    camera
        Geometry.
    config
        The section ``modelVisitBackground``.
    shared
        Columns ``ra``, ``dec`` and ``flux_njy`` of ``sky_frame_stars``; none if not given.

    Raises
    ------
    AlgorithmError
        If no detector shows the sky.
    """
    if not visit.samples:
        raise AlgorithmError("no detector of the visit shows the sky", hint="see measureSky")
    cells = place_cells(visit.samples, camera, config.mask.min_count_fraction)
    known = {k: DetectorFrame(frames[k]) for k in cells if k in frames}
    stars = {}
    if config.method == "polynomial":
        uncatalogued = SkyStars(**shared) if shared else NO_STARS
        stars = detector_stars(visit, camera, config.wings, uncatalogued)
    geometry = {k: detector_of(camera, k, s) for k, s in visit.samples.items()}
    backgrounds, fit = _backgrounds(cells, known, geometry, stars, config)
    missing = {k: "measureSky found no sky" for k in detectors if k not in backgrounds}
    rows = {
        k: ComponentRow({"background": backgrounds[k]})
        if k in backgrounds
        else ComponentRow({}, {"background": missing[k]})
        for k in sorted({*backgrounds, *missing})
    }
    columns = _columns(list(rows), cells, fit, stars)
    numbers = _numbers(cells, known, fit, stars)
    problem = _problem(visit, fit, known, cells, missing)
    return ModelledBackground(ComponentTable(rows, columns), numbers, problem, fit)


def _backgrounds(
    cells: Mapping[int, DetectorCells],
    frames: Mapping[int, DetectorFrame],
    geometry: Mapping[int, Detector],
    stars: Mapping[int, DetectorStars],
    config: ModelVisitBackgroundConfig,
) -> tuple[dict[int, Background], VisitFit | None]:
    """Return backgrounds and the model."""
    if config.method == "superpixels":
        return superpixel_backgrounds(cells, frames, geometry, config), None
    design = build_design(cells, frames, stars, config.wings.regions, config.max_order)
    fit = fit_visit(design, config)
    made = {
        k: detector_background(fit, geometry[k], frames.get(k), stars.get(k), config) for k in cells
    }
    return made, fit


def _columns(
    keys: list[int],
    cells: Mapping[int, DetectorCells],
    fit: VisitFit | None,
    stars: Mapping[int, DetectorStars],
) -> dict[str, list[float | int]]:
    """Return the columns beside the components."""
    columns: dict[str, list[float | int]] = {"level": [], "used_fraction": [], "n_stars": []}
    for key in keys:
        c = cells.get(key)
        there = c is not None and c.usable.any()
        columns["level"].append(float(np.median(c.level[c.usable])) if c and there else np.nan)
        used = float("nan")
        if c is not None and fit is not None:
            used = float(fit.used[key].sum() / max(1, c.usable.size))
        columns["used_fraction"].append(used)
        columns["n_stars"].append(stars[key].x.size if key in stars else 0)
    return columns


def _numbers(
    cells: Mapping[int, DetectorCells],
    frames: Mapping[int, DetectorFrame],
    fit: VisitFit | None,
    stars: Mapping[int, DetectorStars],
) -> dict[str, float | int | str]:
    numbers: dict[str, float | int | str] = {
        "detectors": len(cells),
        "sky_frames": len(frames),
        "wing_stars": sum(s.x.size for s in stars.values()),
    }
    if fit is not None:
        numbers |= {
            "level": fit.design.level,
            "order": fit.solution.order,
            "piston_sigma": fit.solution.piston_sigma,
            "used_fraction": fit.used_fraction,
            "model_error": fit.error(),
            "excess": fit.solution.excess,
        }
    return numbers


def _problem(
    visit: VisitSky,
    fit: VisitFit | None,
    frames: Mapping[int, DetectorFrame],
    cells: Mapping[int, DetectorCells],
    missing: Mapping[int, str],
) -> AlgorithmError | None:
    """Return what a reader of the report should know first."""
    if fit is not None and fit.nebula:
        return AlgorithmError(
            f"the sky cannot be told from a nebula: {fit.nebula}; only a level was taken off",
            {"used_fraction": fit.used_fraction},
            "raise modelVisitBackground.max_gradient or mask.max_fraction if that is wrong",
        )
    if missing:
        names = ", ".join(str(k) for k in sorted(missing))
        return AlgorithmError(f"no background of detector {names}: measureSky found no sky")
    lacking = sorted(set(cells) - set(frames))
    if lacking:
        what = "the filter" if not frames else f"detector {', '.join(map(str, lacking))}"
        return AlgorithmError(
            f"no sky frame of {what}: the shape of the empty sky counts as even",
            {"sky_frames": len(frames)},
            f"makeSkyFrame needs more visits in {visit.info.physical_filter}",
        )
    return None
