"""modelVisitBackground once more, with what coadds show masked: does a second pass help?

    drpflow run (to the coadds)
    python benchmarks/second_pass_background.py demo --output demo/second_pass
    python benchmarks/accuracy_visit_background.py demo
    python benchmarks/accuracy_visit_background.py demo --backgrounds demo/second_pass

Sources are found on the coadds of all bands with a matched filter (a Gaussian of the coadd's PSF)
and grown; their footprints are carried to the pixels of each detector through its final WCS. The
three tasks of the background then run with their defaults, and with these footprints.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import binary_dilation, convolve1d, map_coordinates

from drpflow import Store
from drpflow.config.make_sky_frame import MakeSkyFrameConfig
from drpflow.config.measure_sky import MeasureSkyConfig
from drpflow.config.model_visit_background import ModelVisitBackgroundConfig
from drpflow.io import visit_background_files as files
from drpflow.io.atomic import write_json
from drpflow.io.camera_yaml import load_camera
from drpflow.io.datasets import DatasetTable
from drpflow.io.sky_files import write_samples
from drpflow.progress import track
from drpflow.tasks.make_sky_frame import VisitSky, make_sky_frame
from drpflow.tasks.measure_sky import measure_visit
from drpflow.tasks.model_visit_background import model_visit_background

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from drpflow.data.exposure import Exposure
    from drpflow.data.sky_wcs import SkyWcs

_GROW_PIX = 5
# Places at which detectors are mapped to the tract: between them the map is linear to 0.01 pixel.
_STEP_PIX = 32


class StaticSky:
    """Which pixels of a tract show a source on a coadd of any band."""

    def __init__(self, store: Store, threshold_sigma: float) -> None:
        self.masks: list[tuple[tuple[int, int], NDArray[np.bool_]]] = []
        self.wcs: SkyWcs | None = None
        for key in store.query("coadd"):
            coadd = store.get("coadd", **key)
            self.wcs = coadd.wcs
            self.masks.append((coadd.box.xy0, _sources(coadd, threshold_sigma)))

    def on(self, wcs: SkyWcs, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Return the sources on the pixels of a detector."""
        x, y = _tract_pixels(self.wcs, wcs, shape)
        found = np.zeros(shape, bool)
        for (x0, y0), mask in self.masks:
            column, row = np.rint(x - x0).astype(int), np.rint(y - y0).astype(int)
            inside = (column >= 0) & (row >= 0) & (row < mask.shape[0]) & (column < mask.shape[1])
            found[inside] |= mask[row[inside], column[inside]]
        return found


def _sources(coadd: Any, threshold_sigma: float) -> NDArray[np.bool_]:
    """Return where a matched filter is above a threshold, grown; NaN counts as empty."""
    box = coadd.box
    sigma = float(coadd.psf.compute_sigma((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2))
    reach = int(np.ceil(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    good = np.isfinite(coadd.image)
    image = np.where(good, coadd.image, 0.0)
    smooth = convolve1d(convolve1d(image, kernel, axis=0), kernel, axis=1)
    # Noise of the smoothed image as it is: pixels are correlated, the sky is not quite zero.
    low, middle, high = np.percentile(smooth[good], [15.87, 50, 84.13]) if good.any() else (0, 0, 1)
    noise = min(middle - low, high - middle)
    return np.asarray(
        binary_dilation(good & (smooth > middle + threshold_sigma * noise), iterations=_GROW_PIX)
    )


def _tract_pixels(
    tract: SkyWcs | None, wcs: SkyWcs, shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the tract pixels of all pixels of a detector, from a grid of them."""
    assert tract is not None, "there is no coadd"
    rows, columns = (np.arange(0, n + _STEP_PIX, _STEP_PIX, dtype=float) for n in shape)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    coarse = tract.world_to_pixel_values(*wcs.pixel_to_world_values(x, y))
    place = np.indices(shape, dtype=float) / _STEP_PIX
    u, v = (map_coordinates(np.asarray(axis), place, order=1) for axis in coarse)
    return u, v


class SecondPass:
    """The backgrounds of a survey once more.

    Parameters
    ----------
    survey
        Folder of a simulated survey with ``results``.
    output
        Root to write to.
    sky
        What to mask; None masks nothing more, which repeats the first pass.
    """

    def __init__(self, survey: Path, output: Path, sky: StaticSky | None) -> None:
        self.survey, self.output, self.sky = survey, output, sky
        self.store, self.table = Store(survey / "results"), DatasetTable.load()
        self.camera = load_camera(str(survey / "camera.yaml"))
        self.masked: list[float] = []

    def run(self) -> None:
        """Measure the sky of all visits, then make frames and models filter by filter."""
        visits = sorted({int(key["visit"]) for key in self.store.query("sky_samples")})
        for visit in track(visits, len(visits), "sky"):
            self._measure(visit)
        config = MakeSkyFrameConfig()
        margin_deg = config.sky.wings.outer_arcsec / 3600
        read = {v: files.read_visit(self._inputs(v), self.camera, v, margin_deg) for v in visits}
        names = {v: parts.info.physical_filter for v, (parts, _) in read.items()}
        for name in sorted(set(names.values())):
            self._filter(name, {v: read[v] for v in visits if names[v] == name}, config)

    def _measure(self, visit: int) -> None:
        made = measure_visit(self._exposures(visit), MeasureSkyConfig())
        path = self._new("sky_samples", visit=visit)
        write_samples(made.samples, visit, {"sky_samples": path, "config": MeasureSkyConfig()})

    def _exposures(self, visit: int) -> Iterator[tuple[int, Exposure, NDArray[np.bool_] | None]]:
        for key in self.store.query("initial_pvi", visit=visit):
            exposure = self.store.get("initial_pvi", **key)
            wcs = self.store.get("final_visit_summary.wcs", **key)
            shown = None
            if self.sky is not None and wcs is not None:
                shown = self.sky.on(wcs, exposure.shape)
                new = shown & ~exposure.mask.any("DETECTED")
                self.masked.append(float(new.mean()))
            yield int(key["detector"]), exposure, shown

    def _inputs(self, visit: int) -> dict[str, Any]:
        names = ("visit_info", "initial_visit_summary", "initial_stars", "fgcm_photo_calib")
        found: dict[str, Any] = {n: self.store.path(n, visit=visit) for n in names}
        found["sky_samples"] = self.table.path(self.output, "sky_samples", visit=visit)
        found["reference_stars"] = self.survey / "reference" / "reference_stars.parquet"
        return found

    def _filter(self, name: str, read: dict[int, Any], config: MakeSkyFrameConfig) -> None:
        made = make_sky_frame({v: VisitSky(*r[0]) for v, r in read.items()}, self.camera, config)
        path = self._new("sky_frame", physical_filter=name)
        files.write_sky_frame(
            made.table, {"sky_frame": path, "physical_filter": name, "config": config}
        )
        stars = self._new("sky_frame_stars", physical_filter=name)
        files.write_frame_stars(
            made.stars, {"sky_frame_stars": stars, "physical_filter": name, "config": config}
        )
        model, frames = ModelVisitBackgroundConfig(), files.read_frames(path)
        pool = files.read_frame_stars(stars)
        for visit, (parts, detectors) in read.items():
            sky = VisitSky(*parts)
            found = model_visit_background(sky, frames, detectors, self.camera, model, pool)
            options = {"visit_background": self._new("visit_background", visit=visit)}
            files.write_visit_background(found.table, visit, {**options, "config": model})
            status = self.table.status_path(self.output, "modelVisitBackground", visit=visit)
            status.parent.mkdir(parents=True, exist_ok=True)
            write_json(status, {"numbers": found.numbers})

    def _new(self, name: str, **key: Any) -> Path:
        path = self.table.path(self.output, name, **key)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def main() -> None:
    """Run the second pass."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("survey", type=Path)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--threshold", type=float, default=3.0, help="sigma of the matched filter")
    parser.add_argument("--first", action="store_true", help="mask nothing more: the first pass")
    args = parser.parse_args()
    sky = None if args.first else StaticSky(Store(args.survey / "results"), args.threshold)
    again = SecondPass(args.survey, args.output, sky)
    again.run()
    if again.masked:
        print(f"{100 * np.mean(again.masked):.1f} % of the pixels are masked besides")


if __name__ == "__main__":
    main()
