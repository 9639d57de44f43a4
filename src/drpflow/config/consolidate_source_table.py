"""The section ``consolidateSourceTable``."""

from __future__ import annotations

from drpflow.config.base import StrictModel, param


class ConsolidateSourceTableConfig(StrictModel):
    """The sources of a visit in one table."""

    coverage_order: int = param(
        14,
        "HEALPix order of the cells of which the coverage is made; 14 are 12.9 arcsec",
        ge=0,
        le=29,
    )
