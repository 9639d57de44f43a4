"""What the report shows of backgrounds of visits: the sky in cells, and what was taken off it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.visit_background.stars import bright_stars
from drpflow.config.model_visit_background import WingsConfig
from drpflow.data.detector_info import DetectorInfo
from drpflow.data.photo_calib import NJY_ZERO_POINT_MAG
from drpflow.errors import InputError, MissingDatasetError
from drpflow.io.reference_regions import read_references_about

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from drpflow.data.background import Background
    from drpflow.data.camera import Detector
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.data.table import Table
    from drpflow.data.visit_info import VisitInfo
    from drpflow.io.store import Store

    Floats: TypeAlias = NDArray[np.float64]
    Columns: TypeAlias = dict[str, NDArray[Any]]

SAMPLES, BACKGROUND, SUMMARY = "sky_samples", "visit_background", "initial_visit_summary"
FAINTEST_MAG = 18.0
"""Stars fainter than this are not looked for wings about."""

_STAR_COLUMNS = ["ra", "dec", "psfFlux", "extendedness", "reference_id", "pixelFlags_saturated"]


@dataclass(frozen=True, eq=False)
class BrightStars:
    """Bright stars on a detector, shape (S,).

    Parameters
    ----------
    x, y
        Places, pixels.
    magnitude
        In the band of the visit.
    arcsec_per_pix
        Side of a pixel.
    """

    x: Floats
    y: Floats
    magnitude: Floats
    arcsec_per_pix: float


@dataclass(frozen=True, eq=False)
class DetectorSky:
    """The sky of a detector in cells, [row, column].

    Parameters
    ----------
    detector
        Where it stands.
    cell_pix
        Side of a cell.
    noise
        Standard deviation of a pixel, electrons.
    level
        Mean of the pixels that show the sky, electrons; NaN in a cell without.
    count
        Number of these pixels.
    first, final, wings
        Background that calibrateImage took off, that of modelVisitBackground, and what wings of
        stars have in the latter; the first is NaN where there is none.
    stars
        Bright stars, None where it is not known where they are.
    """

    detector: Detector
    cell_pix: int
    noise: float
    level: Floats
    count: Floats
    first: Floats
    final: Floats
    wings: Floats
    stars: BrightStars | None = None

    @property
    def left(self) -> dict[str, Floats]:
        """What either background leaves of the sky, and the final one without wings."""
        return {
            "first": self.level - self.first,
            "final": self.level - self.final,
            "bare": self.level - self.final + self.wings,
        }


@dataclass(frozen=True, eq=False)
class VisitSky:
    """The sky of a visit.

    Parameters
    ----------
    visit, info
        Its number, and what is known of it.
    level
        Median over the cells, electrons.
    detectors
        By id.
    table
        Columns of ``visit_background``.
    """

    visit: int
    info: VisitInfo | None
    level: float
    detectors: dict[int, DetectorSky] = field(default_factory=dict)
    table: Columns = field(default_factory=dict)

    @property
    def band(self) -> str:
        """Band, or a dash."""
        return self.info.band if self.info is not None and self.info.band else "–"


def read_skies(store: Store) -> Iterator[VisitSky]:
    """Yield the sky of each visit that has a final background, one at a time."""
    for data_id in sorted(store.query(BACKGROUND), key=lambda i: int(i["visit"])):
        yield _read_sky(store, int(data_id["visit"]))


def _read_sky(store: Store, visit: int) -> VisitSky:
    table = store.get(BACKGROUND, visit=visit)
    known = store.exists("visit_info", visit=visit)
    info = store.get("visit_info", visit=visit) if known else None
    columns = {n: table[n] for n in ("detector", "level", "used_fraction", "n_stars")}
    levels = columns["level"][np.isfinite(columns["level"])]
    found = VisitSky(visit, info, float(np.median(levels)) if levels.size else np.nan, {}, columns)
    if not (store.exists(SAMPLES, visit=visit) and store.exists(SUMMARY, visit=visit)):
        return found
    samples = store.get(SAMPLES, visit=visit).to_dict()
    summary = store.get(SUMMARY, visit=visit)
    stars = _bright_stars(store, found, table, summary)
    for key in np.unique(samples["detector"]).tolist():
        about, final = _component(summary, "detector", key), _component(table, "background", key)
        if isinstance(about, DetectorInfo) and final is not None:
            mine = samples["detector"] == key
            cells = {n: v[mine] for n, v in samples.items()}
            first = None
            if store.exists("initial_background", visit=visit, detector=key):
                first = store.get("initial_background", visit=visit, detector=key)
            found.detectors[key] = _detector_sky(
                about.detector, cells, first, final, stars.get(key)
            )
    return found


def _component(table: Table, name: str, detector: int) -> Any:
    """Return a component of a row, None where it is missing."""
    try:
        return table.component(name, detector=detector)
    except MissingDatasetError:
        return None


def _detector_sky(
    detector: Detector,
    cells: Columns,
    first: Background | None,
    final: Background,
    stars: BrightStars | None,
) -> DetectorSky:
    side = int(cells["cell_pix"][0])
    shape = tuple(-(-int(cells[n][0]) // side) for n in ("n_rows", "n_columns"))
    level, count = np.full(shape, np.nan), np.zeros(shape)
    place = cells["row"], cells["column"]
    level[place], count[place] = cells["level"], cells["count"]
    y, x = (np.arange(n, dtype=np.float64) * side + (side - 1) / 2 for n in shape)
    wings = [name for name in final.names if name == "wings"]
    return DetectorSky(
        detector, side, float(cells["noise"][0]), level, count,
        _evaluate(first, x, y) if first is not None and first.layers else np.full(shape, np.nan),
        _evaluate(final, x, y),
        final.layer("wings").evaluate_grid(x, y) if wings else np.zeros(shape),
        stars,
    )  # fmt: skip


def _evaluate(background: Background, x: Floats, y: Floats) -> Floats:
    total = np.zeros((y.size, x.size))
    for _, layer in background.layers:
        total = total + layer.evaluate_grid(x, y)
    return total


def _bright_stars(
    store: Store, of: VisitSky, table: Table, summary: Table
) -> dict[int, BrightStars]:
    """Return bright stars of each detector with a WCS: of the catalogue, and others."""
    wcss = {k: _component(summary, "wcs", k) for k in summary["detector"].tolist()}
    wcss = {k: w for k, w in wcss.items() if w is not None and w.pixel_shape is not None}
    if not wcss or of.band == "–":
        return {}
    sources: Columns = {}
    if store.exists("initial_stars", visit=of.visit):
        sources = store.get("initial_stars", columns=_STAR_COLUMNS, visit=of.visit).to_dict()
    references = _references(table.meta.get("provenance", {}), wcss)
    config = WingsConfig(faintest_mag=FAINTEST_MAG)
    stars = bright_stars(references, sources, of.band, config)
    magnitude = NJY_ZERO_POINT_MAG - 2.5 * np.log10(stars.flux_njy)
    found = {}
    for key, wcs in wcss.items():
        nx, ny = wcs.pixel_shape
        x, y = (np.asarray(v, float) for v in wcs.world_to_pixel_values(stars.ra, stars.dec))
        near = (x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5)
        scale = float(np.mean(wcs.pixel_scale_arcsec((nx - 1) / 2, (ny - 1) / 2)))
        found[key] = BrightStars(x[near], y[near], magnitude[near], scale)
    return found


def _references(provenance: Mapping[str, Any], wcss: Mapping[int, SkyWcs]) -> ReferenceStars | None:
    """Return the reference stars about the detectors, None where they are gone."""
    paths = [i.get("path") for i in provenance.get("inputs", ()) if "reference" in i["name"]]
    if not paths or not paths[0] or not Path(str(paths[0])).exists():
        return None
    corners = []
    for wcs in wcss.values():
        assert wcs.pixel_shape is not None
        nx, ny = wcs.pixel_shape
        corners.append(wcs.pixel_to_world_values([0, nx, nx, 0], [0, 0, ny, ny]))
    ra, dec = (np.concatenate([np.asarray(c[k], float) for c in corners]) for k in (0, 1))
    try:
        return read_references_about(Path(str(paths[0])), ra, dec, np.zeros(ra.size, np.int64))
    except InputError:
        return None
