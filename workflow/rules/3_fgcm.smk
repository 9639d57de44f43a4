"""3. One photometric calibration of all visits.

takes      the passbands of the camera, isolated stars of all pieces of sky, visits, reference stars
gives      fgcm_look_up_table, fgcm_photo_calib, fgcm_transmission_atmosphere,
           fgcm_standard_stars, fgcm_zero_points, fgcm_parameters
order      fgcmMakeLookUpTable -> fgcm
"""


rule fgcmMakeLookUpTable:
    """Integrals of the camera's passbands through any air. {instrument}"""
    input:
        throughputs=SURVEY.throughput_files,
    output:
        fgcm_look_up_table=out("fgcm_look_up_table"),
        status=status("fgcmMakeLookUpTable"),
    log:
        logfile("fgcmMakeLookUpTable"),
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=PLAN.memory_mb(bytes_per_pixel=0),
        runtime=PLAN.runtime_min("fgcmMakeLookUpTable"),
    params:
        camera=PLAN.run.camera,
        config=PLAN.run.section("fgcmMakeLookUpTable"),
        camera_digest=SURVEY.passband_digest,
        code=PLAN.code["fgcmMakeLookUpTable"],
        timing=timing("fgcmMakeLookUpTable"),
    shell:
        'python "$DRPFLOW_SCRIPTS/fgcm_make_look_up_table.py"'
        " --camera {params.camera:q}"
        " --config {params.config:q}"
        " --fgcm-look-up-table {output.fgcm_look_up_table:q}"
        " --status {output.status:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"


rule fgcm:
    """Zero points, atmospheres and standard magnitudes from one fit to all visits. {instrument}"""
    input:
        fgcm_look_up_table=data("fgcm_look_up_table"),
        visit_info=of_survey("visit_info"),
        initial_visit_summary=of_survey("initial_visit_summary"),
        isolated_stars=of_survey("isolated_stars"),
        isolated_stars_source=of_survey("isolated_stars_source"),
        reference_stars=PLAN.reference_files,
    output:
        fgcm_photo_calib=out_of_survey("fgcm_photo_calib"),
        fgcm_transmission_atmosphere=out_of_survey("fgcm_transmission_atmosphere"),
        fgcm_standard_stars=out_of_survey("fgcm_standard_stars"),
        fgcm_zero_points=out("fgcm_zero_points"),
        fgcm_parameters=out("fgcm_parameters"),
        status=status("fgcm"),
    log:
        logfile("fgcm"),
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=PLAN.survey_memory_mb(megabytes_per_visit=10),
        runtime=PLAN.runtime_min("fgcm"),
    params:
        camera=PLAN.run.camera,
        visits=PLAN.all_visits,
        skypix=PLAN.all_skypix,
        visit_info=opened("visit_info"),
        initial_visit_summary=opened("initial_visit_summary"),
        isolated_stars=opened("isolated_stars"),
        isolated_stars_source=opened("isolated_stars_source"),
        fgcm_photo_calib=opened("fgcm_photo_calib"),
        fgcm_transmission_atmosphere=opened("fgcm_transmission_atmosphere"),
        fgcm_standard_stars=opened("fgcm_standard_stars"),
        reference=PLAN.reference_options,
        config=PLAN.run.section("fgcm"),
        camera_digest=SURVEY.survey_camera_digest,
        reference_digest=PLAN.reference_digest,
        code=PLAN.code["fgcm"],
        timing=timing("fgcm"),
    shell:
        'python "$DRPFLOW_SCRIPTS/fgcm.py"'
        " --camera {params.camera:q}"
        " --visits {params.visits}"
        " --skypix {params.skypix}"
        " --fgcm-look-up-table {input.fgcm_look_up_table:q}"
        " --visit-info {params.visit_info:q}"
        " --initial-visit-summary {params.initial_visit_summary:q}"
        " --isolated-stars {params.isolated_stars:q}"
        " --isolated-stars-source {params.isolated_stars_source:q}"
        " {params.reference}"
        " --config {params.config:q}"
        " --fgcm-photo-calib {params.fgcm_photo_calib:q}"
        " --fgcm-transmission-atmosphere {params.fgcm_transmission_atmosphere:q}"
        " --fgcm-standard-stars {params.fgcm_standard_stars:q}"
        " --fgcm-zero-points {output.fgcm_zero_points:q}"
        " --fgcm-parameters {output.fgcm_parameters:q}"
        " --status {output.status:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"
