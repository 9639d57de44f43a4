"""5. The second look at the pixels of a visit, with what all visits together have told.

takes      initial_pvi, initial_visit_summary, initial_stars, visit_info, fgcm_photo_calib,
           fgcm_transmission_atmosphere, reference stars, isolated_stars, isolated_stars_source,
           fgcm_standard_stars, all of solveAstrometry
gives      sky_samples, sky_frame, sky_frame_stars, visit_background,
           final_characterization_summary, final_characterization_stars, final_astrometry_wcs, final_astrometry_stars,
           final_astrometry_visits, final_astrometry_residuals, final_visit_summary
order      measureSky -> makeSkyFrame -> modelVisitBackground -> finalizeCharacterization
           -> finalizeAstrometry -> updateVisitSummary

The pixels are read once, by measureSky; the frame of a filter and the backgrounds of its visits
are made of the cells that it leaves.
"""

FILTERS = PLAN.filters
VISIT_PIECES = PLAN.visit_pieces


rule measureSky:
    """The sky of all detectors of a visit in small cells. {visit}"""
    input:
        initial_pvi=SURVEY.of_visit(data("initial_pvi")),
    output:
        sky_samples=out("sky_samples"),
        status=status("measureSky"),
    log:
        logfile("measureSky"),
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=PLAN.memory_mb(bytes_per_pixel=40),
        runtime=PLAN.runtime_min("measureSky"),
    params:
        config=PLAN.run.section("measureSky"),
        code=PLAN.code["measureSky"],
        timing=timing("measureSky"),
    shell:
        'python "$DRPFLOW_SCRIPTS/measure_sky.py"'
        " --visit {wildcards.visit}"
        " --initial-pvi {input.initial_pvi:q}"
        " --config {params.config:q}"
        " --sky-samples {output.sky_samples:q}"
        " --status {output.status:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"


rule makeSkyFrame:
    """The pattern of the empty sky in a filter, from all its visits. {physical_filter}"""
    input:
        visit_info=FILTERS.of_filter(data("visit_info")),
        sky_samples=FILTERS.of_filter(data("sky_samples")),
        initial_visit_summary=FILTERS.of_filter(data("initial_visit_summary")),
        initial_stars=FILTERS.of_filter(data("initial_stars")),
        reference_stars=PLAN.reference_files,
    output:
        sky_frame=out("sky_frame"),
        sky_frame_stars=out("sky_frame_stars"),
        status=status("makeSkyFrame"),
    log:
        logfile("makeSkyFrame"),
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=PLAN.survey_memory_mb(megabytes_per_visit=20),
        runtime=PLAN.runtime_min("makeSkyFrame"),
    params:
        camera=PLAN.run.camera,
        visits=FILTERS.visit_list,
        visit_info=opened("visit_info"),
        sky_samples=opened("sky_samples"),
        initial_visit_summary=opened("initial_visit_summary"),
        initial_stars=opened("initial_stars"),
        reference=PLAN.reference_options,
        config=PLAN.run.section("makeSkyFrame"),
        camera_digest=SURVEY.survey_camera_digest,
        reference_digest=PLAN.reference_digest,
        code=PLAN.code["makeSkyFrame"],
        timing=timing("makeSkyFrame"),
    shell:
        'python "$DRPFLOW_SCRIPTS/make_sky_frame.py"'
        " --camera {params.camera:q}"
        " --physical-filter {wildcards.physical_filter:q}"
        " --visits {params.visits}"
        " --visit-info {params.visit_info:q}"
        " --sky-samples {params.sky_samples:q}"
        " --initial-visit-summary {params.initial_visit_summary:q}"
        " --initial-stars {params.initial_stars:q}"
        " {params.reference}"
        " --config {params.config:q}"
        " --sky-frame {output.sky_frame:q}"
        " --sky-frame-stars {output.sky_frame_stars:q}"
        " --status {output.status:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"


rule modelVisitBackground:
    """One model of the sky for the whole focal plane, and wings of bright stars. {visit}"""
    input:
        visit_info=data("visit_info"),
        sky_samples=data("sky_samples"),
        sky_frame=FILTERS.of_visit(data("sky_frame")),
        sky_frame_stars=FILTERS.of_visit(data("sky_frame_stars")),
        initial_visit_summary=data("initial_visit_summary"),
        initial_stars=data("initial_stars"),
        fgcm_photo_calib=data("fgcm_photo_calib"),
        reference_stars=PLAN.reference_files,
    output:
        visit_background=out("visit_background"),
        status=status("modelVisitBackground"),
    log:
        logfile("modelVisitBackground"),
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=PLAN.memory_mb(bytes_per_pixel=10),
        runtime=PLAN.runtime_min("modelVisitBackground"),
    params:
        camera=PLAN.run.camera,
        reference=PLAN.reference_options,
        config=PLAN.run.section("modelVisitBackground"),
        camera_digest=SURVEY.visit_camera_digest,
        reference_digest=PLAN.reference_digest,
        code=PLAN.code["modelVisitBackground"],
        timing=timing("modelVisitBackground"),
    shell:
        'python "$DRPFLOW_SCRIPTS/model_visit_background.py"'
        " --camera {params.camera:q}"
        " --visit {wildcards.visit}"
        " --visit-info {input.visit_info:q}"
        " --sky-samples {input.sky_samples:q}"
        " --sky-frame {input.sky_frame:q}"
        " --sky-frame-stars {input.sky_frame_stars:q}"
        " --initial-visit-summary {input.initial_visit_summary:q}"
        " --initial-stars {input.initial_stars:q}"
        " --fgcm-photo-calib {input.fgcm_photo_calib:q}"
        " {params.reference}"
        " --config {params.config:q}"
        " --visit-background {output.visit_background:q}"
        " --status {output.status:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"


rule finalizeCharacterization:
    """Final PSFs and aperture corrections of all detectors, and the stars that made them. {visit}"""
    input:
        initial_pvi=SURVEY.of_visit(data("initial_pvi")),
        visit_info=data("visit_info"),
        initial_visit_summary=data("initial_visit_summary"),
        initial_stars=data("initial_stars"),
        visit_background=data("visit_background"),
        isolated_stars_source=VISIT_PIECES.of_association(data("isolated_stars_source")),
        fgcm_standard_stars=VISIT_PIECES.of_association(data("fgcm_standard_stars")),
        solved_astrometry_stars=VISIT_PIECES.of_solution(
            data("solved_astrometry_stars")
        ),
        solved_astrometry_wcs=VISIT_PIECES.of_solution(folder("solved_astrometry_wcs")),
    output:
        final_characterization_summary=out("final_characterization_summary"),
        final_characterization_stars=out("final_characterization_stars"),
        status=status("finalizeCharacterization"),
    log:
        logfile("finalizeCharacterization"),
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=PLAN.memory_mb(bytes_per_pixel=60),
        runtime=PLAN.runtime_min("finalizeCharacterization"),
    params:
        camera=PLAN.run.camera,
        pieces=VISIT_PIECES.association_list,
        solved=VISIT_PIECES.solution_list,
        isolated_stars_source=opened("isolated_stars_source"),
        fgcm_standard_stars=opened("fgcm_standard_stars"),
        solved_astrometry_stars=opened("solved_astrometry_stars"),
        solved_astrometry_wcs=opened("solved_astrometry_wcs"),
        config=PLAN.run.section("finalizeCharacterization"),
        camera_digest=SURVEY.visit_camera_digest,
        code=PLAN.code["finalizeCharacterization"],
        timing=timing("finalizeCharacterization"),
    shell:
        'python "$DRPFLOW_SCRIPTS/finalize_characterization.py"'
        " --camera {params.camera:q}"
        " --visit-info {input.visit_info:q}"
        " --initial-visit-summary {input.initial_visit_summary:q}"
        " --initial-stars {input.initial_stars:q}"
        " --initial-pvi {input.initial_pvi:q}"
        " --visit-background {input.visit_background:q}"
        " --pieces {params.pieces}"
        " --solved {params.solved}"
        " --isolated-stars-source {params.isolated_stars_source:q}"
        " --fgcm-standard-stars {params.fgcm_standard_stars:q}"
        " --solved-astrometry-stars {params.solved_astrometry_stars:q}"
        " --solved-astrometry-wcs {params.solved_astrometry_wcs:q}"
        " --config {params.config:q}"
        " --final-characterization-summary {output.final_characterization_summary:q}"
        " --final-characterization-stars {output.final_characterization_stars:q}"
        " --status {output.status:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"


rule finalizeAstrometry:
    """The astrometric solution again, from the centroids of the final PSFs. {skypix}"""
    input:
        visit_info=ASTROMETRY.of_visits(data("visit_info")),
        initial_visit_summary=ASTROMETRY.of_visits(data("initial_visit_summary")),
        final_characterization_stars=ASTROMETRY.of_visits(
            data("final_characterization_stars")
        ),
        isolated_stars=ASTROMETRY.of_pieces(data("isolated_stars")),
        isolated_stars_source=ASTROMETRY.of_pieces(data("isolated_stars_source")),
        fgcm_standard_stars=ASTROMETRY.of_pieces(data("fgcm_standard_stars")),
        solved_astrometry_wcs=folder("solved_astrometry_wcs"),
        solved_astrometry_stars=data("solved_astrometry_stars"),
        solved_astrometry_visits=data("solved_astrometry_visits"),
        solved_astrometry_residuals=data("solved_astrometry_residuals"),
        reference_stars=PLAN.reference_files,
    output:
        final_astrometry_wcs=out_of_piece("final_astrometry_wcs"),
        final_astrometry_stars=out("final_astrometry_stars"),
        final_astrometry_visits=out("final_astrometry_visits"),
        final_astrometry_residuals=out("final_astrometry_residuals"),
        status=status("finalizeAstrometry"),
    log:
        logfile("finalizeAstrometry"),
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=ASTROMETRY.memory_mb,
        runtime=PLAN.runtime_min("finalizeAstrometry"),
    params:
        camera=PLAN.run.camera,
        visits=ASTROMETRY.visit_list,
        pieces=ASTROMETRY.piece_list,
        order=ASTROMETRY.order,
        association_order=ASTROMETRY.association_order,
        visit_info=opened("visit_info"),
        initial_visit_summary=opened("initial_visit_summary"),
        final_characterization_stars=opened("final_characterization_stars"),
        isolated_stars=opened("isolated_stars"),
        isolated_stars_source=opened("isolated_stars_source"),
        fgcm_standard_stars=opened("fgcm_standard_stars"),
        solved_astrometry_wcs=opened("solved_astrometry_wcs"),
        final_astrometry_wcs=opened("final_astrometry_wcs"),
        reference=PLAN.reference_options,
        config=PLAN.run.section("finalizeAstrometry"),
        camera_digest=SURVEY.survey_camera_digest,
        reference_digest=PLAN.reference_digest,
        code=PLAN.code["finalizeAstrometry"],
        timing=timing("finalizeAstrometry"),
    shell:
        'python "$DRPFLOW_SCRIPTS/finalize_astrometry.py"'
        " --camera {params.camera:q}"
        " --skypix {wildcards.skypix}"
        " --order {params.order}"
        " --association-order {params.association_order}"
        " --visits {params.visits}"
        " --pieces {params.pieces}"
        " --visit-info {params.visit_info:q}"
        " --initial-visit-summary {params.initial_visit_summary:q}"
        " --final-characterization-stars {params.final_characterization_stars:q}"
        " --isolated-stars {params.isolated_stars:q}"
        " --isolated-stars-source {params.isolated_stars_source:q}"
        " --fgcm-standard-stars {params.fgcm_standard_stars:q}"
        " --solved-astrometry-wcs {params.solved_astrometry_wcs:q}"
        " --solved-astrometry-stars {input.solved_astrometry_stars:q}"
        " --solved-astrometry-visits {input.solved_astrometry_visits:q}"
        " --solved-astrometry-residuals {input.solved_astrometry_residuals:q}"
        " {params.reference}"
        " --config {params.config:q}"
        " --final-astrometry-wcs {params.final_astrometry_wcs:q}"
        " --final-astrometry-stars {output.final_astrometry_stars:q}"
        " --final-astrometry-visits {output.final_astrometry_visits:q}"
        " --final-astrometry-residuals {output.final_astrometry_residuals:q}"
        " --status {output.status:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"


rule updateVisitSummary:
    """The final components of a visit, checked, with all statistics anew. {visit}"""
    input:
        visit_info=data("visit_info"),
        initial_visit_summary=data("initial_visit_summary"),
        initial_pvi=SURVEY.of_visit(data("initial_pvi")),
        visit_background=data("visit_background"),
        final_characterization_summary=data("final_characterization_summary"),
        final_characterization_stars=data("final_characterization_stars"),
        fgcm_photo_calib=data("fgcm_photo_calib"),
        fgcm_transmission_atmosphere=data("fgcm_transmission_atmosphere"),
        final_astrometry_wcs=VISIT_PIECES.of_solution(folder("final_astrometry_wcs")),
        throughputs=SURVEY.throughput_files,
        reference_stars=PLAN.reference_files,
    output:
        final_visit_summary=out("final_visit_summary"),
        status=status("updateVisitSummary"),
    log:
        logfile("updateVisitSummary"),
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=PLAN.memory_mb(bytes_per_pixel=40),
        runtime=PLAN.runtime_min("updateVisitSummary"),
    params:
        camera=PLAN.run.camera,
        order=ASTROMETRY.order,
        pieces=VISIT_PIECES.solution_list,
        final_astrometry_wcs=opened("final_astrometry_wcs"),
        reference=PLAN.reference_options,
        config=PLAN.run.section("updateVisitSummary"),
        camera_digest=SURVEY.visit_camera_digest,
        passband_digest=SURVEY.passband_digest,
        reference_digest=PLAN.reference_digest,
        code=PLAN.code["updateVisitSummary"],
        timing=timing("updateVisitSummary"),
    shell:
        'python "$DRPFLOW_SCRIPTS/update_visit_summary.py"'
        " --camera {params.camera:q}"
        " --order {params.order}"
        " --pieces {params.pieces}"
        " --visit-info {input.visit_info:q}"
        " --initial-visit-summary {input.initial_visit_summary:q}"
        " --initial-pvi {input.initial_pvi:q}"
        " --visit-background {input.visit_background:q}"
        " --final-characterization-summary {input.final_characterization_summary:q}"
        " --final-characterization-stars {input.final_characterization_stars:q}"
        " --fgcm-photo-calib {input.fgcm_photo_calib:q}"
        " --fgcm-transmission-atmosphere {input.fgcm_transmission_atmosphere:q}"
        " --final-astrometry-wcs {params.final_astrometry_wcs:q}"
        " {params.reference}"
        " --config {params.config:q}"
        " --final-visit-summary {output.final_visit_summary:q}"
        " --status {output.status:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"
