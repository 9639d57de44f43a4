"""The names under which exposures and tables carry components.

They stand apart so that checking the table of dataset types, which every start of Snakemake does,
imports no numpy.
"""

COMPONENTS = (
    "wcs",
    "psf",
    "photo_calib",
    "ap_corr",
    "background",
    "transmission",
    "valid_polygon",
    "visit_info",
    "detector",
    "summary_stats",
    "coadd_inputs",
)
"""Names of components, in the order in which files and messages list them."""
