"""The scoreboard: every stage of a run against the truth of its simulated survey."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.data.photo_calib import NJY_ZERO_POINT_MAG
from drpflow.errors import MissingDatasetError
from drpflow.progress import track
from drpflow.qa.final_data import final_visits, read_final
from drpflow.qa.truth.calibrations import motion_rows, photometric_rows, rescue_rows, wcs_rows
from drpflow.qa.truth.coadds import MaskTally, coadd_rows
from drpflow.qa.truth.pixels import (
    DEAD,
    PixelTally,
    add_background,
    add_levels,
    add_masks,
    add_psf,
    pixel_rows,
    true_light,
    true_shapes,
)
from drpflow.qa.truth.score import STAGES, Score
from drpflow.qa.truth.sources import SourceTally, add_frame, galaxy_sizes, source_rows

if TYPE_CHECKING:
    from drpflow.data.exposure import Exposure
    from drpflow.io.store import Store
    from drpflow.qa.truth.tables import Columns, Frame, TruthTables

_IMAGE, _FIRST = "initial_pvi", "initial_stars"
_COLUMNS = [
    "detector", "x", "y", "xErr", "yErr", "ra", "dec", "psfFlux", "psfFluxErr", "psfFlux_flag",
    "calibFlux", "centroid_flag", "extendedness", "detect_isPrimary", "sky_source",
]  # fmt: skip
_FINAL_COLUMNS = [*_COLUMNS, "pixelFlags_artifact", "pixelFlags_streak"]
_CLEAR_MAG = 0.02
_HIT_ELECTRON = 30.0


class Board:
    """Goes through a run frame by frame.

    Parameters
    ----------
    store
        The products.
    truth
        The truth of the same survey.
    """

    def __init__(self, store: Store, truth: TruthTables) -> None:
        self.store, self.truth = store, truth
        self.sizes = galaxy_sizes(truth.table("galaxies"))
        self.illumination = truth.table("illumination")
        self.pixels, self.masks = PixelTally(), MaskTally()
        self.first, self.final = SourceTally(), SourceTally()

    def scores(self, *, with_pixels: bool = True) -> list[Score]:
        """Return all figures, stage by stage.

        Parameters
        ----------
        with_pixels
            Look at the images too, where these and the true ones still exist.
        """
        visits = self.truth.visits
        usable = [f for v in visits for f in self.truth.frames(v) if f.usable]
        rows = [
            *wcs_rows(self.store, usable), *rescue_rows(self.store, usable),
            *photometric_rows(self.store, self.truth), *motion_rows(self.store, self.truth),
            *coadd_rows(self.store, self.truth),
        ]  # fmt: skip
        for visit in track(visits, len(visits), "visits"):
            for frame in self.truth.frames(visit):
                self._add(frame, with_pixels=with_pixels)
        rows += pixel_rows(self.pixels)
        rows += self.masks.rows()
        rows += source_rows("calibrateImage", self.first, final=False)
        rows += source_rows("finalizeImage", self.final, final=True)
        return sorted(rows, key=lambda s: STAGES.index(s.stage))

    def _add(self, frame: Frame, *, with_pixels: bool) -> None:
        key: dict[str, Any] = {"visit": frame.visit, "detector": frame.detector}
        exposure = self.store.get(_IMAGE, **key) if self.store.exists(_IMAGE, **key) else None
        seen = with_pixels and frame.has_images and exposure is not None
        dead = None
        if seen and exposure is not None:
            dead = exposure.mask.any(DEAD) | (frame.image("COSMIC_RAYS") > _HIT_ELECTRON)
            dead |= frame.flagged("TRAIL", "GHOST")
            self._add_pixels(frame, exposure)
        if frame.usable:
            self._add_sources(frame, dead, exposure)

    def _add_pixels(self, frame: Frame, exposure: Exposure) -> None:
        if frame.usable:
            add_masks(self.pixels, frame, exposure)
            self.masks.add(self.store, frame, exposure)
            self._add_psfs(frame)
        true = true_light(frame, exposure, self.illumination) if frame.usable else None
        if true is None:
            return
        add_levels(self.pixels, true, exposure)
        # One number a filter is not known: that of the frame itself stands for it.
        where = {"visit": frame.visit, "detector": frame.detector}
        for name, product in (
            ("first background", f"{_IMAGE}.background"),
            ("final background", "visit_background.background"),
        ):
            background = self._component(product, where)
            if background is not None:
                add_background(self.pixels, name, true, background, true.ratio)

    def _add_psfs(self, frame: Frame) -> None:
        true = true_shapes(frame)
        if true is None:
            return
        where = {"visit": frame.visit, "detector": frame.detector}
        for name, product in (
            ("first", "initial_visit_summary.psf"), ("final", "final_visit_summary.psf"),
        ):  # fmt: skip
            psf = self._component(product, where)
            if psf is not None:
                add_psf(self.pixels, name, psf, true)

    def _component(self, name: str, where: dict[str, Any]) -> Any:
        try:
            return self.store.get(name, **where)
        except MissingDatasetError:
            return None

    def _add_sources(self, frame: Frame, dead: Any, exposure: Exposure | None) -> None:
        """Add first and final sources of a frame."""
        known = dead is not None
        if dead is None:
            shape = exposure.shape if exposure is not None else _shape(frame)
            dead = np.zeros(shape, bool)
        clear = abs(frame.row["cloud_mag"]) < _CLEAR_MAG
        first = self._first(frame)
        if first is not None:
            njy = frame.reference_njy if clear else None
            add_frame(self.first, frame, first, dead, njy, self.sizes, masks_known=known)
        if frame.visit in final_visits(self.store):
            table = _of_detector(
                read_final(self.store, frame.visit, _FINAL_COLUMNS), frame.detector
            )
            njy = 10 ** (0.4 * (NJY_ZERO_POINT_MAG - frame.sources["mag"]))
            if len(table["x"]):
                add_frame(self.final, frame, table, dead, njy, self.sizes, masks_known=known)

    def _first(self, frame: Frame) -> Columns | None:
        if not self.store.exists(_FIRST, visit=frame.visit):
            return None
        table = self.store.get(_FIRST, columns=_COLUMNS, visit=frame.visit).to_dict()
        found = _of_detector(dict(table), frame.detector)
        return found if len(found["x"]) else None


def _of_detector(table: Columns, detector: int) -> Columns:
    rows = table["detector"] == detector
    return {n: v[rows] for n, v in table.items()}


def _shape(frame: Frame) -> tuple[int, int]:
    return (int(frame.grid["y"].max()) + 1, int(frame.grid["x"].max()) + 1)
