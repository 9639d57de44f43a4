"""The section ``ap_corr``: how fluxes are brought to a common aperture."""

from __future__ import annotations

from drpflow.config.base import StrictModel, param


class ApCorrConfig(StrictModel):
    """Corrections of fluxes for aperture, from stars of the detector."""

    fluxes: tuple[str, ...] = param(
        ("psfFlux", "gaussianFlux", "compGaussianFlux3", "compGaussianFlux5"),
        "fluxes that are corrected",
    )
    required: tuple[str, ...] = param(
        ("psfFlux",), "fluxes without whose correction the detector fails; others get none"
    )
    max_order: int = param(2, "highest degree of the polynomials of place", ge=0, le=4)
    stars_per_term: float = param(4.0, "stars that a polynomial term needs", ge=1)
    min_stars: int = param(3, "fewer stars make no correction", ge=2)
    min_snr: float = param(30.0, "least signal-to-noise ratio of the reference flux", gt=0)
    clip_sigma: float = param(4.0, "stars that deviate by more are left out", unit="sigma", gt=1)
    clip_rounds: int = param(4, "rounds of clipping", ge=1, le=50)
    scatter_floor: float = param(
        0.002, "relative scatter of single stars that is always allowed for", ge=0, lt=1
    )
