"""Numbers that summarise the image of one detector, with their units.

Names are those of Rubin's VisitDetector table (and of ``lsst.images``) where they exist there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from drpflow.data.record import Record, StoredComponent, component
from drpflow.errors import suggest


class Statistic(NamedTuple):
    """Unit and meaning of one statistic; a count has no fraction."""

    unit: str
    doc: str
    is_count: bool = False


STATISTICS: Mapping[str, Statistic] = MappingProxyType(
    {
        "ra": Statistic("deg", "right ascension of the centre of the image"),
        "dec": Statistic("deg", "declination of the centre of the image"),
        "llcra": Statistic("deg", "right ascension of the corner (0, 0)"),
        "llcdec": Statistic("deg", "declination of the corner (0, 0)"),
        "lrcra": Statistic("deg", "right ascension of the corner (nx, 0)"),
        "lrcdec": Statistic("deg", "declination of the corner (nx, 0)"),
        "urcra": Statistic("deg", "right ascension of the corner (nx, ny)"),
        "urcdec": Statistic("deg", "declination of the corner (nx, ny)"),
        "ulcra": Statistic("deg", "right ascension of the corner (0, ny)"),
        "ulcdec": Statistic("deg", "declination of the corner (0, ny)"),
        "pixelScale": Statistic("arcsec/pix", "side of a pixel at the centre"),
        "zenithDistance": Statistic("deg", "zenith distance of the centre"),
        "expTime": Statistic("s", "exposure time"),
        "psfSigma": Statistic("pix", "determinant radius of the PSF at the centre"),
        "psfArea": Statistic("pix2", "effective area of the PSF, (sum p)^2 / sum p^2"),
        "psfIxx": Statistic("pix2", "adaptive moment xx of the PSF at the centre"),
        "psfIyy": Statistic("pix2", "adaptive moment yy of the PSF at the centre"),
        "psfIxy": Statistic("pix2", "adaptive moment xy of the PSF at the centre"),
        "nPsfStar": Statistic("", "stars that the PSF was made from", is_count=True),
        "psfStarDeltaE1Median": Statistic("", "median of e1 of stars minus PSF"),
        "psfStarDeltaE2Median": Statistic("", "median of e2 of stars minus PSF"),
        "psfStarDeltaE1Scatter": Statistic("", "scatter (MAD) of e1 of stars minus PSF"),
        "psfStarDeltaE2Scatter": Statistic("", "scatter (MAD) of e2 of stars minus PSF"),
        "psfStarDeltaSizeMedian": Statistic("pix", "median of size of stars minus PSF"),
        "psfStarDeltaSizeScatter": Statistic("pix", "scatter (MAD) of size of stars minus PSF"),
        "psfStarScaledDeltaSizeScatter": Statistic("", "the same over the size squared of the PSF"),
        "psfTraceRadiusDelta": Statistic("pix", "range of the PSF's trace radius on the image"),
        "psfApFluxDelta": Statistic("", "range of the PSF's aperture flux on the image"),
        "psfApCorrSigmaScaledDelta": Statistic(
            "", "range of the aperture correction over the PSF sigma on the image"
        ),
        "maxDistToNearestPsf": Statistic("pix", "largest distance of a pixel to a PSF star"),
        "starEMedian": Statistic("", "median ellipticity of the PSF stars"),
        "starUnNormalizedEMedian": Statistic("pix2", "median of their unnormalised ellipticity"),
        "zeroPoint": Statistic("mag", "AB magnitude of 1 electron in the exposure"),
        "skyBg": Statistic("electron", "median sky level"),
        "skyNoise": Statistic("electron", "noise of the sky per pixel"),
        "meanVar": Statistic("electron2", "mean of the variance plane"),
        "astromOffsetMean": Statistic("arcsec", "mean distance of stars to their reference"),
        "astromOffsetStd": Statistic("arcsec", "scatter of that distance"),
        "magLim": Statistic("mag", "AB magnitude of a point source at 5 sigma"),
        "effTime": Statistic("s", "effective exposure time"),
        "effTimePsfSigmaScale": Statistic("", "its factor from the size of the PSF"),
        "effTimeSkyBgScale": Statistic("", "its factor from the sky level"),
        "effTimeZeroPointScale": Statistic("", "its factor from the zero point"),
        "nAstromStar": Statistic("", "stars in the astrometric fit", is_count=True),
        "nPhotomStar": Statistic("", "stars in the photometric fit", is_count=True),
        "nBlendSkipped": Statistic("", "blends too large to separate", is_count=True),
        "maskedFraction": Statistic("", "fraction of the pixels that are unusable"),
    }
)
"""Every statistic that may be stored."""


@component
@dataclass(frozen=True, eq=False)
class SummaryStats(StoredComponent, Mapping[str, float]):
    """Statistics by name. What was not measured is missing, and reads as NaN with :meth:`value`.

    Parameters
    ----------
    values
        Name to number. None and NaN mean missing and are dropped.

    Raises
    ------
    KeyError
        If a name is not in `STATISTICS`, naming the nearest.
    ValueError
        If a number is infinite, or a count no whole number.
    """

    KIND: ClassVar[str] = "summary_stats"
    values_by_name: Mapping[str, float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept: dict[str, float] = {}
        for name, value in self.values_by_name.items():
            if name not in STATISTICS:
                raise KeyError(f"no statistic {name!r}{suggest(name, STATISTICS)}")
            if value is not None and not np.isnan(value):
                kept[name] = _checked(name, value)
        object.__setattr__(self, "values_by_name", MappingProxyType(kept))

    def __getitem__(self, name: str) -> float:
        try:
            value = self.values_by_name[name]
        except KeyError:
            known = "was not measured" if name in STATISTICS else "does not exist"
            hint = "" if name in STATISTICS else suggest(name, STATISTICS)
            raise KeyError(f"statistic {name!r} {known}{hint}") from None
        assert value is not None
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)

    __eq__ = StoredComponent.__eq__
    __hash__ = None  # type: ignore[assignment]

    def value(self, name: str) -> float:
        """Return a statistic, NaN if it was not measured.

        Raises
        ------
        KeyError
            If there is no statistic of this name.
        """
        if name in STATISTICS and name not in self:
            return float("nan")
        return self[name]

    @staticmethod
    def unit(name: str) -> str:
        """Return the unit of a statistic.

        Raises
        ------
        KeyError
            If there is no statistic of this name.
        """
        return STATISTICS[name].unit

    def updated(self, **values: float | None) -> SummaryStats:
        """Return the statistics with some added or replaced; None removes one."""
        return SummaryStats({**self.values_by_name, **values})

    def to_record(self) -> Record:
        """Return the stored form."""
        meta: dict[str, Any] = dict(self.values_by_name)
        return self._record({"values": meta})

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the statistics from their stored form."""
        return cls(record.meta["values"])


def _checked(name: str, value: float) -> float:
    if np.isinf(value):
        raise ValueError(f"statistic {name!r} is {value}")
    if not STATISTICS[name].is_count:
        return float(value)
    if int(value) != value:
        raise ValueError(f"statistic {name!r} counts, and is {value}")
    return int(value)
