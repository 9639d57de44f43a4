"""2. The same stars on all visits.

takes      initial_stars, initial_visit_summary and visit_info of all visits about a piece of sky
gives      isolated_stars, isolated_stars_source
order      associateIsolatedStars
"""

OVERLAPS = PLAN.overlaps


rule associateIsolatedStars:
    """Detections of all visits to isolated stars, some of them reserved. {skypix}"""
    input:
        visit_info=OVERLAPS.of_skypix(data("visit_info")),
        initial_visit_summary=OVERLAPS.of_skypix(data("initial_visit_summary")),
        initial_stars=OVERLAPS.of_skypix(data("initial_stars")),
    output:
        isolated_stars=out("isolated_stars"),
        isolated_stars_source=out("isolated_stars_source"),
        status=status("associateIsolatedStars"),
    log:
        logfile("associateIsolatedStars"),
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=OVERLAPS.memory_mb,
        runtime=PLAN.runtime_min("associateIsolatedStars"),
    params:
        order=OVERLAPS.order,
        bands=",".join(SURVEY.bands),
        pixel_arcsec=SURVEY.pixel_arcsec,
        visits=OVERLAPS.visit_list,
        counted_visits=OVERLAPS.counted_visits,
        visit_info=opened("visit_info"),
        initial_visit_summary=opened("initial_visit_summary"),
        initial_stars=opened("initial_stars"),
        config=PLAN.run.section("associateIsolatedStars"),
        code=PLAN.code["associateIsolatedStars"],
        timing=timing("associateIsolatedStars"),
    shell:
        'python "$DRPFLOW_SCRIPTS/associate_isolated_stars.py"'
        " --skypix {wildcards.skypix}"
        " --order {params.order}"
        " --bands {params.bands:q}"
        " --pixel-arcsec {params.pixel_arcsec}"
        " --visits {params.visits}"
        " --counted-visits={params.counted_visits:q}"
        " --visit-info {params.visit_info:q}"
        " --initial-visit-summary {params.initial_visit_summary:q}"
        " --initial-stars {params.initial_stars:q}"
        " --config {params.config:q}"
        " --isolated-stars {output.isolated_stars:q}"
        " --isolated-stars-source {output.isolated_stars_source:q}"
        " --status {output.status:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"
