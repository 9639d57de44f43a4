"""4. One astrometric solution of all visits about a piece of the sky.

takes      isolated stars and standard magnitudes of all pieces of sky that these visits touch,
           their metadata and first WCSs, reference stars
gives      solved_astrometry_wcs, solved_astrometry_stars, solved_astrometry_visits,
           solved_astrometry_residuals
order      solveAstrometry

The pieces are coarser than those of the association, and hold them whole. Which visits a piece has
differs from piece to piece, so that their WCSs are declared as one folder a piece.
"""

ASTROMETRY = PLAN.astrometry


rule solveAstrometry:
    """WCSs, and places and motions of stars, from one fit to all visits. {skypix}"""
    input:
        visit_info=ASTROMETRY.of_visits(data("visit_info")),
        initial_visit_summary=ASTROMETRY.of_visits(data("initial_visit_summary")),
        isolated_stars=ASTROMETRY.of_pieces(data("isolated_stars")),
        isolated_stars_source=ASTROMETRY.of_pieces(data("isolated_stars_source")),
        fgcm_standard_stars=ASTROMETRY.of_pieces(data("fgcm_standard_stars")),
        reference_stars=PLAN.reference_files,
    output:
        solved_astrometry_wcs=out_of_piece("solved_astrometry_wcs"),
        solved_astrometry_stars=out("solved_astrometry_stars"),
        solved_astrometry_visits=out("solved_astrometry_visits"),
        solved_astrometry_residuals=out("solved_astrometry_residuals"),
        status=status("solveAstrometry"),
    log:
        logfile("solveAstrometry"),
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=ASTROMETRY.memory_mb,
        runtime=PLAN.runtime_min("solveAstrometry"),
    params:
        camera=PLAN.run.camera,
        visits=ASTROMETRY.visit_list,
        pieces=ASTROMETRY.piece_list,
        order=ASTROMETRY.order,
        association_order=ASTROMETRY.association_order,
        visit_info=opened("visit_info"),
        initial_visit_summary=opened("initial_visit_summary"),
        isolated_stars=opened("isolated_stars"),
        isolated_stars_source=opened("isolated_stars_source"),
        fgcm_standard_stars=opened("fgcm_standard_stars"),
        solved_astrometry_wcs=opened("solved_astrometry_wcs"),
        reference=PLAN.reference_options,
        config=PLAN.run.section("solveAstrometry"),
        camera_digest=SURVEY.survey_camera_digest,
        reference_digest=PLAN.reference_digest,
        code=PLAN.code["solveAstrometry"],
        timing=timing("solveAstrometry"),
    shell:
        'python "$DRPFLOW_SCRIPTS/solve_astrometry.py"'
        " --camera {params.camera:q}"
        " --skypix {wildcards.skypix}"
        " --order {params.order}"
        " --association-order {params.association_order}"
        " --visits {params.visits}"
        " --pieces {params.pieces}"
        " --visit-info {params.visit_info:q}"
        " --initial-visit-summary {params.initial_visit_summary:q}"
        " --isolated-stars {params.isolated_stars:q}"
        " --isolated-stars-source {params.isolated_stars_source:q}"
        " --fgcm-standard-stars {params.fgcm_standard_stars:q}"
        " {params.reference}"
        " --config {params.config:q}"
        " --solved-astrometry-wcs {params.solved_astrometry_wcs:q}"
        " --solved-astrometry-stars {output.solved_astrometry_stars:q}"
        " --solved-astrometry-visits {output.solved_astrometry_visits:q}"
        " --solved-astrometry-residuals {output.solved_astrometry_residuals:q}"
        " --status {output.status:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"
