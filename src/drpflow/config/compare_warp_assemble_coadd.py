"""The section ``compareWarpAssembleCoadd``: artifacts by comparison of warps, and the coadd."""

from __future__ import annotations

from pydantic import Field

from drpflow.config.base import StrictModel, param
from drpflow.config.mask_planes import MaskPlane  # noqa: TC001 - pydantic reads the annotation


class StaticSkyConfig(StrictModel):
    """The static sky: what the visits have in common."""

    clip_sigma: float = param(
        4.0, "values farther than this from the median are not in the mean", unit="sigma", gt=1
    )
    tolerance: float = param(
        0.05, "share of the median by which values may differ besides, for errors of scale", ge=0
    )
    cell_pix: int = param(
        64,
        "the noise of a visit is measured on squares of this size, whose corners lie at multiples "
        "of it on the tract",
        unit="pix",
        ge=16,
    )
    sample_step_pix: int = param(
        2, "every so many rows and columns are looked at for that", unit="pix", ge=1
    )
    doubtful_planes: tuple[MaskPlane, ...] = param(
        ("BAD", "SAT", "SUSPECT", "CROSSTALK"),
        "pixels with such a plane are in the mean only where no visit has better ones",
    )


class CandidateConfig(StrictModel):
    """Pixels at which a visit differs from the others."""

    threshold: float = param(
        5.0, "least significance of a difference between PSF-matched warps", unit="sigma", gt=0
    )
    low_threshold: float = param(
        3.0,
        "that of the pixels around it that are masked with it, and of pixels that count as "
        "differing in a visit",
        unit="sigma",
        gt=0,
    )
    grow_pix: int = param(6, "how far those may lie from it", unit="pix", ge=0)
    halo_share: float = param(
        0.04,
        "pixels of matched warps below this share of the greatest near by show light that the "
        "matched PSF has spread, and are not masked",
        ge=0,
        lt=1,
    )
    halo_pix: int = param(14, "how near that is", unit="pix", ge=0)
    amplitude: float = param(
        0.03,
        "share of the brightest sky near by that differences may have from errors of PSF, position "
        "and scale; it counts as noise, which keeps bright stars",
        ge=0,
    )
    amplitude_reach_pix: int = param(4, "how near that is", unit="pix", ge=0)
    floor: float = param(
        0.1,
        "unevenness of backgrounds, as a share of the noise of a pixel of the direct warp; it "
        "counts as noise",
        ge=0,
    )
    direct_threshold: float = param(
        6.0,
        "least significance of a difference between direct warps, for what is too sharp to be "
        "seen in matched ones, such as cosmic rays",
        unit="sigma",
        gt=0,
    )
    joint_threshold: float = param(
        4.5,
        "that of a difference between direct warps which the matched ones show as well",
        unit="sigma",
        gt=0,
    )
    direct_amplitude: float = param(
        0.5,
        "share of the brightest sky near by that differences between direct warps may have: the "
        "PSFs of visits differ",
        ge=0,
    )
    direct_reach_pix: int = param(5, "how near that is", unit="pix", ge=0)
    min_good_fraction: float = param(
        0.2,
        "candidates with a smaller share of pixels without a doubtful plane about them are made by "
        "those, and dropped",
        ge=0,
        le=1,
    )
    source_threshold: float = param(
        10.0,
        "sources of the static sky above this keep differences that have their place and shape: "
        "they are variable",
        unit="sigma",
        gt=0,
    )
    source_distance_pix: float = param(
        1.5, "how near the peak of such a difference lies to the source", unit="pix", gt=0
    )
    source_share: float = param(
        1.0,
        "differences whose peak is no more than this share of the static light beneath are kept as "
        "well: a source in the light of another has no peak of its own",
        ge=0,
    )
    source_reach_pix: int = param(
        24, "largest radius about a source that is kept", unit="pix", ge=1
    )


class StreakConfig(StrictModel):
    """Trails of satellites: straight lines, followed over a length of many PSFs."""

    enabled: bool = param(True, "look for them")
    bins_per_line: int = param(
        17, "length of a line that is tried, in bins of half the FWHM of the matched PSF", ge=5
    )
    bins_per_long_line: int = param(33, "length of long lines, for faint trails", ge=5)
    directions: int = param(
        36, "directions that are tried, over 180 degrees; of long lines twice as many", ge=8
    )
    threshold: float = param(
        1.8,
        "least mean significance of the pixels of a line above those beside it",
        unit="sigma",
        gt=0,
    )
    long_threshold: float = param(1.0, "that of a long line", unit="sigma", gt=0)
    piece_share: float = param(
        0.55, "least mean in three of the four quarters of a line, as a share of that", gt=0, lt=1
    )
    clip_sigma: float = param(
        3.0, "greater significances count as this: a line is no row of spots", unit="sigma", gt=0
    )
    beside_bins: int = param(6, "distance of the lines beside it, in bins", ge=2)
    wing_bins: int = param(5, "farthest wings of a trail, in bins", ge=0)
    wing_threshold: float = param(
        0.15,
        "least mean of wings, along lines parallel to it, in noises of a pixel of the direct warp",
        unit="sigma",
        gt=0,
    )
    grow_pix: int = param(
        1, "the masks of lines grow by this: bins hold them, but for half a bin", unit="pix", ge=0
    )
    max_persistent: float = param(
        0.5,
        "a line of which a larger share differs in more visits than artifacts do is on the sky",
        ge=0,
        le=1,
    )


class GhostConfig(StrictModel):
    """Ghosts and glints: wide light of low surface brightness."""

    enabled: bool = param(True, "look for them")
    bin_pix: int = param(16, "they are looked for in squares of this size", unit="pix", ge=4)
    threshold: float = param(
        0.35, "least mean of a square, in noises of a pixel of the direct warp", unit="sigma", gt=0
    )
    low_threshold: float = param(
        0.2, "that of squares beside it that belong to it", unit="sigma", gt=0
    )
    clip_sigma: float = param(
        0.7,
        "greater values of pixels count as this, so that a spot does not fill a square",
        unit="sigma",
        gt=0,
    )


class EpochConfig(StrictModel):
    """In how many visits a place may differ and still be an artifact in each of them.

    The number is max(1, min(fraction · N, base + slope · N)) for N visits.
    """

    fraction: float = param(0.4, "largest share of the visits", gt=0, lt=1)
    base: float = param(2.0, "number for few visits", ge=0)
    slope: float = param(0.03, "more for each visit", ge=0)
    window_pix: int = param(
        7, "neighbours within this distance decide by majority", unit="pix", ge=0
    )
    majority: float = param(0.5, "share of them that must be few", gt=0, le=1)


class CompareWarpAssembleCoaddConfig(StrictModel):
    """From warps to a coadd."""

    static_sky: StaticSkyConfig = Field(
        default_factory=StaticSkyConfig, description="what the visits have in common"
    )
    candidates: CandidateConfig = Field(
        default_factory=CandidateConfig, description="where a visit differs"
    )
    streaks: StreakConfig = Field(default_factory=StreakConfig, description="trails")
    ghosts: GhostConfig = Field(default_factory=GhostConfig, description="wide faint light")
    epochs: EpochConfig = Field(
        default_factory=EpochConfig, description="what is an artifact and what is variable"
    )
    grow_pix: int = param(2, "masks of artifacts other than lines grow by this", unit="pix", ge=0)
    rejected_planes: tuple[MaskPlane, ...] = param(
        ("BAD", "SAT", "SUSPECT", "CR", "CROSSTALK"),
        "pixels with such a plane are not in the coadd, unless no visit has better ones",
    )
    saturated_fraction: float = param(
        0.1, "a coadd's pixel is saturated if a larger share of the weight was", gt=0, le=1
    )
    bright_objects: str | None = param(
        None,
        "region file with circles and boxes that get the plane BRIGHT_OBJECT; none if unset",
    )
    memory_mb: int = param(800, "pixels of all visits that are held at a time", unit="MB", ge=50)
