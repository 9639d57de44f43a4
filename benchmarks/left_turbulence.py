"""Turbulence of simulated visits that no polynomial over the field can follow, true and found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scoring import polynomial_design

from drpflow.data.displacement_map import TURBULENCE
from drpflow.data.tan_projection import TanProjection

if TYPE_CHECKING:
    from truth_survey import TruthFrame

    from drpflow.data.sky_wcs import SkyWcs

Floats = NDArray[np.float64]


class Turbulence:
    """Displacement by the air, and what of it no polynomial of an order over the field can follow.

    Parameters
    ----------
    frames
        The detectors of a visit.
    order
        Total degree of the polynomial.
    """

    def __init__(self, frames: list[TruthFrame], order: int) -> None:
        self.model, self.order = frames[0].survey.model(frames[0].visit), order
        images = [(f.detector, f.grid["x"], f.grid["y"]) for f in frames]
        design = np.concatenate([polynomial_design(*self.scaled(*i), order) for i in images])
        values = np.concatenate([self.whole(*i) for i in images], axis=1)
        self.terms = np.linalg.lstsq(design, values.T, rcond=None)[0]

    def left(self, detector: int, x_pix: Floats, y_pix: Floats) -> Floats:
        """Return what is left at pixels, along the axes of the field, mas, shape (2, N)."""
        design = polynomial_design(*self.scaled(detector, x_pix, y_pix), self.order)
        return self.whole(detector, x_pix, y_pix) - (design @ self.terms).T

    def whole(self, detector: int, x_pix: Floats, y_pix: Floats) -> Floats:
        """Return the displacement at pixels."""
        geometry = self.model.geometry
        if geometry.turbulence is None:
            return np.zeros((2, x_pix.size))
        place = self._field(detector, x_pix, y_pix)
        return np.asarray(geometry.turbulence(*place) * geometry.turbulence_mas)

    def scaled(self, detector: int, x_pix: Floats, y_pix: Floats) -> tuple[Floats, Floats]:
        """Return places in the field over its radius."""
        x, y = self._field(detector, x_pix, y_pix)
        radius = self.model.geometry.radius_deg
        return x / radius, y / radius

    def _field(self, detector: int, x_pix: Floats, y_pix: Floats) -> tuple[Floats, Floats]:
        optics = self.model.optics
        return optics.focal_to_field(*optics.detectors[detector].to_focal(x_pix, y_pix))


class ToldTurbulence:
    """What WCSs say of the turbulence, less a polynomial; nothing if they have no such stage.

    Parameters
    ----------
    wcs
        Of the detectors of a visit.
    frames
        These detectors.
    air
        The truth, whose polynomials are used.
    """

    def __init__(self, wcs: dict[int, SkyWcs], frames: list[TruthFrame], air: Turbulence) -> None:
        self.wcs, self.air = wcs, air
        self.terms = np.zeros((1, 2))
        if any(TURBULENCE in item.stage_names for item in wcs.values()):
            images = [(f.detector, f.grid["x"], f.grid["y"]) for f in frames]
            parts = [polynomial_design(*air.scaled(*i), air.order) for i in images]
            values = np.concatenate([self._whole(*i) for i in images], axis=1)
            self.terms = np.linalg.lstsq(np.concatenate(parts), values.T, rcond=None)[0]

    def left(self, detector: int, x_pix: Floats, y_pix: Floats) -> Floats:
        """Return what is left at pixels, along the axes of the field, mas, shape (2, N)."""
        if len(self.terms) == 1:
            return np.zeros((2, x_pix.size))
        design = polynomial_design(*self.air.scaled(detector, x_pix, y_pix), self.air.order)
        return self._whole(detector, x_pix, y_pix) - (design @ self.terms).T

    def _whole(self, detector: int, x_pix: Floats, y_pix: Floats) -> Floats:
        u, v = x_pix, y_pix
        for name, item in self.wcs[detector].stages:
            moved = item.forward(u, v)
            if name == TURBULENCE:
                return 3.6e6 * np.stack([u - moved[0], v - moved[1]])
            u, v = moved
        return np.zeros((2, x_pix.size))


def wcs_error_mas(wcs: SkyWcs, frame: TruthFrame) -> Floats:
    """Return the errors of a WCS at the grid of a detector, along the axes of the field, (2, N)."""
    truth = frame.survey.model(frame.visit).truth
    plane = TanProjection(truth.true_ra_deg, truth.true_dec_deg, truth.true_rotation_deg, "west")
    grid = frame.grid
    mine = np.stack(plane.from_sky(*wcs.pixel_to_world_values(grid["x"], grid["y"])))
    return 3.6e6 * (mine - np.stack(plane.from_sky(grid["ra"], grid["dec"])))
