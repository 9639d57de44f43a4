"""Aperture corrections: what each flux is multiplied with to be a total flux."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Self, TypeAlias

import numpy as np

from drpflow.data.polynomial import Basis2D, Polynomial2D
from drpflow.data.record import Record, StoredComponent, component
from drpflow.errors import suggest

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class ApCorr:
    """The correction of one flux.

    Parameters
    ----------
    correction
        Reference flux over this flux, as a function of place on the detector.
    error
        Standard deviation of the correction, dimensionless.

    Raises
    ------
    ValueError
        If the error is negative or not finite.
    """

    correction: Polynomial2D
    error: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "error", float(self.error))
        if not 0 <= self.error < np.inf:
            raise ValueError(f"the error of an aperture correction is {self.error}")


@component
@dataclass(frozen=True, eq=False)
class ApCorrMap(StoredComponent, Mapping[str, ApCorr]):
    """Aperture corrections by the name of the flux, such as ``"psfFlux"``.

    Parameters
    ----------
    corrections
        Name to correction, in any order; the order is kept.
    """

    KIND: ClassVar[str] = "ap_corr"
    corrections: Mapping[str, ApCorr] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "corrections", MappingProxyType(dict(self.corrections)))

    def __getitem__(self, name: str) -> ApCorr:
        try:
            return self.corrections[name]
        except KeyError:
            hint = suggest(name, self.corrections)
            raise KeyError(f"no aperture correction for {name!r}{hint}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.corrections)

    def __len__(self) -> int:
        return len(self.corrections)

    __eq__ = StoredComponent.__eq__
    __hash__ = None  # type: ignore[assignment]

    def evaluate(self, name: str, x: ArrayLike, y: ArrayLike) -> Floats:
        """Return the factor for a flux at pixel positions.

        Raises
        ------
        KeyError
            If there is no correction for this flux.
        """
        return self[name].correction(x, y)

    def error(self, name: str) -> float:
        """Return the standard deviation of the factor for a flux.

        Raises
        ------
        KeyError
            If there is no correction for this flux.
        """
        return self[name].error

    def to_record(self) -> Record:
        """Return the stored form."""
        entries = [
            {"name": name, "error": item.error, "basis": item.correction.basis.to_meta()}
            for name, item in self.corrections.items()
        ]
        arrays = {
            f"part{k}_coefficients": item.correction.coefficients
            for k, item in enumerate(self.corrections.values())
        }
        return self._record({"corrections": entries}, arrays)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the map from its stored form."""
        corrections = {}
        for k, entry in enumerate(record.meta["corrections"]):
            polynomial = Polynomial2D(
                Basis2D.from_meta(entry["basis"]), record.arrays[f"part{k}_coefficients"]
            )
            corrections[entry["name"]] = ApCorr(polynomial, entry["error"])
        return cls(corrections)
