"""The section ``matchSource``: which sources of all visits are one object."""

from __future__ import annotations

from drpflow.config.base import StrictModel, param


class MatchSourceConfig(StrictModel):
    """Sources of all visits, matched with each other and with the reference catalogue."""

    min_snr: float = param(5.0, "least significance of the PSF flux", unit="sigma", gt=0)
    radius_arcsec: float = param(
        0.5,
        "sources this near to each other may be one, and none is farther from its mean",
        unit="arcsec",
        gt=0,
    )
    radius_pix: float = param(
        1.0, "the same in pixels; the larger of the two counts", unit="pix", ge=0
    )
    reference_radius_arcsec: float = param(
        0.5,
        "largest distance from a star of the catalogue, at the time of the sources",
        unit="arcsec",
        gt=0,
    )
    moving_mas_yr: float = param(
        50.0,
        "sources of stars that move faster than this by the catalogue, or whose parallax is "
        "larger, are looked for along their way",
        unit="mas yr-1",
        gt=0,
    )
    moving_mag: float = param(
        1.5,
        "difference from the catalogue's magnitude with which such a source is its star",
        unit="mag",
        gt=0,
    )
    max_motion_arcsec_yr: float = param(
        2.0, "largest motion of a star that is in no catalogue", unit="arcsec yr-1", ge=0
    )
    max_line_chi2: float = param(
        4.0, "largest chi squared about its way, for each degree of freedom", gt=0
    )
    floor_arcsec: float = param(
        0.003, "error of a position beside that of the centroid", unit="arcsec", gt=0
    )
