"""9. All detectors of a visit in one job, where `batch: visit` is set.

takes      what isr, calibrateImage, finalizeImage and compressImage take
gives      what they give, the same bytes
order      isrOfVisit -> calibrateImageOfVisit; finalizeImageOfVisit -> compressImageOfVisit

The scripts are the same, called once a visit: --for-detectors names the detectors, and
{{detector}} stands for the id of each (src/drpflow/workflow/batch.py). Visits with another set
of detectors than most go through the rules of 1_visit.smk and 7_final.smk.
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
    wildcard_constraints:
        visit=BATCH.visit_pattern,
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=PLAN.memory_mb(bytes_per_pixel=110),
        runtime=PLAN.runtime_min("isr", of_visit=True),
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
        timing=PLAN.visit_file("benchmarks", "isr", ".tsv"),
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
        " --timing {params.timing:q}"
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
    wildcard_constraints:
        visit=BATCH.visit_pattern,
    priority: FREES_DISK
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=PLAN.memory_mb(bytes_per_pixel=60),
        runtime=PLAN.runtime_min("calibrateImage", of_visit=True),
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
        timing=PLAN.visit_file("benchmarks", "calibrateImage", ".tsv"),
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
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"


rule finalizeImageOfVisit:
    """finalizeImage of all detectors. {visit}"""
    input:
        initial_pvi=BATCH.of_detectors(data("initial_pvi")),
        visit_info=data("visit_info"),
        visit_background=data("visit_background"),
        final_visit_summary=data("final_visit_summary"),
        initial_visit_summary=data("initial_visit_summary"),
        warp_mask=PATCHES.of_visit(folder("warp_mask")),
        final_characterization_stars=data("final_characterization_stars"),
        isolated_stars_source=VISIT_PIECES.of_association(data("isolated_stars_source")),
        fgcm_standard_stars=VISIT_PIECES.of_association(data("fgcm_standard_stars")),
        final_astrometry_residuals=VISIT_PIECES.of_solution(
            data("final_astrometry_residuals")
        ),
    output:
        pvi=out_of_visit("pvi"),
        final_source_detector=out_of_visit("final_source_detector"),
        status=BATCH.of_detectors(status("finalizeImage")),
    log:
        PLAN.visit_file("logs", "finalizeImage", ".log"),
    wildcard_constraints:
        visit=BATCH.visit_pattern,
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=PLAN.memory_mb(bytes_per_pixel=60),
        runtime=PLAN.runtime_min("finalizeImage", of_visit=True),
    params:
        patches=PATCHES.patch_options(BATCH.detectors),
        camera=PLAN.run.camera,
        initial_pvi=BATCH.of_visit(data("initial_pvi")),
        warp_mask=PATCHES.opened(data("warp_mask")),
        pieces=VISIT_PIECES.association_list,
        solved=VISIT_PIECES.solution_list,
        isolated_stars_source=opened("isolated_stars_source"),
        fgcm_standard_stars=opened("fgcm_standard_stars"),
        final_astrometry_residuals=opened("final_astrometry_residuals"),
        config=PLAN.run.section("finalizeImage"),
        camera_digest=BATCH.camera_digest,
        code=PLAN.code["finalizeImage"],
        pvi=BATCH.of_visit(data("pvi")),
        final_source_detector=BATCH.of_visit(data("final_source_detector")),
        status=BATCH.of_visit(status("finalizeImage")),
        log=BATCH.of_visit(logfile("finalizeImage")),
        timing=PLAN.visit_file("benchmarks", "finalizeImage", ".tsv"),
    shell:
        'python "$DRPFLOW_SCRIPTS/finalize_image.py"'
        " {params.patches}"
        " --camera {params.camera:q}"
        " --detector '{{detector}}'"
        " --initial-pvi {params.initial_pvi:q}"
        " --visit-info {input.visit_info:q}"
        " --visit-background {input.visit_background:q}"
        " --final-visit-summary {input.final_visit_summary:q}"
        " --initial-visit-summary {input.initial_visit_summary:q}"
        " --warp-mask {params.warp_mask:q}"
        " --final-characterization-stars {input.final_characterization_stars:q}"
        " --pieces {params.pieces}"
        " --solved {params.solved}"
        " --isolated-stars-source {params.isolated_stars_source:q}"
        " --fgcm-standard-stars {params.fgcm_standard_stars:q}"
        " --final-astrometry-residuals {params.final_astrometry_residuals:q}"
        " --config {params.config:q}"
        " --pvi {params.pvi:q}"
        " --final-source-detector {params.final_source_detector:q}"
        " --status {params.status:q}"
        " --log {params.log:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"


rule compressImageOfVisit:
    """compressImage of all detectors. {visit}"""
    input:
        pvi=BATCH.of_detectors(data("pvi")),
        visit_info=data("visit_info"),
    output:
        compressed_pvi=out_of_visit("compressed_pvi"),
        status=BATCH.of_detectors(status("compressImage")),
    log:
        PLAN.visit_file("logs", "compressImage", ".log"),
    wildcard_constraints:
        visit=BATCH.visit_pattern,
    priority: FREES_DISK
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=PLAN.memory_mb(bytes_per_pixel=40),
        runtime=PLAN.runtime_min("compressImage", of_visit=True),
    params:
        detectors=BATCH.detector_options,
        camera=PLAN.run.camera,
        config=PLAN.run.section("compressImage"),
        camera_digest=BATCH.camera_digest,
        code=PLAN.code["compressImage"],
        pvi=BATCH.of_visit(data("pvi")),
        compressed_pvi=BATCH.of_visit(data("compressed_pvi")),
        status=BATCH.of_visit(status("compressImage")),
        log=BATCH.of_visit(logfile("compressImage")),
        timing=PLAN.visit_file("benchmarks", "compressImage", ".tsv"),
    shell:
        'python "$DRPFLOW_SCRIPTS/compress_image.py"'
        " {params.detectors}"
        " --camera {params.camera:q}"
        " --detector '{{detector}}'"
        " --pvi {params.pvi:q}"
        " --visit-info {input.visit_info:q}"
        " --config {params.config:q}"
        " --compressed-pvi {params.compressed_pvi:q}"
        " --status {params.status:q}"
        " --log {params.log:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"
