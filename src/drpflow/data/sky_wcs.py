"""Pixel to sky, as an exact composition.

    pixel → detector map → focal plane (mm) → optics → field (deg) → visit map → TAN → sky

Each arrow is a small map of its own (:mod:`drpflow.data.plane_maps`), so that what is static for
a detector, what belongs to the optics and what belongs to one visit stay apart: an astrometric fit
replaces one of them and leaves the others. Nothing is resampled or approximated; only
:meth:`SkyWcs.to_fits_header` approximates, and states its error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

import numpy as np

from drpflow.data.geometry import Box
from drpflow.data.plane_maps import AffineMap, PlaneMap, RadialMap
from drpflow.data.record import Record, StoredComponent, component, pack, unpack
from drpflow.data.sky_wcs_ape14 import CelestialApe14
from drpflow.data.tan_projection import TanProjection
from drpflow.errors import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from drpflow.data.camera import Camera, Detector, Optics
    from drpflow.data.sky_wcs_astropy import AstropyWcs
    from drpflow.data.sky_wcs_sip import Card

    Floats: TypeAlias = NDArray[np.float64]

CUTOUT = "cutout"
"""Stage that moves the pixels of a cut-out to those of the detector."""
DETECTOR = "detector"
"""Stage from detector pixels to the focal plane, mm."""
OPTICS = "optics"
"""Stage from the focal plane to the field, degrees."""
VISIT = "visit"
"""Stage from the field to the field of this visit, degrees."""


@component
@dataclass(frozen=True, eq=False)
class SkyWcs(CelestialApe14, StoredComponent):
    """World coordinate system of an image: maps in order, then a projection.

    Parameters
    ----------
    stages
        (name, map) in the order in which pixels run through them; the last one ends in field
        coordinates, degrees.
    projection
        From the field to the sky.
    pixel_shape
        (nx, ny) of the image, if known.

    Raises
    ------
    ValueError
        If two stages have one name.
    """

    KIND: ClassVar[str] = "sky_wcs"
    stages: tuple[tuple[str, PlaneMap], ...]
    projection: TanProjection
    pixel_shape: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple((name, item) for name, item in self.stages))
        if len(set(self.stage_names)) != len(self.stages):
            raise ValueError(f"stages have distinct names, not {self.stage_names}")
        if self.pixel_shape is not None:
            nx, ny = self.pixel_shape
            object.__setattr__(self, "pixel_shape", (int(nx), int(ny)))

    @classmethod
    def from_camera(
        cls,
        camera: Camera,
        detector: Detector | int,
        ra_deg: float,
        dec_deg: float,
        rotation_deg: float = 0.0,
    ) -> Self:
        """Return what the camera's geometry predicts for a pointing.

        Parameters
        ----------
        camera
            Geometry and optics.
        detector
            The detector, or its id.
        ra_deg, dec_deg
            Where the optical axis points, ICRS.
        rotation_deg
            Position angle of focal-plane +y, east of north.
        """
        if isinstance(detector, int | np.integer):
            detector = camera.detector(int(detector))
        return cls(
            stages=((DETECTOR, detector_map(detector)), (OPTICS, optics_map(camera.optics))),
            projection=TanProjection(ra_deg, dec_deg, rotation_deg, camera.optics.x_axis),
            pixel_shape=detector.size_pix,
        )

    @classmethod
    def from_fits_header(cls, header: Mapping[str, Any], source: str = "the FITS header") -> SkyWcs:
        """Return the WCS that FITS cards state: TAN, TAN-SIP or TPV.

        Parameters
        ----------
        header
            Keyword to value (an `astropy.io.fits.Header` or a dict).
        source
            File name for error messages.

        Raises
        ------
        InputError
            If there is no celestial WCS of these kinds, or it is incomplete.
        """
        from drpflow.data.sky_wcs_header import parse_header

        return parse_header(header, source)

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages, in order."""
        return tuple(name for name, _ in self.stages)

    def stage(self, name: str) -> PlaneMap:
        """Return the map with this name.

        Raises
        ------
        KeyError
            If there is none.
        """
        for stage_name, item in self.stages:
            if stage_name == name:
                return item
        raise KeyError(f"no WCS stage {name!r}{suggest(name, self.stage_names)}")

    def pixel_to_world_values(self, *pixel_arrays: ArrayLike) -> tuple[Any, Any]:
        """Return (ra, dec) in degrees of pixel positions (x, y), scalars or arrays."""
        x, y = pixel_arrays
        return self.projection.to_sky(*self._field(x, y))

    def world_to_pixel_values(self, *world_arrays: ArrayLike) -> tuple[Any, Any]:
        """Return (x, y) of positions (ra, dec) in degrees; NaN where there is no pixel."""
        ra_deg, dec_deg = world_arrays
        x, y = self.projection.from_sky(ra_deg, dec_deg)
        for _, item in reversed(self.stages):
            x, y = item.inverse(x, y)
        return np.asarray(x)[()], np.asarray(y)[()]

    def stage_input(self, name: str, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
        """Return the coordinates that enter a stage: ``"optics"`` gives focal-plane mm.

        Raises
        ------
        KeyError
            If there is no such stage.
        """
        self.stage(name)
        u, v = np.asarray(x, np.float64), np.asarray(y, np.float64)
        for stage_name, item in self.stages:
            if stage_name == name:
                break
            u, v = item.forward(u, v)
        return u, v

    def linearize(self, x: ArrayLike, y: ArrayLike) -> Floats:
        """Return d(east, north)/d(x, y) on the sky in arcsec/pix, shape (..., 2, 2)."""
        return self._jacobian(x, y, 0)

    def jacobian_after(self, name: str, x: ArrayLike, y: ArrayLike) -> Floats:
        """Return d(east, north)/d(output of a stage) in arcsec per its unit, shape (..., 2, 2).

        With D = ``stage(name).basis.design(*stage_input(name, x, y))``, the derivative of the
        position on the sky by the coefficients of output k is ``jacobian[..., :, k] ⊗ D``.

        Raises
        ------
        KeyError
            If there is no such stage.
        """
        self.stage(name)
        return self._jacobian(x, y, self.stage_names.index(name) + 1)

    def pixel_area_arcsec2(self, x: ArrayLike, y: ArrayLike) -> Floats:
        """Return the area of a pixel on the sky, square arcsec."""
        jacobian = self.linearize(x, y)
        return np.abs(np.linalg.det(jacobian))[()]

    def pixel_scale_arcsec(self, x: ArrayLike, y: ArrayLike) -> Floats:
        """Return the side of a square with the area of a pixel, arcsec."""
        return np.sqrt(self.pixel_area_arcsec2(x, y))[()]

    def sky_corners(self, box: Box | None = None) -> Floats:
        """Return (ra, dec) of the outer corners of a box, degrees, shape (4, 2).

        Counter-clockwise in pixels from the lower left; the whole image if no box is given.

        Raises
        ------
        ValueError
            If neither a box nor the shape of the image is known.
        """
        x_min, x_max, y_min, y_max = (box or self._box()).extent
        x, y = np.array([x_min, x_max, x_max, x_min]), np.array([y_min, y_min, y_max, y_max])
        return np.stack(self.pixel_to_world_values(x, y), axis=-1)

    def shifted(self, dx: float, dy: float, pixel_shape: tuple[int, int] | None = None) -> SkyWcs:
        """Return the WCS of a cut-out whose pixel (0, 0) is pixel (dx, dy) of this image.

        Parameters
        ----------
        dx, dy
            First pixel of the cut-out.
        pixel_shape
            (nx, ny) of the cut-out, if known.
        """
        stages = self.stages
        if stages and stages[0][0] == CUTOUT:
            offset = stages[0][1].forward(dx, dy)
            dx, dy = float(offset[0]), float(offset[1])
            stages = stages[1:]
        if (dx, dy) != (0, 0):
            stages = ((CUTOUT, AffineMap.translation(dx, dy)), *stages)
        return SkyWcs(stages, self.projection, pixel_shape)

    def with_stage(self, name: str, item: PlaneMap) -> SkyWcs:
        """Return the WCS with one map replaced, or added after the others."""
        if name in self.stage_names:
            stages = tuple((n, item if n == name else old) for n, old in self.stages)
        else:
            stages = (*self.stages, (name, item))
        return replace(self, stages=stages)

    def with_visit_map(self, item: PlaneMap) -> SkyWcs:
        """Return the WCS with another map of the visit, field degrees to field degrees."""
        return self.with_stage(VISIT, item)

    def with_pointing(
        self, ra_deg: float, dec_deg: float, rotation_deg: float | None = None
    ) -> SkyWcs:
        """Return the WCS pointed elsewhere; the rotation stays unless it is given."""
        rotation = self.projection.rotation_deg if rotation_deg is None else rotation_deg
        return replace(
            self, projection=TanProjection(ra_deg, dec_deg, rotation, self.projection.x_axis)
        )

    def to_fits_header(self, box: Box | None = None, tolerance_arcsec: float = 1e-4) -> list[Card]:
        """Return a TAN-SIP approximation for the image of a box, as FITS cards.

        See :func:`drpflow.data.sky_wcs_sip.sip_cards`.

        Raises
        ------
        ValueError
            If neither a box nor the shape of the image is known.
        """
        from drpflow.data.sky_wcs_sip import sip_cards

        return sip_cards(self, box or self._box(), tolerance_arcsec)

    def to_astropy(self) -> AstropyWcs:
        """Return this WCS as astropy's high-level interface (``pixel_to_world`` → SkyCoord)."""
        from drpflow.data.sky_wcs_astropy import AstropyWcs

        return AstropyWcs(self)

    def to_record(self) -> Record:
        """Return the stored form."""
        stages, arrays = pack(self.stages)
        meta = {
            "stages": stages,
            "projection": self.projection.to_meta(),
            "pixel_shape": None if self.pixel_shape is None else list(self.pixel_shape),
        }
        return self._record(meta, arrays)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the WCS from its stored form."""
        shape = record.meta["pixel_shape"]
        return cls(
            tuple(unpack(record.meta["stages"], record.arrays)),
            TanProjection.from_meta(record.meta["projection"]),
            None if shape is None else (shape[0], shape[1]),
        )

    def _box(self) -> Box:
        if self.pixel_shape is None:
            raise ValueError("this WCS does not know the size of its image; give a box")
        return Box(0, self.pixel_shape[0], 0, self.pixel_shape[1])

    def _field(self, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
        u, v = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        for _, item in self.stages:
            u, v = item.forward(u, v)
        return u, v

    def _jacobian(self, x: ArrayLike, y: ArrayLike, first: int) -> Floats:
        """Chain the Jacobians of stages `first` … last and of the projection."""
        u, v = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        total: Floats = np.broadcast_to(np.eye(2), (*u.shape, 2, 2))
        for k, (_, item) in enumerate(self.stages):
            if k < first:
                u, v = item.forward(u, v)
            else:
                u, v, jacobian = item.forward_with_jacobian(u, v)
                total = jacobian @ total
        return 3600.0 * self.projection.jacobian(u, v) @ total


def detector_map(detector: Detector) -> AffineMap:
    """Return the map from detector pixels to the focal plane, mm.

    ``center_mm + R(rotation) · ((x, y) - ((nx - 1)/2, (ny - 1)/2)) · pixel_size_mm``, with R
    turning +x towards +y.
    """
    t = np.radians(detector.rotation_deg)
    matrix = detector.pixel_size_mm * np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
    nx, ny = detector.size_pix
    middle = np.array([(nx - 1) / 2, (ny - 1) / 2])
    return AffineMap(matrix, np.array(detector.center_mm) - matrix @ middle)


def optics_map(optics: Optics) -> RadialMap:
    """Return the map from the focal plane, mm, to the field, degrees."""
    return RadialMap(
        scale=optics.plate_scale_arcsec_per_mm / 3600.0,
        radius=optics.radius_mm,
        coefficients=optics.radial,
        center=optics.boresight_mm,
    )
