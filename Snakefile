"""drpflow: raw CCD frames in, calibrated visit images, source tables and coadds out.

Targets: all (the default), prompt (isr, calibrateImage, consolidateVisit: what alert
production shares), calibration (what is made of all visits together), coadds, final, rebuilt
(pixels of final images without loss, after `final`), report.
The rules stand in workflow/rules, in the order in which the pixels meet them; every path
comes from config/datasets.yaml. docs/running.md tells how to run this, config/README.md
how to configure it.
"""

from snakemake.utils import min_version

from drpflow.workflow import job_server

min_version("9.27")


if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/1_visit.smk"
include: "workflow/rules/2_association.smk"
include: "workflow/rules/3_fgcm.smk"
include: "workflow/rules/4_solve_astrometry.smk"
include: "workflow/rules/5_second_look.smk"
include: "workflow/rules/6_coadd.smk"
include: "workflow/rules/7_final.smk"


if PLAN.by_visit:

    include: "workflow/rules/batch.smk"


include: "workflow/rules/8_report.smk"


# Jobs on this machine are forks of one process: docs/decisions/job-server.md.
onstart:
    job_server.start(workflow)


# What isr, calibrateImage and consolidateVisit make, as far as this run keeps it.
PROMPT = [
    kept("post_isr_image"),
    kept("post_isr_thumbnail"),
    kept("isr_statistics"),
    kept("initial_pvi"),
    kept("initial_background"),
    kept("initial_stars_detector"),
    kept("initial_stars_footprints_detector"),
    kept("initial_thumbnail"),
    kept("initial_stars"),
    kept("initial_visit_summary"),
]

# What the global steps make of all visits.
GLOBAL = [
    kept("isolated_stars"),
    kept("isolated_stars_source"),
    kept("fgcm_look_up_table"),
    kept("fgcm_photo_calib"),
    kept("fgcm_transmission_atmosphere"),
    kept("fgcm_standard_stars"),
    kept("fgcm_zero_points"),
    kept("fgcm_parameters"),
    folder("solved_astrometry_wcs"),
    kept("solved_astrometry_stars"),
    kept("solved_astrometry_visits"),
    kept("solved_astrometry_residuals"),
    kept("sky_frame"),
    kept("sky_frame_stars"),
]

# What the second look at the pixels of each visit makes.
SECOND_LOOK = [
    kept("sky_samples"),
    kept("visit_background"),
    kept("final_characterization_summary"),
    kept("final_characterization_stars"),
    folder("final_astrometry_wcs"),
    kept("final_astrometry_stars"),
    kept("final_astrometry_visits"),
    kept("final_astrometry_residuals"),
    kept("final_visit_summary"),
]

# What is made of the visits that touch a tract.
COADDS = [
    kept("coadd_plan"),
    kept("direct_warp"),
    kept("psf_matched_warp"),
    kept("coadd"),
    kept("coadd_n_image"),
    folder("warp_mask"),
]

# What is made of the pixels with the final models, and of the sources of all visits.
FINAL = [
    kept("pvi"),
    kept("final_source_detector"),
    kept("source"),
    kept("source_coverage"),
    kept("source_matches"),
    kept("source_matches_join"),
    kept("stellar_motions"),
    kept("compressed_pvi"),
]


rule all:
    """Every product that is not temporary."""
    default_target: True
    input:
        rules.makeReport.output.report,
        lambda wildcards: PLAN.expand(PROMPT + GLOBAL + SECOND_LOOK + COADDS + FINAL),


rule prompt:
    """The first look at each visit, without any global step."""
    input:
        lambda wildcards: SURVEY.expand(PROMPT),


rule calibration:
    """What is made of all visits together, without what follows from it."""
    input:
        lambda wildcards: PLAN.expand(GLOBAL),


rule coadds:
    """The coadds of all tracts, with what they need, and no report."""
    input:
        lambda wildcards: PLAN.expand(COADDS),


rule final:
    """Images, sources and stellar motions with the final models, with what they need, no report."""
    input:
        lambda wildcards: PLAN.expand(FINAL),


rule rebuilt:
    """The final images again without loss, once `all` or `final` is done: isr runs again."""
    input:
        lambda wildcards: SURVEY.expand(data("rebuilt_pvi")),


rule shard:
    """The products of one shard, with upstream products as plain files: see drpflow shards."""
    input:
        lambda wildcards: PLAN.shard_targets,


rule report:
    """The report alone, with what it needs."""
    input:
        rules.makeReport.output.report,
