"""1b. isr and calibrateImage of all detectors of a visit in one job, where `batch: visit` is set.

takes      what isr and calibrateImage take
gives      what they give, the same bytes
order      isrOfVisit -> calibrateImageOfVisit

The scripts are the same, called once a visit: --for-detectors names the detectors, and
{{detector}} stands for the id of each (src/drpflow/workflow/batch.py). Visits with another set
of detectors than most go through the rules of 1_visit.smk.
"""

BATCH = PLAN.batch


rule isrOfVisit:
    """isr of all detectors. {visit}"""
    input:
        unpack(BATCH.frame_files),
        visit_info=data("visit_info"),
    output:
        post_isr_image=out_of_visit("post_isr_image"),
        post_isr_thumbnail=out_of_visit("post_isr_thumbnail"),
        isr_statistics=out_of_visit("isr_statistics"),
        status=BATCH.of_detectors(status("isr")),
    log:
        PLAN.visit_file("logs", "isr", ".log"),
    benchmark:
        PLAN.visit_file("benchmarks", "isr", ".tsv")
    wildcard_constraints:
        visit=BATCH.visit_pattern,
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=PLAN.memory_mb(bytes_per_pixel=110),
    params:
        camera=PLAN.run.camera,
        files=BATCH.frame_options,
        config=PLAN.run.section("isr"),
        camera_digest=BATCH.camera_digest,
        code=PLAN.code["isr"],
        post_isr_image=BATCH.of_visit(data("post_isr_image")),
        post_isr_thumbnail=BATCH.of_visit(data("post_isr_thumbnail")),
        isr_statistics=BATCH.of_visit(data("isr_statistics")),
        status=BATCH.of_visit(status("isr")),
        log=BATCH.of_visit(logfile("isr")),
    shell:
        'python "$DRPFLOW_SCRIPTS/isr.py"'
        " {params.files}"
        " --camera {params.camera:q}"
        " --detector '{{detector}}'"
        " --visit-info {input.visit_info:q}"
        " --config {params.config:q}"
        " --post-isr-image {params.post_isr_image:q}"
        " --post-isr-thumbnail {params.post_isr_thumbnail:q}"
        " --isr-statistics {params.isr_statistics:q}"
        " --status {params.status:q}"
        " --log {params.log:q}"
        " --code {params.code}"
        " > {log:q} 2>&1"


rule calibrateImageOfVisit:
    """calibrateImage of all detectors. {visit}"""
    input:
        post_isr_image=BATCH.of_detectors(data("post_isr_image")),
        visit_info=data("visit_info"),
        reference_stars=PLAN.reference_files,
    output:
        initial_pvi=out_of_visit("initial_pvi"),
        initial_background=out_of_visit("initial_background"),
        initial_stars_detector=out_of_visit("initial_stars_detector"),
        initial_stars_footprints_detector=out_of_visit(
            "initial_stars_footprints_detector"
        ),
        initial_thumbnail=out_of_visit("initial_thumbnail"),
        status=BATCH.of_detectors(status("calibrateImage")),
    log:
        PLAN.visit_file("logs", "calibrateImage", ".log"),
    benchmark:
        PLAN.visit_file("benchmarks", "calibrateImage", ".tsv")
    wildcard_constraints:
        visit=BATCH.visit_pattern,
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=PLAN.memory_mb(bytes_per_pixel=60),
    params:
        detectors=BATCH.detector_options,
        camera=PLAN.run.camera,
        reference=PLAN.reference_options,
        config=PLAN.run.section("calibrateImage"),
        camera_digest=BATCH.camera_digest,
        reference_digest=PLAN.reference_digest,
        code=PLAN.code["calibrateImage"],
        post_isr_image=BATCH.of_visit(data("post_isr_image")),
        initial_pvi=BATCH.of_visit(data("initial_pvi")),
        initial_background=BATCH.of_visit(data("initial_background")),
        initial_stars_detector=BATCH.of_visit(data("initial_stars_detector")),
        footprints=BATCH.of_visit(data("initial_stars_footprints_detector")),
        initial_thumbnail=BATCH.of_visit(data("initial_thumbnail")),
        status=BATCH.of_visit(status("calibrateImage")),
        log=BATCH.of_visit(logfile("calibrateImage")),
    shell:
        'python "$DRPFLOW_SCRIPTS/calibrate_image.py"'
        " {params.detectors}"
        " --post-isr-image {params.post_isr_image:q}"
        " --visit-info {input.visit_info:q}"
        " --camera {params.camera:q}"
        " --detector '{{detector}}'"
        " {params.reference}"
        " --config {params.config:q}"
        " --initial-pvi {params.initial_pvi:q}"
        " --initial-background {params.initial_background:q}"
        " --initial-stars-detector {params.initial_stars_detector:q}"
        " --initial-stars-footprints-detector {params.footprints:q}"
        " --initial-thumbnail {params.initial_thumbnail:q}"
        " --status {params.status:q}"
        " --log {params.log:q}"
        " --code {params.code}"
        " > {log:q} 2>&1"
