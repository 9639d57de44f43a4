"""Which visits touch which tracts and patches, from the sheets and the camera file alone.

Made once, before the graph is built, and looked up from then on. Detectors count with a margin, as
the visit sheet may be wrong; a pair of visit and patch that is named for nothing gives an empty
warp. Warps reach beyond the image of their patch; a patch whose image no visit touches has no jobs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from drpflow.data.sky_wcs import detector_map, optics_map
from drpflow.data.tan_projection import TanProjection, separation_deg, unit_vectors
from drpflow.errors import InputError
from drpflow.workflow.number_lists import spans
from drpflow.workflow.overlaps import circles_of, detector_circle, is_known

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from numpy.typing import NDArray

    from drpflow.data.camera import Camera, Detector
    from drpflow.data.sky_map import SkyMap, Tract
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.workflow.survey import Survey

    Floats: TypeAlias = NDArray[np.float64]

# Memory of a process before it has read anything.
_PROCESS_MB = 600


class _Outline(NamedTuple):
    """Quadrangles that hold the detectors of a visit: corners (n, 4) on the sky, whose they are."""

    ra_deg: Floats
    dec_deg: Floats
    detectors: tuple[tuple[int, ...], ...]
    center: tuple[float, float]
    reach_deg: float


class _Grid(NamedTuple):
    """Edges of warps and images of a tract's patches, (4, n) each, and its WCS and scale."""

    wcs: SkyWcs
    warps: Floats
    images: Floats
    pixel_scale_arcsec: float


class TractOverlaps:
    """Visits by tract and patch.

    Parameters
    ----------
    survey
        The visits with their detectors.
    sky_map
        The tracts.
    margin_deg
        How far a detector may be from where visit sheet and camera file put it.
    tracts
        Tracts to look at; all if None.

    Raises
    ------
    InputError
        If one of `tracts` is not in the sky map, or no visit touches any of them.
    """

    def __init__(
        self,
        survey: Survey,
        sky_map: SkyMap,
        margin_deg: float,
        tracts: Collection[int] | None = None,
    ) -> None:
        for number in tracts or ():
            sky_map.tract(number)
        self.detectors = _touched(survey, sky_map, margin_deg, tracts)
        """Detectors, ascending, by tract, patch and visit, as wildcards give them."""
        self.band_of = {visit: row.band for visit, row in survey.visits.items()}
        """Band by visit."""
        self.visits_of_tract: dict[tuple[str, str], list[str]] = {}
        """Visits, ascending, by tract and band."""
        self.visits_of_patch: dict[tuple[str, str, str], list[str]] = {}
        """Visits, ascending, by tract, patch and band."""
        for tract, patch, visit in self.detectors:
            band = self.band_of[visit]
            self.visits_of_patch.setdefault((tract, patch, band), []).append(visit)
            others = self.visits_of_tract.setdefault((tract, band), [])
            if visit not in others[-1:]:
                others.append(visit)
        for key, visits in self.visits_of_tract.items():
            self.visits_of_tract[key] = sorted(set(visits), key=int)
        self.patch_megapixels = _largest_patch(sky_map, self.detectors) / 1e6
        """Pixels of the largest warp, in million."""
        self._detector_megapixels = survey.megapixels

    def of_tract(self, pattern: str) -> Callable[[Any], list[str]]:
        """Return the input function that fills a pattern with the visits of a tract and band."""
        return lambda wildcards: [
            pattern.format(visit=visit)
            for visit in self.visits_of_tract[wildcards.tract, wildcards.band]
        ]

    def of_patch(self, pattern: str) -> Callable[[Any], list[str]]:
        """Return the same for the visits of a patch and band; the tract and patch are filled in."""

        def paths(wildcards: Any) -> list[str]:
            tract, patch, band = wildcards.tract, wildcards.patch, wildcards.band
            return [
                pattern.format(tract=tract, patch=patch, band=band, visit=visit)
                for visit in self.visits_of_patch[tract, patch, band]
            ]

        return paths

    def of_warp(self, pattern: str) -> Callable[[Any], list[str]]:
        """Return the input function that fills in band and detectors of a visit on a patch."""

        def paths(wildcards: Any) -> list[str]:
            """Return a path, or one a detector of the visit that touches the patch."""
            tract, patch, visit = wildcards.tract, wildcards.patch, wildcards.visit
            known = {"tract": tract, "patch": patch, "visit": visit, "band": self.band_of[visit]}
            if "{detector}" not in pattern:
                return [pattern.format(**known)]
            return [
                pattern.format(**known, detector=detector)
                for detector in self.detectors[tract, patch, visit]
            ]

        return paths

    @staticmethod
    def opened(pattern: str) -> Callable[[Any], str]:
        """Return the function that fills in tract, patch and band, and leaves the visit open."""

        def path(wildcards: Any) -> str:
            known = {"tract": wildcards.tract, "patch": wildcards.patch, "band": wildcards.band}
            return pattern.format(**known, visit="{visit}")

        return path

    def tract_visits(self, wildcards: Any) -> str:
        """Return the visits of a tract and band in few words."""
        return spans(map(int, self.visits_of_tract[wildcards.tract, wildcards.band]))

    def patch_visits(self, wildcards: Any) -> str:
        """Return the visits of a patch and band in few words."""
        key = wildcards.tract, wildcards.patch, wildcards.band
        return spans(map(int, self.visits_of_patch[key]))

    def warp_detectors(self, wildcards: Any) -> str:
        """Return the detectors of a visit on a patch in few words."""
        return spans(self.detectors[wildcards.tract, wildcards.patch, wildcards.visit])

    def memory_mb(
        self,
        bytes_per_pixel: float,
        bytes_per_detector_pixel: float = 0.0,
        more_mb: float = 0.0,
    ) -> Callable[[Any, int], int]:
        """Return the memory that a job on a patch asks for, by attempt.

        Parameters
        ----------
        bytes_per_pixel
            Peak memory beyond an empty process, for each pixel of a warp.
        bytes_per_detector_pixel
            The same for each pixel of a detector.
        more_mb
            What does not depend on these.
        """
        of_detector = bytes_per_detector_pixel * self._detector_megapixels
        of_patch = bytes_per_pixel * self.patch_megapixels
        first = round(_PROCESS_MB + of_patch + of_detector + more_mb)
        return lambda wildcards, attempt: first * attempt  # noqa: ARG005 - names that Snakemake gives

    def expand(self, pattern: str) -> list[str]:
        """Return a pattern filled with every tract, patch, band and visit that it names."""
        return list(dict.fromkeys(self._expanded(pattern)))

    def _expanded(self, pattern: str) -> Iterator[str]:
        if "{visit}" in pattern:
            for tract, patch, visit in self.detectors:
                band = self.band_of[visit]
                yield pattern.format(tract=tract, patch=patch, visit=visit, band=band)
        elif "{patch}" in pattern:
            for tract, patch, band in self.visits_of_patch:
                yield pattern.format(tract=tract, patch=patch, band=band)
        else:
            for tract, band in self.visits_of_tract:
                yield pattern.format(tract=tract, band=band)


def suggested_field(survey: Survey) -> dict[str, float]:
    """Return centre and size of a field that holds all visits, rounded.

    Parameters
    ----------
    survey
        The visits. Its centre is the mean of their boresights.
    """
    outlines = _outlines(survey, list(survey.visits))
    ra, dec = np.array([o.center for o in outlines]).T
    mean = unit_vectors(ra, dec).mean(axis=1)
    center_ra = float(np.degrees(np.arctan2(mean[1], mean[0])) % 360.0)
    center_dec = float(np.degrees(np.arctan2(mean[2], np.hypot(mean[0], mean[1]))))
    away = separation_deg(center_ra, center_dec, ra, dec)
    size = 2 * max(float(d) + o.reach_deg for d, o in zip(away, outlines, strict=True))
    return {
        "ra_deg": round(center_ra, 4) % 360.0,
        "dec_deg": round(center_dec, 4),
        "width_deg": float(np.ceil(size * 100) / 100),
        "height_deg": float(np.ceil(size * 100) / 100),
    }


def shorter_side_deg(camera: Camera) -> float:
    """Return the shorter side of the box about all detectors in the field."""
    corners = np.concatenate([_field_corners(d, camera) for d in camera.detectors], axis=1)
    return float(np.ptp(corners, axis=1).min())


def _touched(
    survey: Survey, sky_map: SkyMap, margin_deg: float, tracts: Collection[int] | None
) -> dict[tuple[str, str, str], tuple[int, ...]]:
    """Return the detectors by tract, patch and visit, sorted by these."""
    visits = sorted(survey.visits, key=int)
    outlines = _outlines(survey, visits)
    ra, dec = np.array([outline.center for outline in outlines]).T
    reach = np.array([outline.reach_deg for outline in outlines]) + margin_deg
    found: dict[tuple[int, int, int], tuple[int, ...]] = {}
    imaged: set[tuple[int, int, str]] = set()
    grids: dict[int, _Grid] = {}
    band_of = {int(visit): survey.visits[visit].band for visit in visits}
    for k, number in sky_map.tracts_near(ra, dec, reach).tolist():
        if tracts is None or number in tracts:
            if number not in grids:
                grids[number] = _grid(sky_map.tract(number))
            visit = int(visits[k])
            warps, images = _on_tract(outlines[k], grids[number], margin_deg)
            found |= {(number, patch, visit): ids for patch, ids in warps.items()}
            imaged |= {(number, patch, band_of[visit]) for patch in images}
    found = {(t, p, v): ids for (t, p, v), ids in found.items() if (t, p, band_of[v]) in imaged}
    if not found:
        named = "" if tracts is None else f" {spans(tracts)}"
        raise InputError(
            "skyMap (config)",
            f"no visit touches the tracts{named}",
            "Correct field or tracts, or the boresights of the visit sheet",
        )
    return {(str(t), str(p), str(v)): found[t, p, v] for t, p, v in sorted(found)}


def _grid(tract: Tract) -> _Grid:
    warps = np.array([patch.warp.extent for patch in tract.patches]).T
    images = np.array([patch.outer.extent for patch in tract.patches]).T
    return _Grid(tract.wcs, warps, images, tract.pixel_scale_arcsec)


def _outlines(survey: Survey, visits: list[str]) -> list[_Outline]:
    """Return the outlines of visits."""
    camera = survey.camera
    circles = {d.id: detector_circle(d, camera) for d in camera.detectors}
    corners = {d.id: np.array(_field_corners(d, camera)) for d in camera.detectors}
    return [_outline(survey, visit, circles, corners) for visit in visits]


def _outline(
    survey: Survey,
    visit: str,
    circles: dict[int, tuple[float, float, float]],
    corners: dict[int, Floats],
) -> _Outline:
    row, camera = survey.visits[visit], survey.camera
    numbers = tuple(sorted(int(d) for d in survey.detectors[visit]))
    center = (row.ra_deg, row.dec_deg)
    if is_known(row, camera):
        assert row.rotation_deg is not None
        projection = TanProjection(*center, row.rotation_deg, camera.optics.x_axis)
        fx, fy = np.array([corners[number] for number in numbers]).transpose(1, 0, 2)
        ids = tuple((number,) for number in numbers)
        return _Outline(*projection.to_sky(fx, fy), ids, center, float(np.hypot(fx, fy).max()))
    radius = float(circles_of(row, [circles[number] for number in numbers], camera)[0, 2])
    side = np.degrees(np.tan(np.radians(min(radius, 80.0))))
    fx, fy = side * np.array([[-1.0, 1.0, 1.0, -1.0]]), side * np.array([[-1.0, -1.0, 1.0, 1.0]])
    square = TanProjection(*center).to_sky(fx, fy)
    return _Outline(*square, (numbers,), center, float(np.hypot(side, side)))


def _field_corners(detector: Detector, camera: Camera) -> tuple[Floats, Floats]:
    """Return the corners of a detector in the field, degrees, in order."""
    nx, ny = detector.size_pix
    x = np.array([-0.5, nx - 0.5, nx - 0.5, -0.5])
    y = np.array([-0.5, -0.5, ny - 0.5, ny - 0.5])
    return optics_map(camera.optics).forward(*detector_map(detector).forward(x, y))


def _on_tract(
    outline: _Outline, grid: _Grid, margin_deg: float
) -> tuple[dict[int, tuple[int, ...]], set[int]]:
    """Return the detectors of a visit by patch of whose warp they are, and patches with images."""
    x, y = grid.wcs.world_to_pixel_values(outline.ra_deg, outline.dec_deg)
    margin_pix = margin_deg * 3600 / grid.pixel_scale_arcsec
    found: dict[int, tuple[int, ...]] = {}
    for quadrangle, patch in touching(x, y, grid.warps, margin_pix):
        more = outline.detectors[quadrangle]
        found[patch] = tuple(sorted({*found.get(patch, ()), *more}))
    return found, {patch for _, patch in touching(x, y, grid.images, margin_pix)}


def touching(x: Floats, y: Floats, boxes: Floats, margin_pix: float) -> list[tuple[int, int]]:
    """Return pairs (quadrangle, box) that share points.

    Two convex figures are apart if and only if they are so along the normal of one of their
    sides.

    Parameters
    ----------
    x, y
        Corners of convex quadrangles in order, shape (n, 4); those that are not finite touch
        nothing.
    boxes
        x_min, x_max, y_min, y_max of the boxes, shape (4, m).
    margin_pix
        How much larger the boxes are taken.
    """
    x_min, x_max, y_min, y_max = boxes + margin_pix * np.array([[-1.0], [1.0], [-1.0], [1.0]])
    near = (x.max(axis=1)[:, None] >= x_min) & (x.min(axis=1)[:, None] <= x_max)
    near &= (y.max(axis=1)[:, None] >= y_min) & (y.min(axis=1)[:, None] <= y_max)
    one, other = np.nonzero(near)
    half = np.stack([x_max - x_min, y_max - y_min])[:, other] / 2
    middle = np.stack([x_max + x_min, y_max + y_min])[:, other] / 2
    corners = np.stack([x[one], y[one]])
    apart = np.zeros(one.size, bool)
    for k in range(4):
        side = corners[:, :, (k + 1) % 4] - corners[:, :, k]
        normal = np.stack([-side[1], side[0]])
        along = (normal[:, :, None] * (corners - middle[:, :, None])).sum(axis=0)
        reach = (np.abs(normal) * half).sum(axis=0)
        apart |= (along.min(axis=1) > reach) | (along.max(axis=1) < -reach)
    return list(zip(one[~apart].tolist(), other[~apart].tolist(), strict=True))


def _largest_patch(sky_map: SkyMap, detectors: Mapping[tuple[str, str, str], object]) -> int:
    """Return the pixels of the largest patch's warps."""
    found = {(tract, patch) for tract, patch, _ in detectors}
    return max(sky_map.tract(int(t)).patch(int(p)).warp.area for t, p in found)
