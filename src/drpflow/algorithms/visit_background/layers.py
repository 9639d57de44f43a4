"""From the parameters of a visit's model to the layers of each detector's background."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.background import Background, BackgroundLayer, MeshLayer, PolynomialLayer
from drpflow.data.sky_wcs import detector_map
from drpflow.data.star_wings import StarWingsLayer

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from drpflow.algorithms.visit_background.frame import DetectorFrame
    from drpflow.algorithms.visit_background.model import VisitFit
    from drpflow.algorithms.visit_background.stars import DetectorStars
    from drpflow.config.model_visit_background import ModelVisitBackgroundConfig
    from drpflow.data.camera import Detector

    Float64: TypeAlias = NDArray[np.float64]


def detector_background(
    fit: VisitFit,
    detector: Detector,
    frame: DetectorFrame | None,
    stars: DetectorStars | None,
    config: ModelVisitBackgroundConfig,
) -> Background:
    """Return everything that is to be taken off the detrended pixels of a detector.

    Layers ``sky`` (shape of the empty sky times the polynomial), ``patterns``, ``piston`` and
    ``wings``, those of them that the visit has.

    Parameters
    ----------
    fit
        Model of the visit.
    detector
        The detector.
    frame
        Its sky frame, None without one.
    stars
        Bright stars about it, None where they are not known.
    config
        Spacing of nodes, and how exact wings are.
    """
    layout, parameters = fit.design.layout, fit.solution.parameters
    x, y = (
        nodes(detector.size_pix[0], config.node_pix),
        nodes(detector.size_pix[1], config.node_pix),
    )
    polynomial = parameters[: layout.basis.n_terms]
    sky = on_focal_plane(detector, x, y, partial(layout.basis.evaluate, polynomial))
    if frame is not None:
        sky = sky * frame.shape(x, y)
    layers: list[tuple[str, BackgroundLayer]] = [("sky", mesh_layer(sky, x, y))]
    strengths = parameters[layout.patterns]
    if frame is not None and strengths.any():
        parts = (a * frame.pattern(k, x, y) for k, a in enumerate(strengths))
        layers.append(("patterns", mesh_layer(fit.design.level * sum(parts), x, y)))
    piston = parameters[layout.pistons][layout.detectors.index(detector.id)]
    if piston != 0:
        layers.append(("piston", PolynomialLayer.constant(float(piston))))
    wings = _wings(fit, detector.id, stars, config)
    if wings is not None:
        layers.append(("wings", wings))
    return Background(tuple(layers))


def nodes(length: int, spacing_pix: int) -> Float64:
    """Return places from the first to the last pixel, evenly and about so far apart."""
    return np.linspace(0.0, length - 1.0, max(2, -(-length // spacing_pix) + 1))


def on_focal_plane(
    detector: Detector, x: Float64, y: Float64, function: Callable[[Float64, Float64], Float64]
) -> Float64:
    """Return a function of the focal plane [mm] on a grid of a detector's columns and rows."""
    columns, rows = np.meshgrid(x, y)
    return function(*detector_map(detector).forward(columns, rows))


def mesh_layer(values: Float64, x: Float64, y: Float64) -> MeshLayer:
    """Return the spline through values at columns x and rows y."""
    return MeshLayer(values, np.ones(values.shape), x, y, "spline")


def _wings(
    fit: VisitFit, key: int, stars: DetectorStars | None, config: ModelVisitBackgroundConfig
) -> StarWingsLayer | None:
    """Return the wings about a detector; None where there is no light in them."""
    layout = fit.design.layout
    nodes_of_rings = fit.solution.parameters[layout.wings]
    if stars is None or not nodes_of_rings.any():
        return None
    profile = nodes_of_rings.reshape(layout.n_regions, -1)
    profile = np.column_stack([profile, np.zeros(len(profile))])
    faintest = config.wings.negligible_sigma * fit.design.detectors[key].cells.noise
    place = stars.x, stars.y, stars.flux, stars.region
    return StarWingsLayer(*place, stars.radii, profile, faintest)
