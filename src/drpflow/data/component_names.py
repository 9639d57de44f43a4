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
    "noise_covariance",
)
"""Names of components, in the order in which files and messages list them."""

CLASSES = {
    "wcs": "SkyWcs",
    "psf": "Psf",
    "photo_calib": "PhotoCalib",
    "ap_corr": "ApCorrMap",
    "background": "Background",
    "transmission": "TransmissionCurve",
    "valid_polygon": "ValidPolygon",
    "visit_info": "VisitInfo",
    "detector": "DetectorInfo",
    "summary_stats": "SummaryStats",
    "coadd_inputs": "CoaddInputs",
    "noise_covariance": "NoiseCovariance",
}
"""Class, or base class, of each component."""


def is_component_class(name: str, value: object) -> bool:
    """Return whether an object is of the class of a component, without importing that class."""
    return any(base.__name__ == CLASSES[name] for base in type(value).__mro__)
