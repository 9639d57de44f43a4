"""From the pixels of a detector to the focal plane and back, for places, polynomials and shapes.

Amplitudes of the modes are fitted in the axes of the focal plane. A detector that is turned by t
against them shows ellipticities turned by 2t, coma by t and trefoil by 3t; sizes and slopes of
wings do not turn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self, TypeAlias

import numpy as np

from drpflow.algorithms.psf_fit.model import N_MODES
from drpflow.data.geometry import Box
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.sky_wcs import detector_map

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from drpflow.algorithms.psf_fit.profile import Moffat
    from drpflow.data.camera import Detector
    from drpflow.data.plane_maps import AffineMap

    Floats: TypeAlias = NDArray[np.float64]

# How often modes turn while the detector turns once: e (1, 2), coma (4, 5), trefoil (6, 7).
_TURNS = ((1, 2), (4, 1), (6, 3))
# Detectors that differ by less than this have the same axes, and pixels of one size.
_SAME_TURN_DEG = 0.5
_SAME_SIZE = 1e-3


@dataclass(frozen=True)
class Place:
    """Where a detector is in the focal plane.

    Parameters
    ----------
    detector
        Its id.
    box
        Its pixels.
    to_focal
        From pixels to mm.
    rotation_deg
        Its turn, +x towards +y.
    pixel_size_mm
        Its pixels.
    """

    detector: int
    box: Box
    to_focal: AffineMap
    rotation_deg: float
    pixel_size_mm: float

    @classmethod
    def of_detector(cls, detector: Detector) -> Self:
        """Return the place that the camera file gives a detector."""
        nx, ny = detector.size_pix
        return cls(
            detector.id,
            Box(0, nx, 0, ny),
            detector_map(detector),
            detector.rotation_deg,
            detector.pixel_size_mm,
        )

    @cached_property
    def mode_turn(self) -> Floats:
        """The matrix from amplitudes in pixel axes to those in focal-plane axes, orthogonal."""
        turn = np.eye(N_MODES)
        for first, times in _TURNS:
            angle = np.radians(times * self.rotation_deg)
            c, s = np.cos(angle), np.sin(angle)
            turn[first : first + 2, first : first + 2] = [[c, -s], [s, c]]
        return turn

    def corners_mm(self) -> Floats:
        """Return the outer corners, shape (4, 2)."""
        x_min, x_max, y_min, y_max = self.box.extent
        x, y = np.array([x_min, x_max, x_max, x_min]), np.array([y_min, y_min, y_max, y_max])
        return np.stack(self.to_focal.forward(x, y), axis=1)

    def to_own(self, basis: Basis2D, own: Basis2D) -> Floats:
        """Return the matrix from coefficients over the focal plane to those over the detector.

        Exact, as the map between them is affine and `own` has the order of `basis` or a higher
        one; shape (own.n_terms, basis.n_terms).
        """
        nodes = np.linspace(-1, 1, own.order + 2)
        u, v = (a.ravel() for a in np.meshgrid(nodes, nodes))
        (xc, yc), (xh, yh) = own.domain.center, own.domain.half_size
        x, y = xc + xh * u, yc + yh * v
        values = basis.design(*self.to_focal.forward(x, y))
        return own.fit(x, y, values.T).T

    def looks_like(self, other: Place) -> bool:
        """Return whether a grid of pixels means the same on both."""
        off = (self.rotation_deg - other.rotation_deg + 180) % 360 - 180
        ratio = self.pixel_size_mm / other.pixel_size_mm
        return abs(off) < _SAME_TURN_DEG and abs(ratio - 1) < _SAME_SIZE

    def profile(self, profile: Moffat, pixel_size_mm: float) -> Moffat:
        """Return a profile of the focal plane's axes, and of pixels of a size, as seen here."""
        angle = np.radians(-2 * self.rotation_deg)
        c, s = np.cos(angle), np.sin(angle)
        return replace(
            profile,
            log_size=profile.log_size + float(np.log(pixel_size_mm / self.pixel_size_mm)),
            e1=float(c * profile.e1 - s * profile.e2),
            e2=float(s * profile.e1 + c * profile.e2),
        )

    def to_focal_axes(self, profile: Moffat) -> Moffat:
        """Return a profile seen here in the axes of the focal plane."""
        return replace(self, rotation_deg=-self.rotation_deg).profile(profile, self.pixel_size_mm)


def domain_of(places: Iterable[Place]) -> Domain:
    """Return the rectangle about detectors, mm."""
    corners = np.concatenate([place.corners_mm() for place in places])
    (x_min, y_min), (x_max, y_max) = corners.min(axis=0), corners.max(axis=0)
    return Domain(x_min, x_max, y_min, y_max)


def alike(places: list[Place]) -> list[list[int]]:
    """Return groups of detectors (rows) on which a grid of pixels means the same."""
    groups: list[list[int]] = []
    for row, place in enumerate(places):
        found = next((g for g in groups if places[g[0]].looks_like(place)), None)
        if found is None:
            groups.append([row])
        else:
            found.append(row)
    return groups
