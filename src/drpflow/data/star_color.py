"""What the colour of a star is: between which bands, and what is usual."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping


class ColorMeaning(NamedTuple):
    """What the colours of the stars of a run are.

    Parameters
    ----------
    bands
        The two bands between which they are; none if that is not known.
    usual_mag
        Median of all stars of the run, of which a piece of the sky holds but some; NaN if not
        known.
    """

    bands: tuple[str, ...] = ()
    usual_mag: float = float("nan")

    def to_meta(self) -> dict[str, Any]:
        """Return it as metadata of a table."""
        if not self.bands or not np.isfinite(self.usual_mag):
            return {}
        return {"color_bands": list(self.bands), "color_usual": round(self.usual_mag, 6)}

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> ColorMeaning:
        """Return what the metadata of a table say."""
        if "color_bands" not in meta:
            return cls()
        return cls(tuple(meta["color_bands"]), float(meta["color_usual"]))
