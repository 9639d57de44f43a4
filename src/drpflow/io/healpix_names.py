"""Names of the files of a catalogue that is cut by HEALPix pixels, nested scheme."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from drpflow.data.healpix import pixel_centers_deg, pixel_radius_deg

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["pixel_centers_deg", "pixel_of_path", "pixel_path", "pixel_radius_deg"]

_NAME = re.compile(r"order=(\d+)/pixel=(\d+)\.parquet$")


def pixel_path(folder: Path, order: int, pixel: int) -> Path:
    """Return the file of a pixel: ``<folder>/order=<order>/pixel=<pixel>.parquet``."""
    return folder / f"order={order}" / f"pixel={pixel}.parquet"


def pixel_of_path(path: Path) -> tuple[int, int] | None:
    """Return order and pixel that a file's name states, or None."""
    found = _NAME.search(path.as_posix())
    return None if found is None else (int(found[1]), int(found[2]))
