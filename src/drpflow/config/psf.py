"""The sections ``star_selection`` and ``psf``: which stars, and how the model is made of them."""

from __future__ import annotations

from pydantic import Field

from drpflow.config.base import StrictModel, param


class StarSelectionConfig(StrictModel):
    """Stars told from galaxies and artifacts by their size alone."""

    min_snr: float = param(
        30.0, "least signal-to-noise ratio of the flux that finds the locus of the stars", gt=0
    )
    fallback_snr: float = param(
        20.0, "least ratio where fewer than `min_stars` are found with the first", gt=0
    )
    min_stars: int = param(12, "stars below which the looser limits are tried", ge=1)
    max_stars: int = param(400, "brightest stars that are kept, spread over the image", ge=3)
    min_sigma_pix: float = param(0.5, "least size, as the sigma of a Gaussian", unit="pix", gt=0)
    max_sigma_pix: float = param(10.0, "largest size", unit="pix", gt=0)
    kernel_width: float = param(
        0.03, "smoothing of the distribution of the logarithms of sizes", gt=0, lt=1
    )
    peak_fraction: float = param(
        0.5,
        "the locus is the smallest size whose density reaches this fraction of the largest",
        gt=0,
        le=1,
    )
    max_width: float = param(
        0.15, "a star differs from the locus by less than this fraction of the size", gt=0
    )
    clip_sigma: float = param(
        3.0, "and by less than this from the field of sizes and ellipticities", unit="sigma", gt=1
    )
    width_floor: float = param(
        0.02, "scatter of sizes and ellipticities always allowed for", gt=0, lt=1
    )
    neighbor_radius: float = param(
        6.0, "neighbours within this many sigma of the PSF contaminate", unit="sigma", ge=0
    )
    max_neighbor_fraction: float = param(
        0.02, "most flux of such neighbours, as a fraction of the star's", ge=0
    )
    border_sigma: float = param(
        4.0, "least distance from the border of the image", unit="sigma", ge=0
    )


class NeighborConfig(StrictModel):
    """Other sources in the images of the stars, taken off as point sources."""

    threshold: float = param(
        5.0, "significance of the faintest neighbours that are known", unit="sigma", gt=0
    )
    reach_sigma: float = param(
        10.0, "a neighbour's light reaches this many sigma of the PSF", unit="sigma", gt=2
    )
    fit_radius_sigma: float = param(
        2.5, "pixels within this many sigma tell its flux and place", unit="sigma", gt=0.5
    )
    position_rounds: int = param(2, "how often places are improved", ge=0, le=10)
    sweeps: int = param(5, "visits of all sources in each joint fit", ge=1, le=100)
    first_error: float = param(
        0.2, "relative error of the profile with which neighbours are first taken off", ge=0, le=1
    )
    error: float = param(
        0.05, "the same, of a model: pixels where it exceeds their noise are not used", ge=0, le=1
    )


class StarImagesConfig(StrictModel):
    """How a model of the point spread function is made from pixels of stars."""

    pixel_order: int = param(
        1, "highest degree with which free pixel values, beyond the modes, may vary", ge=0, le=5
    )
    stars_per_term: float = param(
        3.0, "stars that a polynomial term of the modes needs; with fewer the order falls", ge=1
    )
    stars_per_pixel_term: float = param(
        20.0, "stars that a polynomial term of the free pixels needs", ge=1
    )
    min_stars: int = param(3, "fewer stars make no model", ge=1)
    half_size_fwhm: float = param(
        3.5, "half the size of the images, as a multiple of the FWHM", ge=1.5, le=10
    )
    min_half_size_pix: int = param(9, "least half size", unit="pix", ge=3)
    max_half_size_pix: int = param(40, "largest half size", unit="pix", ge=5)
    fine_grid_sigma_pix: float = param(
        1.1, "sharper PSFs are modelled on a grid of half-pixel steps", unit="pix", ge=0
    )
    kernel_order: int = param(9, "zeros of the interpolation kernel on each side", ge=3, le=20)
    relative_error: float = param(
        0.005,
        "error of the model itself, as a fraction of its value: no star outweighs all others",
        ge=0,
        lt=0.5,
    )
    outlier_sigma: float = param(
        5.0, "pixels that deviate by more belong to something else", unit="sigma", gt=2
    )
    star_outlier_sigma: float = param(
        4.0, "stars that deviate from the model by more are left out", unit="sigma", gt=2
    )
    max_masked_light: float = param(
        0.1, "most of a star's light on pixels that are not used", gt=0, lt=1
    )
    iterations: int = param(6, "rounds of places and fluxes, model, rejection", ge=2, le=50)
    centering_tolerance_pix: float = param(
        1e-4, "centroids of the final model lie this near to the centre", unit="pix", gt=0
    )
    neighbors: NeighborConfig = Field(
        default_factory=NeighborConfig, description="light of other sources on the stars' pixels"
    )


class PsfConfig(StarImagesConfig):
    """Model of the point spread function of a detector by itself."""

    order: int = param(2, "highest degree of the polynomials of place", ge=0, le=5)
    reserve_fraction: float = param(0.15, "stars held back to judge the model", ge=0, lt=0.6)
    min_used_with_reserve: int = param(
        12, "none are held back if fewer stars than this would be left", ge=1
    )
