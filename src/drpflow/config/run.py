"""The run configuration, ``config/config.yaml``: what goes in, what comes out, and how.

One section per task, under the task's label. Every file is named relative to the folder in
which the workflow runs, not to the config file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from drpflow.config.associate_isolated_stars import AssociateIsolatedStarsConfig
from drpflow.config.base import StrictModel, param, validate
from drpflow.config.calibrate_image import CalibrateImageConfig
from drpflow.config.compare_warp_assemble_coadd import CompareWarpAssembleCoaddConfig
from drpflow.config.compress_image import CompressImageConfig
from drpflow.config.consolidate_source_table import ConsolidateSourceTableConfig
from drpflow.config.consolidate_visit import ConsolidateVisitConfig
from drpflow.config.fgcm_make_look_up_table import FgcmMakeLookUpTableConfig
from drpflow.config.fgcm_task import FgcmTaskConfig
from drpflow.config.finalize_astrometry import FinalizeAstrometryConfig
from drpflow.config.finalize_characterization import FinalizeCharacterizationConfig
from drpflow.config.finalize_image import FinalizeImageConfig
from drpflow.config.fit_stellar_motions import FitStellarMotionsConfig
from drpflow.config.isr import IsrConfig
from drpflow.config.make_report import MakeReportConfig
from drpflow.config.make_sky_frame import MakeSkyFrameConfig
from drpflow.config.make_warp import MakeWarpConfig
from drpflow.config.match_source import MatchSourceConfig
from drpflow.config.measure_sky import MeasureSkyConfig
from drpflow.config.model_visit_background import ModelVisitBackgroundConfig
from drpflow.config.plan_coaddition import PlanCoadditionConfig
from drpflow.config.sky_map import SkyMapConfig
from drpflow.config.skypix import SkypixConfig
from drpflow.config.solve_astrometry_task import SolveAstrometryTaskConfig
from drpflow.config.update_visit_summary import UpdateVisitSummaryConfig
from drpflow.errors import InputError


class RunConfig(StrictModel):
    """A run: the survey, the output root and the sections of the tasks."""

    camera: str = param(
        ..., "camera file (*.yaml), or the name of one that comes with drpflow (config/cameras)"
    )
    sheets: Path = param(
        ..., "folder of visits.tsv, exposures.tsv and calibrations.tsv, as drpflow ingest writes it"
    )
    reference_stars: Path | None = param(
        None, "reference catalogue: a Parquet file, or a folder of them; none if unset"
    )
    output: Path = param(Path("results"), "folder of all products, the root of a Store")
    visits: tuple[int | str, ...] | None = param(
        None, "visits to process, as numbers and ranges such as 10-20; all of the sheet if unset"
    )
    keep: tuple[str, ...] = param(
        (), "temporary dataset types to keep; the others are deleted once they have been used"
    )
    batch: Literal["detector", "visit"] = param(
        "detector",
        "what one job of isr, calibrateImage, finalizeImage and compressImage does: a detector, or "
        "all of a visit, which spares the start of a process for each",
    )
    shard: str | None = param(
        None,
        "stages and parts of the run that the target `shard` makes, as drpflow shards names them",
    )
    skypix: SkypixConfig = Field(
        default_factory=SkypixConfig,
        description="pieces of the sky that are worked on one by one",
    )
    skyMap: SkyMapConfig = Field(  # noqa: N815 - as the sections of the tasks
        default_factory=SkyMapConfig,
        description="tracts and patches, on which coadds are made",
    )
    isr: IsrConfig = Field(default_factory=IsrConfig, description="raw frame to detrended image")
    calibrateImage: CalibrateImageConfig = Field(  # noqa: N815 - the task's label
        default_factory=CalibrateImageConfig,
        description="first background, PSF, astrometry and photometry of a detector",
    )
    consolidateVisit: ConsolidateVisitConfig = Field(  # noqa: N815
        default_factory=ConsolidateVisitConfig,
        description="the detectors of a visit gathered, and those that failed rescued",
    )
    associateIsolatedStars: AssociateIsolatedStarsConfig = Field(  # noqa: N815
        default_factory=AssociateIsolatedStarsConfig,
        description="isolated stars matched over all visits, and some of them reserved",
    )
    fgcmMakeLookUpTable: FgcmMakeLookUpTableConfig = Field(  # noqa: N815
        default_factory=FgcmMakeLookUpTableConfig,
        description="integrals of the passbands through any air, and the air of the standard "
        "magnitudes",
    )
    fgcm: FgcmTaskConfig = Field(
        default_factory=FgcmTaskConfig,
        description="one photometric calibration of all visits",
    )
    solveAstrometry: SolveAstrometryTaskConfig = Field(  # noqa: N815
        default_factory=SolveAstrometryTaskConfig,
        description="one astrometric solution of all visits about a piece of the sky",
    )
    measureSky: MeasureSkyConfig = Field(  # noqa: N815
        default_factory=MeasureSkyConfig,
        description="the sky of a visit in small cells",
    )
    makeSkyFrame: MakeSkyFrameConfig = Field(  # noqa: N815
        default_factory=MakeSkyFrameConfig,
        description="the pattern of the empty sky in a filter",
    )
    modelVisitBackground: ModelVisitBackgroundConfig = Field(  # noqa: N815
        default_factory=ModelVisitBackgroundConfig,
        description="one model of the sky for the whole focal plane",
    )
    finalizeCharacterization: FinalizeCharacterizationConfig = Field(  # noqa: N815
        default_factory=FinalizeCharacterizationConfig,
        description="final PSF and aperture corrections of a visit",
    )
    finalizeAstrometry: FinalizeAstrometryConfig = Field(  # noqa: N815
        default_factory=FinalizeAstrometryConfig,
        description="the astrometric solution again, from final centroids",
    )
    updateVisitSummary: UpdateVisitSummaryConfig = Field(  # noqa: N815
        default_factory=UpdateVisitSummaryConfig,
        description="the final components of a visit, checked, and their statistics",
    )
    planCoaddition: PlanCoadditionConfig = Field(  # noqa: N815
        default_factory=PlanCoadditionConfig,
        description="which visits enter a coadd, with which weights",
    )
    makeWarp: MakeWarpConfig = Field(  # noqa: N815
        default_factory=MakeWarpConfig,
        description="visits resampled to patches, as they are and with a matched PSF",
    )
    compareWarpAssembleCoadd: CompareWarpAssembleCoaddConfig = Field(  # noqa: N815
        default_factory=CompareWarpAssembleCoaddConfig,
        description="what moves found by comparison of visits, and the mean of the rest",
    )
    finalizeImage: FinalizeImageConfig = Field(  # noqa: N815
        default_factory=FinalizeImageConfig,
        description="the final image and its sources, measured with the final models",
    )
    consolidateSourceTable: ConsolidateSourceTableConfig = Field(  # noqa: N815
        default_factory=ConsolidateSourceTableConfig,
        description="the sources of a visit in one table",
    )
    matchSource: MatchSourceConfig = Field(  # noqa: N815
        default_factory=MatchSourceConfig,
        description="sources of all visits that are one object",
    )
    fitStellarMotions: FitStellarMotionsConfig = Field(  # noqa: N815
        default_factory=FitStellarMotionsConfig,
        description="positions, motions and parallaxes of matched sources",
    )
    compressImage: CompressImageConfig = Field(  # noqa: N815
        default_factory=CompressImageConfig,
        description="final images in less space",
    )
    makeReport: MakeReportConfig = Field(  # noqa: N815
        default_factory=MakeReportConfig,
        description="the page on the whole run, and when it calls a figure good",
    )

    @field_validator("visits")
    @classmethod
    def _ranges(cls, visits: tuple[int | str, ...] | None) -> tuple[int | str, ...] | None:
        for item in visits or ():
            if isinstance(item, str):
                _range(item)
        return visits

    def selects(self, visit: int) -> bool:
        """Return whether a visit belongs to the run."""
        if self.visits is None:
            return True
        spans = [(v, v) if isinstance(v, int) else _range(v) for v in self.visits]
        return any(first <= visit <= last for first, last in spans)

    def section(self, task: str) -> str:
        """Return a task's section as JSON, without what has its default value.

        A default that changes is a change of code, and the code fingerprint tells it.
        """
        model: StrictModel = getattr(self, task)
        return json.dumps(model.model_dump(mode="json", exclude_defaults=True), sort_keys=True)


# Sections that belong to no task.
_SHARED_SECTIONS = {"skypix", "skyMap"}
# Labels of the tasks that have a section.
TASK_SECTIONS = tuple(
    name
    for name, field in RunConfig.model_fields.items()
    if isinstance(field.annotation, type)
    and issubclass(field.annotation, StrictModel)
    and name not in _SHARED_SECTIONS
)


def build_run(values: Any, source: str | Path) -> RunConfig:
    """Validate a run configuration that has been read already.

    Parameters
    ----------
    values
        What YAML gave.
    source
        The file that `values` came from.

    Raises
    ------
    InputError
        If it holds an unknown key or a bad value.
    """
    if values is not None and not isinstance(values, dict):
        raise InputError(source, "it holds no 'key: value' lines", "See config/README.md")
    return validate(RunConfig, values, source)


def _range(text: str) -> tuple[int, int]:
    """Return the first and last visit of ``"10-20"``."""
    first, dash, last = text.partition("-")
    if not (dash and first.strip().isdecimal() and last.strip().isdecimal()):
        raise ValueError(f"{text!r} is no range of visits such as 10-20")
    return int(first), int(last)
