"""6. Coadds.

takes      final_visit_summary, initial_pvi, visit_background, visit_info of the visits that touch a
           tract
gives      coadd_plan, direct_warp, psf_matched_warp, coadd, coadd_n_image, warp_mask
order      planCoaddition -> makeWarp -> compareWarpAssembleCoadd

Tracts and patches are those of the section skyMap. Which visits touch them is looked up in what
the sheets say (PLAN.tracts), so that a patch that no visit touches has no job.
"""

TRACTS = PLAN.tracts


rule planCoaddition:
    """Which visits and detectors enter a tract's coadds, their weights, the target PSF. {tract, band}"""
    input:
        final_visit_summary=TRACTS.of_tract(data("final_visit_summary")),
    output:
        coadd_plan=out("coadd_plan"),
        status=status("planCoaddition"),
    log:
        logfile("planCoaddition"),
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=PLAN.survey_memory_mb(megabytes_per_visit=0.2),
        runtime=PLAN.runtime_min("planCoaddition"),
    params:
        visits=TRACTS.tract_visits,
        sky_map=PLAN.sky_map,
        final_visit_summary=opened("final_visit_summary"),
        config=PLAN.run.section("planCoaddition"),
        code=PLAN.code["planCoaddition"],
        timing=timing("planCoaddition"),
    shell:
        'python "$DRPFLOW_SCRIPTS/plan_coaddition.py"'
        " --tract {wildcards.tract}"
        " --band {wildcards.band:q}"
        " --visits {params.visits}"
        " --sky-map {params.sky_map:q}"
        " --final-visit-summary {params.final_visit_summary:q}"
        " --config {params.config:q}"
        " --coadd-plan {output.coadd_plan:q}"
        " --status {output.status:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"


rule makeWarp:
    """A visit resampled to a patch, as it is and brought to the target PSF. {tract, patch, visit}"""
    input:
        visit_info=data("visit_info"),
        coadd_plan=TRACTS.of_warp(data("coadd_plan")),
        initial_pvi=TRACTS.of_warp(data("initial_pvi")),
        final_visit_summary=data("final_visit_summary"),
        visit_background=data("visit_background"),
    output:
        direct_warp=out("direct_warp"),
        psf_matched_warp=out("psf_matched_warp"),
        status=status("makeWarp"),
    log:
        logfile("makeWarp"),
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=TRACTS.memory_mb(bytes_per_pixel=45, bytes_per_detector_pixel=40),
        runtime=PLAN.runtime_min("makeWarp"),
    params:
        sky_map=PLAN.sky_map,
        detectors=TRACTS.warp_detectors,
        config=PLAN.run.section("makeWarp"),
        code=PLAN.code["makeWarp"],
        timing=timing("makeWarp"),
    shell:
        'python "$DRPFLOW_SCRIPTS/make_warp.py"'
        " --tract {wildcards.tract}"
        " --patch {wildcards.patch}"
        " --visit-info {input.visit_info:q}"
        " --sky-map {params.sky_map:q}"
        " --coadd-plan {input.coadd_plan:q}"
        " --detectors {params.detectors}"
        " --initial-pvi {input.initial_pvi:q}"
        " --final-visit-summary {input.final_visit_summary:q}"
        " --visit-background {input.visit_background:q}"
        " --config {params.config:q}"
        " --direct-warp {output.direct_warp:q}"
        " --psf-matched-warp {output.psf_matched_warp:q}"
        " --status {output.status:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"


rule compareWarpAssembleCoadd:
    """What moves found by comparing visits, and the mean of the rest. {tract, patch, band}"""
    input:
        coadd_plan=data("coadd_plan"),
        direct_warp=TRACTS.of_patch(data("direct_warp")),
        psf_matched_warp=TRACTS.of_patch(data("psf_matched_warp")),
        bright_objects=PLAN.bright_objects,
    output:
        coadd=out("coadd"),
        coadd_n_image=out("coadd_n_image"),
        warp_mask=out_of_piece("warp_mask"),
        status=status("compareWarpAssembleCoadd"),
    log:
        logfile("compareWarpAssembleCoadd"),
    priority: FREES_DISK
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=TRACTS.memory_mb(
            bytes_per_pixel=95, more_mb=PLAN.run.compareWarpAssembleCoadd.memory_mb
        ),
        runtime=PLAN.runtime_min("compareWarpAssembleCoadd"),
    params:
        visits=TRACTS.patch_visits,
        sky_map=PLAN.sky_map,
        direct_warp=TRACTS.opened(data("direct_warp")),
        psf_matched_warp=TRACTS.opened(data("psf_matched_warp")),
        warp_mask=TRACTS.opened(data("warp_mask")),
        config=PLAN.run.section("compareWarpAssembleCoadd"),
        code=PLAN.code["compareWarpAssembleCoadd"],
        timing=timing("compareWarpAssembleCoadd"),
    shell:
        'python "$DRPFLOW_SCRIPTS/compare_warp_assemble_coadd.py"'
        " --tract {wildcards.tract}"
        " --patch {wildcards.patch}"
        " --band {wildcards.band:q}"
        " --visits {params.visits}"
        " --sky-map {params.sky_map:q}"
        " --coadd-plan {input.coadd_plan:q}"
        " --direct-warp {params.direct_warp:q}"
        " --psf-matched-warp {params.psf_matched_warp:q}"
        " --config {params.config:q}"
        " --coadd {output.coadd:q}"
        " --coadd-n-image {output.coadd_n_image:q}"
        " --warp-mask {params.warp_mask:q}"
        " --status {output.status:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"
