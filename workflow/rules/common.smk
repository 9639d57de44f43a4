"""Names that the rules share. What thinks is in drpflow.workflow.plan; here are only names."""

from drpflow.workflow.plan import plan_for_snakemake, shell_prefix

PLAN = plan_for_snakemake(config, workflow)
SURVEY = PLAN.survey

shell.prefix(shell_prefix(workflow))

for warning in PLAN.warnings:
    logger.warning(warning)


# Jobs after which large temporary files are deleted go before those that make more of them.
FREES_DISK = 1


wildcard_constraints:
    **PLAN.table.wildcard_constraints(),


def data(name):
    """Return the path pattern of a dataset type."""
    return f"{PLAN.root}/{PLAN.table.path_template(name)}"


def out(name):
    """Return the path pattern of an output; temporary ones are deleted after use."""
    return temp(data(name)) if PLAN.is_temporary(name) else data(name)


def out_of_visit(name):
    """Return the path patterns of an output for all detectors of a visit."""
    paths = PLAN.batch.of_detectors(data(name))
    return temp(paths) if PLAN.is_temporary(name) else paths


def out_of_survey(name):
    """Return the paths of an output for all visits, or pieces of the sky."""
    return PLAN.expand(data(name))


def folder(name):
    """Return the pattern of the folder with a dataset of all visits of a piece of the sky."""
    return PLAN.astrometry.folder(data(name))


def out_of_piece(name):
    """Return that folder as an output."""
    whole = directory(folder(name))
    return temp(whole) if PLAN.is_temporary(name) else whole


def of_survey(name):
    """Return the input function that gives all of a dataset type."""
    return lambda wildcards: PLAN.expand(data(name))


def opened(name):
    """Return the function for params: that leaves visit and piece of sky of a path open."""
    return lambda wildcards: data(name)


def filled_in(name):
    """Return the function for params: that gives the path of a dataset of the job's data ID."""
    return lambda wildcards: data(name).format(**wildcards)


def kept(name):
    """Return the path pattern of a dataset type unless this run deletes it."""
    return [] if PLAN.is_temporary(name) else data(name)


def status(task):
    """Return the path pattern of a task's status files."""
    return PLAN.job_file("status", task, ".json")


def logfile(task):
    """Return the path pattern of a task's logs."""
    return PLAN.job_file("logs", task, ".log")


def timing(task):
    """Return the path pattern of the time and memory that jobs of a task took."""
    return PLAN.job_file("benchmarks", task, ".tsv")
