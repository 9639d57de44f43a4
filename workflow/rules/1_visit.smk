"""1. Each visit by itself, each detector by itself.

takes      raw frames, calibrations, the visit sheet, reference stars
gives      visit_info, post_isr_image, post_isr_thumbnail, isr_statistics, initial_pvi,
           initial_background, initial_stars_detector, initial_stars_footprints_detector,
           initial_thumbnail, initial_visit_summary, initial_stars
order      makeVisitInfo -> isr -> calibrateImage -> consolidateVisit
"""


rule makeVisitInfo:
    """Row of the visit sheet to visit-wide metadata, to which exposures link. {visit}"""
    output:
        visit_info=out("visit_info"),
        status=status("makeVisitInfo"),
    log:
        logfile("makeVisitInfo"),
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=PLAN.memory_mb(bytes_per_pixel=0),
        runtime=PLAN.runtime_min("makeVisitInfo"),
    params:
        camera=PLAN.run.camera,
        row=SURVEY.visit_row,
        observatory_digest=SURVEY.observatory_digest,
        code=PLAN.code["makeVisitInfo"],
        timing=timing("makeVisitInfo"),
    shell:
        'python "$DRPFLOW_SCRIPTS/make_visit_info.py"'
        " --row {params.row:q}"
        " --camera {params.camera:q}"
        " --visit-info {output.visit_info:q}"
        " --status {output.status:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"


rule isr:
    """Raw frame to detrended image in electrons, with variance and mask. {visit, detector}"""
    input:
        unpack(SURVEY.frame_files),
        visit_info=data("visit_info"),
    output:
        post_isr_image=out("post_isr_image"),
        post_isr_thumbnail=out("post_isr_thumbnail"),
        isr_statistics=out("isr_statistics"),
        status=status("isr"),
    log:
        logfile("isr"),
    wildcard_constraints:
        visit=PLAN.visits_by_detector,
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=PLAN.memory_mb(bytes_per_pixel=100),
        runtime=PLAN.runtime_min("isr"),
    params:
        camera=PLAN.run.camera,
        files=SURVEY.frame_options,
        config=PLAN.run.section("isr"),
        camera_digest=SURVEY.camera_digest,
        code=PLAN.code["isr"],
        timing=timing("isr"),
    shell:
        'python "$DRPFLOW_SCRIPTS/isr.py"'
        " {params.files}"
        " --camera {params.camera:q}"
        " --detector {wildcards.detector}"
        " --visit-info {input.visit_info:q}"
        " --config {params.config:q}"
        " --post-isr-image {output.post_isr_image:q}"
        " --post-isr-thumbnail {output.post_isr_thumbnail:q}"
        " --isr-statistics {output.isr_statistics:q}"
        " --status {output.status:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"


rule calibrateImage:
    """Detrended image to calibrated image and stars: background, PSF, WCS, zero point. {visit, detector}"""
    input:
        post_isr_image=data("post_isr_image"),
        visit_info=data("visit_info"),
        reference_stars=PLAN.reference_files,
    output:
        initial_pvi=out("initial_pvi"),
        initial_background=out("initial_background"),
        initial_stars_detector=out("initial_stars_detector"),
        initial_stars_footprints_detector=out("initial_stars_footprints_detector"),
        initial_thumbnail=out("initial_thumbnail"),
        status=status("calibrateImage"),
    log:
        logfile("calibrateImage"),
    wildcard_constraints:
        visit=PLAN.visits_by_detector,
    priority: FREES_DISK
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=PLAN.memory_mb(bytes_per_pixel=60),
        runtime=PLAN.runtime_min("calibrateImage"),
    params:
        camera=PLAN.run.camera,
        reference=PLAN.reference_options,
        config=PLAN.run.section("calibrateImage"),
        camera_digest=SURVEY.camera_digest,
        reference_digest=PLAN.reference_digest,
        code=PLAN.code["calibrateImage"],
        timing=timing("calibrateImage"),
    shell:
        'python "$DRPFLOW_SCRIPTS/calibrate_image.py"'
        " --post-isr-image {input.post_isr_image:q}"
        " --visit-info {input.visit_info:q}"
        " --camera {params.camera:q}"
        " --detector {wildcards.detector}"
        " {params.reference}"
        " --config {params.config:q}"
        " --initial-pvi {output.initial_pvi:q}"
        " --initial-background {output.initial_background:q}"
        " --initial-stars-detector {output.initial_stars_detector:q}"
        " --initial-stars-footprints-detector {output.initial_stars_footprints_detector:q}"
        " --initial-thumbnail {output.initial_thumbnail:q}"
        " --status {output.status:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"


rule consolidateVisit:
    """Components and stars of all detectors of a visit in one table each; rescues lost WCSs. {visit}"""
    input:
        initial_pvi=SURVEY.of_visit(data("initial_pvi")),
        initial_stars_detector=SURVEY.of_visit(data("initial_stars_detector")),
        visit_info=data("visit_info"),
        reference_stars=PLAN.reference_files,
    output:
        initial_visit_summary=out("initial_visit_summary"),
        initial_stars=out("initial_stars"),
        status=status("consolidateVisit"),
    log:
        logfile("consolidateVisit"),
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=PLAN.memory_mb(bytes_per_pixel=20),
        runtime=PLAN.runtime_min("consolidateVisit"),
    params:
        camera=PLAN.run.camera,
        reference=PLAN.reference_options,
        config=PLAN.run.section("consolidateVisit"),
        camera_digest=SURVEY.visit_camera_digest,
        reference_digest=PLAN.reference_digest,
        code=PLAN.code["consolidateVisit"],
        timing=timing("consolidateVisit"),
    shell:
        'python "$DRPFLOW_SCRIPTS/consolidate_visit.py"'
        " --camera {params.camera:q}"
        " --visit-info {input.visit_info:q}"
        " --initial-pvi {input.initial_pvi:q}"
        " --initial-stars-detector {input.initial_stars_detector:q}"
        " {params.reference}"
        " --config {params.config:q}"
        " --initial-visit-summary {output.initial_visit_summary:q}"
        " --initial-stars {output.initial_stars:q}"
        " --status {output.status:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"
