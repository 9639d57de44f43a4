"""Multi-stage calibration of survey images as a Snakemake workflow.

The names that users need are here; everything else is imported from its own module.
Imports are lazy (PEP 562), so that ``import drpflow`` costs nothing and a script loads
only what its task needs.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Store": "drpflow.io.store",
    "Exposure": "drpflow.data.exposure",
    "SkyWcs": "drpflow.data.sky_wcs",
    "PhotoCalib": "drpflow.data.photo_calib",
    "Camera": "drpflow.data.camera",
    "AlgorithmError": "drpflow.errors",
    "InputError": "drpflow.errors",
}

__all__ = ["__version__", *sorted(_PUBLIC)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'drpflow' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)
