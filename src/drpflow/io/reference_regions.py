"""Reference stars about the stars of a survey, read in small circles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.data.reference_stars import ReferenceStars, unit_vectors
from drpflow.io.reference_stars import read_reference_stars

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Reference stars are read so far beyond the outermost star: proper motions.
_MARGIN_DEG = 0.01


def read_references_about(
    path: Path | None, ra_deg: Floats, dec_deg: Floats, piece: NDArray[np.int64]
) -> ReferenceStars | None:
    """Return the reference stars about places.

    Parameters
    ----------
    path
        The reference catalogue, None without.
    ra_deg, dec_deg
        The places.
    piece
        Piece of the sky of each, such as its HEALPix pixel: a circle is read for each.

    Returns
    -------
    ReferenceStars or None
        Each star once, by number; None without a catalogue or without places.
    """
    if path is None:
        return None
    circles = [_circle(ra_deg[piece == p], dec_deg[piece == p]) for p in np.unique(piece)]
    return _merged([read_reference_stars(path, *circle) for circle in circles])


def _circle(ra_deg: Floats, dec_deg: Floats) -> tuple[float, float, float]:
    """Return centre and radius, degrees, of a circle about places."""
    toward = unit_vectors(ra_deg, dec_deg)
    center = toward.mean(axis=0) / np.linalg.norm(toward.mean(axis=0))
    ra = np.degrees(np.arctan2(center[1], center[0])) % 360
    dec = np.degrees(np.arcsin(center[2]))
    radius = np.degrees(np.arccos(np.clip((toward @ center).min(), -1, 1)))
    return float(ra), float(dec), float(radius) + _MARGIN_DEG


def _merged(parts: list[ReferenceStars]) -> ReferenceStars | None:
    """Return the stars of all circles, each once, by number."""
    if not parts:
        return None
    given = [part.to_columns() for part in parts]
    names = list(dict.fromkeys(name for columns in given for name in columns))
    whole = {
        name: np.concatenate([c.get(name, np.full(len(c["id"]), np.nan)) for c in given])
        for name in names
    }
    _, rows = np.unique(whole["id"], return_index=True)
    columns = {name: values[rows] for name, values in whole.items()}
    return ReferenceStars.from_columns(columns, parts[0].observer)
