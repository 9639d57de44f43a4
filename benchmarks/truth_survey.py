"""What is true of a simulated survey, frame by frame, for benchmarks to compare with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from drpflow.data.psf_moments import adaptive_moments
from drpflow.qa.truth.tables import STAR_LIKE, Frame, read_columns
from drpflow.sim.config import SurveyConfig
from drpflow.sim.psf_image import psf_image
from drpflow.sim.survey import Survey

if TYPE_CHECKING:
    from pathlib import Path

Floats = NDArray[np.float64]
Columns = dict[str, NDArray]

__all__ = ["STAR_LIKE", "TruthFrame", "TruthSurvey", "read_columns"]


@dataclass(frozen=True, eq=False, kw_only=True)
class TruthFrame(Frame):
    """One detector of one visit, with the model that drew it.

    Parameters
    ----------
    survey
        The whole.
    """

    survey: TruthSurvey

    @property
    def reference_sources(self) -> NDArray[np.intp]:
        """Rows of `sources` that are in the reference catalogue."""
        return np.flatnonzero(np.isin(self.sources["id"], self.survey.reference_ids))

    def shapes(self, x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
        """Return true adaptive moments (xx, yy, xy) of a reference star's image, pix²."""
        model = self.survey.model(self.visit)
        images = [
            psf_image(model, self.detector, float(u), float(v)) for u, v in zip(x, y, strict=True)
        ]
        moments = adaptive_moments(np.array(images))[0]
        return moments.xx, moments.yy, moments.xy

    def flux_njy(self) -> Floats:
        """Return the flux of a reference star that would free as many electrons as each source.

        Vignetting and cloud at the place of the source are taken into account.
        """
        model, s = self.survey.model(self.visit), self.sources
        true = model.optics.detectors[self.detector]
        nx, ny = true.place.size_pix
        x_mm, y_mm = true.to_focal(np.append(s["x"], nx / 2), np.append(s["y"], ny / 2))
        light = model.optics.illumination(x_mm, y_mm)
        light = light * 10 ** (-0.4 * model.cloud_extinction_mag(x_mm, y_mm))
        return s["flux_electron"] / self.row["electron_per_reference_njy"] * light[-1] / light[:-1]


class TruthSurvey:
    """The truth of a survey in a folder that ``drpflow simulate`` made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        stated = json.loads((folder / "simulation.json").read_text())
        self.survey = Survey.build(SurveyConfig.model_validate(stated["config"]))
        self.model = cache(self.survey.model)
        self.detectors = read_columns(folder / "truth/detectors.parquet")
        self.reference_ids = read_columns(folder / "truth/reference.parquet")["id"]

    @cached_property
    def _wcs(self) -> Columns:
        return read_columns(self.folder / "truth/wcs.parquet")

    def frames(self) -> list[TruthFrame]:
        """Return all frames, by visit and detector."""
        keys = zip(
            self.detectors["visit"].tolist(), self.detectors["detector"].tolist(), strict=True
        )
        return [self.frame(*key) for key in keys]

    def frame(self, visit: int, detector: int) -> TruthFrame:
        """Return one frame."""
        table = self.detectors
        k = np.flatnonzero((table["visit"] == visit) & (table["detector"] == detector))[0]
        sources = read_columns(self.folder / f"truth/sources/visit={visit}/sources.parquet")
        here = sources["detector"] == detector
        grid = (self._wcs["visit"] == visit) & (self._wcs["detector"] == detector)
        return TruthFrame(
            self.folder / "truth",
            visit,
            detector,
            {name: values[k] for name, values in table.items()},
            {name: values[here] for name, values in sources.items()},
            {name: self._wcs[name][grid] for name in ("x", "y", "ra", "dec")},
            survey=self,
        )
