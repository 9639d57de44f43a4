"""What stands between Snakemake and the tasks: look-ups, fingerprints, status, the runner."""
