"""The section ``makeReport``: what the report shows besides all products, and how it judges."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from drpflow.config.base import StrictModel, param

Limit = tuple[float, float]


def limit(good: float, bad: float, doc: str, *, unit: str = "") -> Any:
    """Declare a figure of which less is better: good up to one value, bad beyond the other."""
    return param((good, bad), doc, unit=unit)


def _pair(pair: Limit) -> Limit:
    good, bad = pair
    if not 0 <= good <= bad:
        raise ValueError(f"[{good:g}, {bad:g}] is no pair 0 ≤ good up to ≤ bad beyond")
    return pair


class LimitsConfig(StrictModel):
    """Limits of figures of the whole run: ``[good up to, bad beyond]``; between them: to watch."""

    lost_jobs: Limit = limit(0, 5, "jobs that failed or gave a part of their products", unit="%")
    lost_detectors: Limit = limit(0, 5, "detector images without all final calibrations", unit="%")
    no_zero_point: Limit = limit(0, 5, "visits without a zero point", unit="%")
    not_solved: Limit = limit(0, 5, "visits without an astrometric solution", unit="%")
    zero_point_error: Limit = limit(5, 10, "error of a zero point, median", unit="mmag")
    repeatability: Limit = limit(
        5, 8, "scatter of bright reserved stars about their means, clear visits", unit="mmag"
    )
    am1: Limit = limit(
        10, 20, "AM1: scatter of separations of 5 arcmin of bright stars", unit="mas"
    )
    am2: Limit = limit(
        10, 20, "AM2: scatter of separations of 20 arcmin of bright stars", unit="mas"
    )
    aa1: Limit = limit(
        50, 100, "AA1: distance of reserved stars from the catalogue, each coordinate", unit="mas"
    )
    psf_size: Limit = limit(
        0.2,
        1,
        "mean dT/T of reserved stars against the final PSF beyond its error, worst band",
        unit="%",
    )
    psf_shape: Limit = limit(
        1,
        5,
        "mean |de| of reserved stars against the final PSF beyond its error, worst band",
        unit="per mil",
    )
    sky_jump: Limit = limit(
        0.1,
        0.5,
        "jumps of the sky across gaps of detectors beyond noise, final background",
        unit="%",
    )
    empty_sky: Limit = limit(
        10, 30, "width of fluxes over their errors on empty sky, off 1, median visit", unit="%"
    )
    classes: Limit = limit(
        2, 5, "sources called otherwise than in most visits, S/N above 20", unit="%"
    )
    coadd_efficiency: Limit = limit(
        5, 20, "lack of the coadds' signal-to-noise ratio, worst band", unit="%"
    )
    truth: Limit = limit(0, 10, "figures of a simulated survey that are not as asked", unit="%")

    @field_validator("*")
    @classmethod
    def _pairs(cls, pair: Limit) -> Limit:
        return _pair(pair)


class VisitLimitsConfig(StrictModel):
    """Limits of the figures of single visits: ``[good up to, bad beyond]``."""

    lost: Limit = limit(0, 25, "detectors that are of no use", unit="%")
    width: Limit = limit(1.3, 2, "PSF width over the median of the band, medians over detectors")
    ellipticity: Limit = limit(0.1, 0.2, "ellipticity of the PSF, median over detectors")
    scatter: Limit = limit(50, 200, "scatter of zero points among the detectors", unit="mmag")
    residual: Limit = limit(
        50, 100, "distance to the reference stars, median over detectors", unit="mas"
    )
    shallow: Limit = limit(0.3, 1, "depth that lacks to the median of the band", unit="mag")

    @field_validator("*")
    @classmethod
    def _pairs(cls, pair: Limit) -> Limit:
        return _pair(pair)


class MakeReportConfig(StrictModel):
    """What the report shows besides all products, and how it judges."""

    light_curves: dict[str, tuple[float, float]] = param(
        {},
        "places of which the report draws light curves, `name: [ra, dec]`, ICRS",
        unit="deg",
        max_length=50,
    )
    light_curve_radius_arcsec: float = param(
        1.0, "farthest that a source may be from such a place", unit="arcsec", gt=0
    )
    visit_pages_mb: float = param(
        12.0,
        "most that the figures of single visits take; visits that stand out come first, and "
        "`drpflow report --visits` shows any others",
        unit="MB",
        ge=0,
    )
    limits: LimitsConfig = Field(
        default_factory=LimitsConfig, description="when a figure is good, and when it is bad"
    )
    visit_limits: VisitLimitsConfig = Field(
        default_factory=VisitLimitsConfig, description="the same of single visits"
    )

    @field_validator("light_curves")
    @classmethod
    def _on_the_sky(cls, places: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        for name, (ra, dec) in places.items():
            if not (0 <= ra < 360 and -90 <= dec <= 90):
                raise ValueError(f"{name}: [{ra:g}, {dec:g}] is no [ra, dec] in degrees")
        return places
