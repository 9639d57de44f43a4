"""1. Each visit by itself, each detector by itself.

takes      raw frames, calibrations, the visit sheet
gives      visit_info, post_isr_image, post_isr_thumbnail, isr_statistics
order      makeVisitInfo -> isr
"""


rule makeVisitInfo:
    """Row of the visit sheet to visit-wide metadata, to which exposures link. {visit}"""
    output:
        visit_info=out("visit_info"),
        status=status("makeVisitInfo"),
    log:
        logfile("makeVisitInfo"),
    benchmark:
        timing("makeVisitInfo")
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=PLAN.memory_mb(bytes_per_pixel=0),
    params:
        camera=PLAN.run.camera,
        row=SURVEY.visit_row,
        observatory_digest=SURVEY.observatory_digest,
        code=PLAN.code["makeVisitInfo"],
    shell:
        'python "$DRPFLOW_SCRIPTS/make_visit_info.py"'
        " --row {params.row:q}"
        " --camera {params.camera:q}"
        " --visit-info {output.visit_info:q}"
        " --status {output.status:q}"
        " --code {params.code}"
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
    benchmark:
        timing("isr")
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=PLAN.memory_mb(bytes_per_pixel=100),
    params:
        camera=PLAN.run.camera,
        files=SURVEY.frame_options,
        config=PLAN.run.section("isr"),
        camera_digest=SURVEY.camera_digest,
        code=PLAN.code["isr"],
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
        " > {log:q} 2>&1"
