"""Backgrounds from pixels without a flaw: how far detrending and catalogues limit the figures.

    python benchmarks/oracle_visit_background.py demo OUTPUT [--true-stars]
    python benchmarks/accuracy_visit_background.py demo --backgrounds OUTPUT

Samples of the sky are made of the true light plus photon noise, on the pixels that measureSky
takes, and sky frames and models from these. With ``--true-stars`` places and fluxes of bright
stars are the true ones too, those that no catalogue has included.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_visit_background import scales_of
from background_scores import TrueSky
from truth_survey import TruthSurvey

from drpflow import Store
from drpflow.config.make_sky_frame import MakeSkyFrameConfig
from drpflow.config.measure_sky import MeasureSkyConfig
from drpflow.config.model_visit_background import ModelVisitBackgroundConfig, WingsConfig
from drpflow.data.reference_stars import ReferenceStars
from drpflow.data.sky_samples import SkySamples
from drpflow.io import visit_background_files as files
from drpflow.io.atomic import write_json
from drpflow.io.camera_yaml import load_camera
from drpflow.io.datasets import DatasetTable
from drpflow.kernels.visit_background import cell_means
from drpflow.sim.placement import place_sources
from drpflow.tasks.make_sky_frame import VisitSky, make_sky_frame
from drpflow.tasks.model_visit_background import model_visit_background

OF_VISIT = ("visit_info", "initial_visit_summary", "initial_stars", "fgcm_photo_calib")
_MARGIN_DEG = 0.05


def true_samples(true: TrueSky) -> SkySamples:
    """Return the true light of the pixels that count, with photon noise, in cells."""
    frame, pixels = true.frame, true.pixels
    rng = np.random.default_rng([7, frame.visit, frame.detector])
    image = (true.light + rng.normal(0, pixels.noise, true.light.shape)).astype(np.float32)
    cell = MeasureSkyConfig().cell_pix
    flat = np.zeros_like(image)
    level, count, x, y = cell_means(image, flat, ~pixels.used, 1.0, cell)
    return SkySamples(level, count, x, y, cell, pixels.noise, image.shape)


def true_references(
    truth: TruthSurvey, parts: files.VisitParts, visit: int, scale: float
) -> ReferenceStars:
    """Return the true stars on and about the detectors of a visit as a catalogue at its epoch."""
    model, sources, rows = truth.model(visit), truth.survey.sources(visit), {}
    for key in sorted(set(parts.wcss) & set(parts.calibrations)):
        placed, wcs = place_sources(model, key, sources), parts.wcss[key]
        reach = WingsConfig().outer_arcsec / float(wcs.pixel_scale_arcsec(0.0, 0.0))
        place = np.stack([placed.x, placed.y], axis=1)
        size = truth.model(visit).optics.detectors[key].place.size_pix
        off = np.maximum(-place, place - size).max(axis=1)
        near = np.flatnonzero((placed.sources["kind"] == 0) & (off < reach))
        ra, dec = wcs.pixel_to_world_values(placed.x[near], placed.y[near])
        flux = placed.flux_electron[near] * scale * parts.calibrations[key].mean
        for row in zip(placed.sources["id"][near], off[near], ra, dec, flux, strict=True):
            rows[row[0]] = min(rows.get(row[0], row), row, key=lambda r: r[1])
    names = np.array(list(rows.values())).T
    columns = dict(zip(("id", "off", "ra", "dec", f"flux_{parts.info.band}"), names, strict=True))
    columns["epoch"] = np.full(len(rows), parts.info.mjd)
    return ReferenceStars.from_columns(columns | {"id": columns["id"].astype(np.int64)})


class Oracle:
    """Visits of a survey whose pixels are the truth with photon noise."""

    def __init__(self, folder: Path, results: Store, output: Path, true_stars: bool) -> None:
        self.folder, self.results, self.output = folder, results, output
        self.camera = load_camera(str(folder / "camera.yaml"))
        self.table = DatasetTable.load()
        self.visits: dict[int, tuple[VisitSky, tuple[int, ...], dict[str, Any]]] = {}
        truth = TruthSurvey(folder)
        scales = scales_of(truth, results)
        for visit in sorted({f.visit for f in truth.frames()}):
            self._read(truth, visit, scales, true_stars)

    def _read(
        self, truth: TruthSurvey, visit: int, scales: dict[str, float], true_stars: bool
    ) -> None:
        options: dict[str, Any] = {n: self.results.path(n, visit=visit) for n in OF_VISIT}
        options["sky_samples"] = self.results.path("sky_samples", visit=visit)
        options["reference_stars"] = self.folder / "reference/reference_stars.parquet"
        parts, detectors = files.read_visit(options, self.camera, visit, _MARGIN_DEG)
        samples, scale = {}, scales[parts.info.band]
        for frame in (f for f in truth.frames() if f.visit == visit):
            if frame.detector in parts.samples:
                exposure = self.results.get("initial_pvi", visit=visit, detector=frame.detector)
                samples[frame.detector] = true_samples(TrueSky(frame, exposure, scale))
        parts = parts._replace(samples=samples)
        if true_stars:
            stars = true_references(truth, parts, visit, scale)
            parts = parts._replace(references=stars, sources={})
        self.visits[visit] = VisitSky(*parts), detectors, options

    def run(self) -> None:
        """Write sky frames and backgrounds."""
        for name in sorted({sky.info.physical_filter for sky, _, _ in self.visits.values()}):
            mine = {
                v: sky for v, (sky, _, _) in self.visits.items() if sky.info.physical_filter == name
            }
            config = MakeSkyFrameConfig()
            made = make_sky_frame(mine, self.camera, config)
            path = self._path("sky_frame", physical_filter=name)
            options = {"sky_frame": path, "physical_filter": name, "config": config}
            files.write_sky_frame(made.table, options)
            shared = {k: made.stars[k] for k in ("ra", "dec", "flux_njy")}
            for visit in mine:
                self._model(visit, path, shared)

    def _model(self, visit: int, frame: Path, shared: dict[str, Any]) -> None:
        sky, detectors, options = self.visits[visit]
        config = ModelVisitBackgroundConfig()
        made = model_visit_background(
            sky, files.read_frames(frame), detectors, self.camera, config, shared
        )
        path = self._path("visit_background", visit=visit)
        given = options | {"visit_background": path, "config": config}
        files.write_visit_background(made.table, visit, given)
        status = self.table.status_path(self.output, "modelVisitBackground", visit=visit)
        status.parent.mkdir(parents=True, exist_ok=True)
        write_json(status, {"numbers": made.numbers})

    def _path(self, name: str, **data_id: Any) -> Path:
        path = Path(self.table.path(self.output, name, **data_id))
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("survey", type=Path, help="folder that drpflow simulate made and ran")
    parser.add_argument("output", type=Path, help="folder for frames and backgrounds")
    parser.add_argument("--results", type=Path, help="output root; SURVEY/results by default")
    parser.add_argument("--true-stars", action="store_true", help="places and fluxes too")
    given = parser.parse_args()
    results = Store(given.results or given.survey / "results")
    Oracle(given.survey, results, given.output, given.true_stars).run()


if __name__ == "__main__":
    main()
