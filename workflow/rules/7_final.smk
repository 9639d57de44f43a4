"""7. The final products: images and sources with the best models that there will be.

takes      initial_pvi, visit_background, final_visit_summary, initial_visit_summary, visit_info,
           warp_mask, final_characterization_stars, isolated_stars_source, fgcm_standard_stars,
           final_astrometry_residuals, final_astrometry_visits, reference stars; for rebuilt_pvi
           post_isr_image
gives      pvi, final_source_detector, source, source_coverage, source_matches, source_matches_join,
           stellar_motions, compressed_pvi, rebuilt_pvi
order      finalizeImage -> consolidateSourceTable -> matchSource -> fitStellarMotions
           finalizeImage -> compressImage, rebuildImage

A detector takes the warp masks of the patches that it touches (PATCHES); where no tract reaches, it
has none. pvi is temporary: it goes when compressImage has read it, and rebuildImage makes it again.
"""

PATCHES = PLAN.patches


rule finalizeImage:
    """The final image, and all of its sources measured with the final models. {visit, detector}"""
    input:
        initial_pvi=data("initial_pvi"),
        visit_info=data("visit_info"),
        visit_background=data("visit_background"),
        final_visit_summary=data("final_visit_summary"),
        initial_visit_summary=data("initial_visit_summary"),
        warp_mask=PATCHES.of_detector(folder("warp_mask")),
        final_characterization_stars=data("final_characterization_stars"),
        isolated_stars_source=VISIT_PIECES.of_association(data("isolated_stars_source")),
        fgcm_standard_stars=VISIT_PIECES.of_association(data("fgcm_standard_stars")),
        final_astrometry_residuals=VISIT_PIECES.of_solution(
            data("final_astrometry_residuals")
        ),
    output:
        pvi=out("pvi"),
        final_source_detector=out("final_source_detector"),
        status=status("finalizeImage"),
    log:
        logfile("finalizeImage"),
    wildcard_constraints:
        visit=PLAN.visits_by_detector,
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=PLAN.memory_mb(bytes_per_pixel=60),
        runtime=PLAN.runtime_min("finalizeImage"),
    params:
        camera=PLAN.run.camera,
        patches=PATCHES.patch_option,
        warp_mask=PATCHES.opened(data("warp_mask")),
        pieces=VISIT_PIECES.association_list,
        solved=VISIT_PIECES.solution_list,
        isolated_stars_source=opened("isolated_stars_source"),
        fgcm_standard_stars=opened("fgcm_standard_stars"),
        final_astrometry_residuals=opened("final_astrometry_residuals"),
        config=PLAN.run.section("finalizeImage"),
        camera_digest=SURVEY.camera_digest,
        code=PLAN.code["finalizeImage"],
        timing=timing("finalizeImage"),
    shell:
        'python "$DRPFLOW_SCRIPTS/finalize_image.py"'
        " {params.patches}"
        " --camera {params.camera:q}"
        " --detector {wildcards.detector}"
        " --initial-pvi {input.initial_pvi:q}"
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
        " --pvi {output.pvi:q}"
        " --final-source-detector {output.final_source_detector:q}"
        " --status {output.status:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"


rule consolidateSourceTable:
    """The sources of all detectors in one table, and the sky that they cover. {visit}"""
    input:
        final_source_detector=SURVEY.of_visit(data("final_source_detector")),
        final_visit_summary=data("final_visit_summary"),
    output:
        source=out("source"),
        source_coverage=out("source_coverage"),
        status=status("consolidateSourceTable"),
    log:
        logfile("consolidateSourceTable"),
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=PLAN.memory_mb(bytes_per_pixel=5),
        runtime=PLAN.runtime_min("consolidateSourceTable"),
    params:
        config=PLAN.run.section("consolidateSourceTable"),
        code=PLAN.code["consolidateSourceTable"],
        timing=timing("consolidateSourceTable"),
    shell:
        'python "$DRPFLOW_SCRIPTS/consolidate_source_table.py"'
        " --visit {wildcards.visit}"
        " --final-source-detector {input.final_source_detector:q}"
        " --final-visit-summary {input.final_visit_summary:q}"
        " --config {params.config:q}"
        " --source {output.source:q}"
        " --source-coverage {output.source_coverage:q}"
        " --status {output.status:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"


rule matchSource:
    """Sources of all visits, and reference stars, that are one object. {skypix}"""
    input:
        visit_info=OVERLAPS.of_skypix(data("visit_info")),
        source=OVERLAPS.of_skypix(data("source")),
        reference_stars=PLAN.reference_files,
    output:
        source_matches=out("source_matches"),
        source_matches_join=out("source_matches_join"),
        status=status("matchSource"),
    log:
        logfile("matchSource"),
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=OVERLAPS.memory_mb,
        runtime=PLAN.runtime_min("matchSource"),
    params:
        order=OVERLAPS.order,
        pixel_arcsec=SURVEY.pixel_arcsec,
        visits=OVERLAPS.visit_list,
        visit_info=opened("visit_info"),
        source=opened("source"),
        reference=PLAN.reference_options,
        config=PLAN.run.section("matchSource"),
        reference_digest=PLAN.reference_digest,
        code=PLAN.code["matchSource"],
        timing=timing("matchSource"),
    shell:
        'python "$DRPFLOW_SCRIPTS/match_source.py"'
        " --skypix {wildcards.skypix}"
        " --order {params.order}"
        " --pixel-arcsec {params.pixel_arcsec}"
        " --visits {params.visits}"
        " --visit-info {params.visit_info:q}"
        " --source {params.source:q}"
        " {params.reference}"
        " --config {params.config:q}"
        " --source-matches {output.source_matches:q}"
        " --source-matches-join {output.source_matches_join:q}"
        " --status {output.status:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"


rule fitStellarMotions:
    """Positions, motions and parallaxes of matched sources, WCSs held fixed. {skypix}"""
    input:
        visit_info=OVERLAPS.of_skypix(data("visit_info")),
        source=OVERLAPS.of_skypix(data("source")),
        final_visit_summary=OVERLAPS.of_skypix(data("final_visit_summary")),
        final_astrometry_visits=ASTROMETRY.about_piece(data("final_astrometry_visits")),
        source_matches=data("source_matches"),
        source_matches_join=data("source_matches_join"),
        reference_stars=PLAN.reference_files,
    output:
        stellar_motions=out("stellar_motions"),
        status=status("fitStellarMotions"),
    log:
        logfile("fitStellarMotions"),
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=OVERLAPS.memory_mb,
        runtime=PLAN.runtime_min("fitStellarMotions"),
    params:
        order=OVERLAPS.order,
        visits=OVERLAPS.visit_list,
        pieces=ASTROMETRY.list_about_piece,
        visit_info=opened("visit_info"),
        source=opened("source"),
        final_visit_summary=opened("final_visit_summary"),
        final_astrometry_visits=opened("final_astrometry_visits"),
        reference=PLAN.reference_options,
        config=PLAN.run.section("fitStellarMotions"),
        reference_digest=PLAN.reference_digest,
        code=PLAN.code["fitStellarMotions"],
        timing=timing("fitStellarMotions"),
    shell:
        'python "$DRPFLOW_SCRIPTS/fit_stellar_motions.py"'
        " --skypix {wildcards.skypix}"
        " --order {params.order}"
        " --visits {params.visits}"
        " --pieces {params.pieces}"
        " --visit-info {params.visit_info:q}"
        " --source {params.source:q}"
        " --final-visit-summary {params.final_visit_summary:q}"
        " --final-astrometry-visits {params.final_astrometry_visits:q}"
        " --source-matches {input.source_matches:q}"
        " --source-matches-join {input.source_matches_join:q}"
        " {params.reference}"
        " --config {params.config:q}"
        " --stellar-motions {output.stellar_motions:q}"
        " --status {output.status:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"


rule compressImage:
    """The final image in less space: pixels with little loss, all else with none. {visit, detector}"""
    input:
        pvi=data("pvi"),
        visit_info=data("visit_info"),
    output:
        compressed_pvi=out("compressed_pvi"),
        status=status("compressImage"),
    log:
        logfile("compressImage"),
    wildcard_constraints:
        visit=PLAN.visits_by_detector,
    priority: FREES_DISK
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=PLAN.memory_mb(bytes_per_pixel=40),
        runtime=PLAN.runtime_min("compressImage"),
    params:
        camera=PLAN.run.camera,
        config=PLAN.run.section("compressImage"),
        camera_digest=SURVEY.camera_digest,
        code=PLAN.code["compressImage"],
        timing=timing("compressImage"),
    shell:
        'python "$DRPFLOW_SCRIPTS/compress_image.py"'
        " --camera {params.camera:q}"
        " --detector {wildcards.detector}"
        " --pvi {input.pvi:q}"
        " --visit-info {input.visit_info:q}"
        " --config {params.config:q}"
        " --compressed-pvi {output.compressed_pvi:q}"
        " --status {output.status:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"


rule rebuildImage:
    """The final image again, without loss, for the target `rebuilt` alone. {visit, detector}"""

    # The products that it starts from are named as parameters: as inputs they would bring in all
    # tasks before them, and each would run again, since post_isr_image is made again.
    input:
        post_isr_image=data("post_isr_image"),
        visit_info=data("visit_info"),
    output:
        rebuilt_pvi=out("rebuilt_pvi"),
        status=status("rebuildImage"),
    log:
        logfile("rebuildImage"),
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=PLAN.memory_mb(bytes_per_pixel=60),
        runtime=PLAN.runtime_min("rebuildImage"),
    params:
        camera=PLAN.run.camera,
        visit_background=filled_in("visit_background"),
        compressed_pvi=filled_in("compressed_pvi"),
        camera_digest=SURVEY.camera_digest,
        code=PLAN.code["rebuildImage"],
        timing=timing("rebuildImage"),
    shell:
        'python "$DRPFLOW_SCRIPTS/rebuild_image.py"'
        " --camera {params.camera:q}"
        " --detector {wildcards.detector}"
        " --post-isr-image {input.post_isr_image:q}"
        " --visit-background {params.visit_background:q}"
        " --compressed-pvi {params.compressed_pvi:q}"
        " --visit-info {input.visit_info:q}"
        " --rebuilt-pvi {output.rebuilt_pvi:q}"
        " --status {output.status:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"
