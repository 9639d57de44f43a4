"""What the fit of stellar motions works on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from drpflow.data.reference_stars import ReferenceStars

    Columns: TypeAlias = dict[str, NDArray[Any]]
    Floats: TypeAlias = NDArray[np.float64]
    Integers: TypeAlias = NDArray[np.int64]

SOURCE_COLUMNS = (
    *("sourceId", "ra", "dec", "xErr", "yErr", "x_y_Cov", "psfFlux", "psfFluxErr"),
    *(f"localWcs_CDMatrix_{i}_{j}" for i in (1, 2) for j in (1, 2)),
)
"""Columns of ``source`` that are used, beside the flags."""
MATCH_COLUMNS = (
    *("source_match_id", "ra", "dec", "snr", "extendedness", "n_source", "span"),
    *("reference_id", "flag"),
)
"""Columns of ``source_matches`` that are used."""


@dataclass(frozen=True, eq=False)
class SolvedVisits:
    """What astrometric solutions say of visits, K rows.

    Parameters
    ----------
    visit, skypix
        Visit, and piece of the sky that was solved.
    floor_mas
        Scatter beside the errors of centroids, NaN where unknown.
    refraction_mas, refraction_err_mas
        East and north for each magnitude, (K, 2), NaN where unknown.
    reference_color
        Colour of the star for which WCSs hold, NaN where unknown.
    color_bands
        The two bands of the colour, empty where unknown.
    """

    visit: Integers
    skypix: Integers
    floor_mas: Floats
    refraction_mas: Floats
    refraction_err_mas: Floats
    reference_color: float = float("nan")
    color_bands: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class MotionInput:
    """What fitStellarMotions works on.

    Parameters
    ----------
    matches
        `MATCH_COLUMNS` of ``source_matches``, by identifier.
    rows
        ``source_match_id``, ``visit``, ``detector`` of ``source_matches_join`` and the
        `SOURCE_COLUMNS` of each source, with ``usable``; a row a source.
    mjd, band
        Of each visit.
    detectors
        ``visit``, ``detector``, ``wcs_skypix`` and ``wcs_error`` [arcsec] of all detectors.
    solved
        What astrometric solutions say.
    references
        The catalogue, None without.
    min_snr
        Significance from which sources were matched.
    """

    matches: Columns
    rows: Columns
    mjd: Mapping[int, float]
    band: Mapping[int, str]
    detectors: Columns
    solved: SolvedVisits
    references: ReferenceStars | None = None
    min_snr: float = 5.0
