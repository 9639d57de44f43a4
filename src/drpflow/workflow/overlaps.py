"""Which visits touch which pieces of the sky, from the sheets and the camera file alone.

Made once, before the graph is built, and looked up from then on. The visit sheet may be wrong by
arcminutes; detectors therefore count with a margin. A piece that is named for nothing gives tables
without rows, a piece that is missing loses stars.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.data.healpix import pixels_in_circles
from drpflow.data.sky_wcs import detector_map, optics_map
from drpflow.data.tan_projection import TanProjection
from drpflow.workflow.input_functions import filled
from drpflow.workflow.number_lists import grouped_spans, spans

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from drpflow.config.skypix import SkypixConfig
    from drpflow.data.camera import Camera, Detector
    from drpflow.io.sheets import VisitRow
    from drpflow.workflow.survey import Survey

    Floats = NDArray[np.float64]

# Circles that are looked at together, which bounds memory.
_CHUNK = 20_000
# Memory of a process before it has read anything, and for each visit: 15,000 sources.
_PROCESS_MB = 600
_VISIT_MB = 12


class Overlaps:
    """Visits by piece of the sky.

    Parameters
    ----------
    survey
        The visits with their detectors.
    config
        Orders and margin.
    """

    def __init__(self, survey: Survey, config: SkypixConfig) -> None:
        self.order = config.association_order
        pairs = _touched(survey, self.order, config.margin_deg)
        found: dict[str, list[str]] = {}
        for pixel, visit in pairs:
            found.setdefault(str(pixel), []).append(str(visit))
        self.visits = found
        """Visits, ascending, that touch each piece, by its number."""
        pieces: dict[int, list[int]] = {}
        for pixel, visit in pairs:
            pieces.setdefault(visit, []).append(pixel)
        self._first_of: dict[str, dict[int, list[int]]] = {}
        for visit, pixels in pieces.items():
            self._first_of.setdefault(str(pixels[0]), {})[visit] = pixels

    def of_skypix(self, pattern: str) -> Callable[[Any], list[str]]:
        """Return the input function that fills a path pattern with a piece's visits."""
        return filled(pattern, "visit", self.visits, "skypix")

    def visit_list(self, wildcards: Any) -> str:
        """Return the visits of a piece in few words."""
        return spans(map(int, self.visits[wildcards.skypix]))

    def counted_visits(self, wildcards: Any) -> str:
        """Return the visits of which this piece is the first, with all pieces of each.

        The job of that piece counts the detections of a visit that are in none of its pieces.
        """
        return grouped_spans(self._first_of.get(wildcards.skypix, {}))

    def memory_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory of a job that reads what its visits have about a piece of the sky."""
        return attempt * (_PROCESS_MB + _VISIT_MB * len(self.visits[wildcards.skypix]))

    def expand(self, pattern: str) -> list[str]:
        """Return a path pattern filled with every piece."""
        return [pattern.format(skypix=skypix) for skypix in self.visits]


def _touched(survey: Survey, order: int, margin_deg: float) -> list[tuple[int, int]]:
    """Return pairs (piece, visit), sorted."""
    visits, circles = [], []
    shapes = {d.id: detector_circle(d, survey.camera) for d in survey.camera.detectors}
    for key, row in survey.visits.items():
        detectors = [int(d) for d in survey.detectors[key]]
        found = circles_of(row, [shapes[d] for d in detectors], survey.camera)
        circles.append(found)
        visits.append(np.full(len(found), row.visit))
    ra, dec, radius = np.concatenate(circles).T
    visit, pairs = np.concatenate(visits), []
    for first in range(0, len(ra), _CHUNK):
        part = slice(first, first + _CHUNK)
        circle, pixel = pixels_in_circles(order, ra[part], dec[part], radius[part] + margin_deg)
        pairs.append(np.stack([pixel, visit[part][circle]], axis=1))
    found = np.unique(np.concatenate(pairs), axis=0)
    return [(pixel, number) for pixel, number in found.tolist()]


def detector_circle(detector: Detector, camera: Camera) -> tuple[float, float, float]:
    """Return centre of a detector in the field, and its radius there, degrees."""
    nx, ny = detector.size_pix
    x = np.array([(nx - 1) / 2, -0.5, nx - 0.5, nx - 0.5, -0.5])
    y = np.array([(ny - 1) / 2, -0.5, -0.5, ny - 0.5, ny - 0.5])
    fx, fy = optics_map(camera.optics).forward(*detector_map(detector).forward(x, y))
    return float(fx[0]), float(fy[0]), float(np.hypot(fx[1:] - fx[0], fy[1:] - fy[0]).max())


def is_known(row: VisitRow, camera: Camera) -> bool:
    """Return whether it is known where each detector of a visit lies on the sky."""
    return row.rotation_deg is not None and camera.wcs_from == "camera"


def circles_of(row: VisitRow, shapes: list[tuple[float, float, float]], camera: Camera) -> Floats:
    """Return right ascension, declination and radius of circles that hold a visit, (n, 3).

    A circle a detector where geometry and rotation are known. Otherwise one about the boresight,
    out to the farthest corner, and for frames with a WCS of their own once more the size of a
    detector: what their headers give as the boresight may be a corner of the image.
    """
    fx, fy, radius = np.array(shapes).T
    if is_known(row, camera):
        assert row.rotation_deg is not None
        projection = TanProjection(row.ra_deg, row.dec_deg, row.rotation_deg, camera.optics.x_axis)
        return np.stack([*projection.to_sky(fx, fy), radius], axis=1)
    reach = float((np.hypot(fx, fy) + radius).max()) + slack_deg(shapes, camera)
    return np.array([[row.ra_deg, row.dec_deg, reach]])


def slack_deg(shapes: Iterable[tuple[float, float, float]], camera: Camera) -> float:
    """Return how far a camera's stated boresight may be from it: the size of a detector, or 0."""
    return 2 * max(radius for *_, radius in shapes) if camera.wcs_from == "header" else 0.0
