"""What an earlier solution has found of the instrument: for later visits, that it is the same.

It travels in the metadata of the catalogue of that solution's stars, as plain lists and numbers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.data.plane_maps import PolynomialMap
from drpflow.data.polynomial import Basis2D, Domain

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class HeldParameter:
    """A parameter of the photometric model that belongs to the instrument.

    Parameters
    ----------
    name
        As in ``fgcm_parameters``: ``sensitivity``, ``passband_shift`` or ``star_flat_<powers>``.
    value, error
        What was found: mag, nm for ``passband_shift``, a number for ``sensitivity``.
    filter, epoch, detector
        To what a star flat or passband belongs; empty and -1 for ``sensitivity``.
    band
        To what ``sensitivity`` belongs; else empty.
    """

    name: str
    value: float
    error: float
    filter: str = ""
    epoch: int = -1
    detector: int = -1
    band: str = ""


@dataclass(frozen=True, eq=False)
class HeldMap:
    """The static map of a detector.

    Parameters
    ----------
    detector
        Its number.
    mjd
        A time at which it held, TAI.
    error_mas
        Its rms error over the detector in each coordinate, or more.
    polynomial
        Field to field as the detector really is, deg.
    """

    detector: int
    mjd: float
    error_mas: float
    polynomial: PolynomialMap


@dataclass(frozen=True, eq=False)
class SolvedInstrument:
    """Parameters and maps of an earlier solution.

    Parameters
    ----------
    photometry
        Parameters of the photometric model.
    maps
        Static maps, of each detector and epoch of the instrument at most one.
    """

    photometry: tuple[HeldParameter, ...] = ()
    maps: tuple[HeldMap, ...] = ()

    def to_meta(self) -> dict[str, Any]:
        """Return lists and numbers, as JSON has them."""
        maps = [
            {
                "detector": item.detector,
                "mjd": item.mjd,
                "error_mas": item.error_mas,
                "order": item.polynomial.basis.order,
                "domain": asdict(item.polynomial.basis.domain),
                "coefficients": item.polynomial.coefficients.tolist(),
            }
            for item in self.maps
        ]
        return {"photometry": [asdict(item) for item in self.photometry], "maps": maps}

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> SolvedInstrument:
        """Return what :meth:`to_meta` made lists of.

        Raises
        ------
        KeyError, TypeError, ValueError
            If something else made them.
        """
        maps = [
            HeldMap(
                int(item["detector"]),
                float(item["mjd"]),
                float(item["error_mas"]),
                PolynomialMap(
                    Basis2D(item["order"], Domain(**item["domain"])),
                    np.array(item["coefficients"], np.float64),
                ),
            )
            for item in meta["maps"]
        ]
        return cls(tuple(HeldParameter(**item) for item in meta["photometry"]), tuple(maps))
