"""Figures of what is left between stars and the reference catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.qa.canvas import (
    canvas,
    data_uri,
    detector_mm,
    fit,
    frame,
    is_large,
    length_key,
    to_focal_plane,
    turned,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.data.camera import Detector

# Lengths of which the key shows one, mas.
_KEYS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


@dataclass(frozen=True)
class Residuals:
    """Matched stars of one detector.

    Parameters
    ----------
    x, y
        Pixels, shape (N,).
    dx, dy
        From the reference star to the source, along the axes of the detector, mas; NaN where
        only the distance is known.
    distance
        Its length, mas.
    used
        Whether the star made the WCS.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    dx: NDArray[np.float64]
    dy: NDArray[np.float64]
    distance: NDArray[np.float64]
    used: NDArray[np.bool_]


def residual_vectors(residuals: Mapping[int, Residuals], detectors: Sequence[Detector]) -> str:
    """Draw an arrow from each reference star towards its source, blue if it made the WCS.

    The median arrow is as long as a twelfth of a detector, or as the stars are apart where they
    are many. Where only the distance is known, a circle of that radius is drawn instead.
    """
    from matplotlib.collections import EllipseCollection

    figure, axes = canvas(detectors)
    typical = _typical([r.distance[r.used] for r in residuals.values()])
    crowd = max((len(r.x) for r in residuals.values()), default=0)
    mm_per_mas = detector_mm(detectors) / max(12, np.sqrt(crowd)) / typical
    for detector in detectors:
        frame(axes, detector)
        if detector.id not in residuals:
            continue
        r = residuals[detector.id]
        x, y = to_focal_plane(detector, r.x, r.y)
        u, v = (mm_per_mas * part for part in turned(detector, r.dx, r.dy))
        arrow = np.isfinite(u) & np.isfinite(v)
        for which, color in ((arrow & ~r.used, "0.6"), (arrow & r.used, "#1f4e79")):
            axes.quiver(
                x[which], y[which], u[which], v[which], angles="xy", scale_units="xy", scale=1,
                width=0.0015 if is_large(detectors) else 0.003, color=color,
            )  # fmt: skip
        across = 2 * mm_per_mas * r.distance[~arrow]
        rings = EllipseCollection(
            across, across, 0, units="xy", offsets=np.column_stack([x, y])[~arrow],
            transOffset=axes.transData, facecolors="none", edgecolors="#1f4e79", linewidths=0.8,
        )  # fmt: skip
        axes.add_collection(rings)
    fit(axes, detectors)
    key = min(_KEYS, key=lambda k: abs(np.log(k / (2 * typical))))
    length_key(axes, key * mm_per_mas, f"{key} mas")
    return data_uri(figure)


def _typical(distances: Sequence[NDArray[np.float64]]) -> float:
    """Return the median distance, mas, but at least half of what the key can show."""
    finite = [d[np.isfinite(d)] for d in distances]
    values = np.concatenate(finite) if finite else np.empty(0)
    return max(float(np.median(values)), _KEYS[0] / 2) if values.size else 1.0
