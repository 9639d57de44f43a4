"""The section ``measureSky``: the sky of a visit in small cells."""

from __future__ import annotations

from pydantic import Field

from drpflow.config.background import SourceMaskConfig
from drpflow.config.base import StrictModel, param


class MeasureSkyConfig(StrictModel):
    """Means of the sky pixels of small cells, sources masked."""

    cell_pix: int = param(16, "side of the cells", unit="pix", ge=4)
    flatten_cells: int = param(
        3,
        "sources are looked for on top of the median of the cells within this many on either "
        "side, so that wings of stars and large galaxies stay in the samples",
        ge=1,
    )
    clip_sigma: float = param(
        5.0,
        "pixels further from that median do not count. Light of cosmic rays and hot pixels goes, "
        "and the mean of photon noise stays",
        unit="sigma",
        gt=1,
    )
    default_sigma_pix: float = param(
        2.0, "width of the PSF where a detector has none", unit="pix", gt=0
    )
    mask: SourceMaskConfig = Field(
        default_factory=SourceMaskConfig, description="which pixels belong to sources"
    )
