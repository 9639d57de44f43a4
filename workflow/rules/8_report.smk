"""8. What came of it.

takes      the list of files that ingest did not take, the status of every job and, through the
           run folder, what the tasks found
gives      report
order      makeReport
"""


rule makeReport:
    """One page on the whole run: what was lost and why, and how good the rest is. {instrument}"""
    input:
        PLAN.rejected_files,
        lambda wildcards: SURVEY.expand(status("isr")),
        lambda wildcards: SURVEY.expand(status("calibrateImage")),
        lambda wildcards: SURVEY.expand(status("consolidateVisit")),
        lambda wildcards: PLAN.expand(status("associateIsolatedStars")),
        status("fgcmMakeLookUpTable"),
        status("fgcm"),
        lambda wildcards: PLAN.expand(status("solveAstrometry")),
        lambda wildcards: PLAN.expand(
            [
                status("measureSky"),
                status("makeSkyFrame"),
                status("modelVisitBackground"),
                status("finalizeCharacterization"),
                status("finalizeAstrometry"),
                status("updateVisitSummary"),
                status("planCoaddition"),
                status("makeWarp"),
                status("compareWarpAssembleCoadd"),
                status("finalizeImage"),
                status("consolidateSourceTable"),
                status("matchSource"),
                status("fitStellarMotions"),
                status("compressImage"),
            ]
        ),
    output:
        report=out("report"),
        status=status("makeReport"),
    log:
        logfile("makeReport"),
    conda:
        "../../envs/drpflow.yaml"
    threads: 1
    resources:
        mem_mb=PLAN.survey_memory_mb(megabytes_per_visit=20),
        runtime=PLAN.runtime_min("makeReport"),
    params:
        store=lambda wildcards: PLAN.root,
        config=PLAN.run.section("makeReport"),
        rejected=PLAN.rejected,
        code=PLAN.code["makeReport"],
        timing=timing("makeReport"),
    shell:
        'python "$DRPFLOW_SCRIPTS/make_report.py"'
        " --store {params.store:q}"
        " --config {params.config:q}"
        " --rejected {params.rejected:q}"
        " --report {output.report:q}"
        " --status {output.status:q}"
        " --code {params.code}"
        " --timing {params.timing:q}"
        " > {log:q} 2>&1"
