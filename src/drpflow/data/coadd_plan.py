"""Which visits and detectors enter the coadds of a tract in a band, and with which weight."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Columns: TypeAlias = Mapping[str, NDArray[Any]]

FWHM_OF_SIGMA = float(np.sqrt(8 * np.log(2)))
"""FWHM of a Gaussian over its sigma."""


@dataclass(frozen=True, eq=False)
class CoaddPlan:
    """The plan of a tract and band.

    Parameters
    ----------
    columns
        Columns of ``coadd_plan``, a row a detector of a visit.
    target_sigma_pix
        Size of the PSF to which visits are brought for comparison: the adaptive sigma, in pixels
        of the coadd. None if no detector is used.
    limits
        Limit of each figure that was judged.
    efficiency
        Signal-to-noise ratio of a point source on the mean with these weights, over that of all
        visits each with a filter of its own. None if no detector is used.
    """

    columns: Columns
    target_sigma_pix: float | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    efficiency: float | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.columns["visit"])

    @property
    def target_fwhm_pix(self) -> float | None:
        """FWHM of a Gaussian of the size of the target PSF, pixels of the coadd."""
        return None if self.target_sigma_pix is None else FWHM_OF_SIGMA * self.target_sigma_pix

    @property
    def visits(self) -> list[int]:
        """Visits of which a detector is used, ascending."""
        return np.unique(self.columns["visit"][self.columns["used"]]).tolist()

    def weight(self, visit: int) -> float:
        """Return the weight of a visit, nJy⁻²; 0 for one that is not used."""
        rows = self._rows.get(visit, [])
        weights = [float(self.columns["weight"][k]) for k in rows if self.columns["used"][k]]
        return weights[0] if weights else 0.0

    def psf_area(self, visit: int) -> float:
        """Return the effective area of the PSF of a visit, arcsec²; NaN for one that is not used.

        The median of its detectors that are used.
        """
        rows = self._rows.get(visit, [])
        areas = [float(self.columns["psf_area"][k]) for k in rows if self.columns["used"][k]]
        return float(np.median(areas)) if areas else float("nan")

    def detectors(self, visit: int, *, matched: bool = False) -> tuple[int, ...]:
        """Return the detectors of a visit that are used, ascending.

        Parameters
        ----------
        visit
            The visit.
        matched
            Those that are brought to the target PSF, instead of those in the coadd.
        """
        used = self.columns["used_matched" if matched else "used"]
        rows = self._rows.get(visit, [])
        return tuple(sorted(int(self.columns["detector"][k]) for k in rows if used[k]))

    def reason(self, visit: int, detector: int, *, matched: bool = False) -> str:
        """Return why a detector is not used; empty if it is.

        Parameters
        ----------
        visit, detector
            The detector.
        matched
            Why it is not brought to the target PSF, instead of why it is not in the coadd.
        """
        column = self.columns["reason_matched" if matched else "reason"]
        for k in self._rows.get(visit, []):
            if int(self.columns["detector"][k]) == detector:
                return str(column[k])
        return f"visit {visit}, detector {detector} is not in the plan"

    @cached_property
    def _rows(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for k, visit in enumerate(self.columns["visit"].tolist()):
            found.setdefault(visit, []).append(k)
        return found
