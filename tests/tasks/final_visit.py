"""A small visit whose pixels, calibrations and backgrounds are known, as updateVisitSummary reads it.

Detrended pixels are ``sky + source / c``, c the true calibration, all varying over the detector.
The first calibration and the first background are wrong by known amounts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from drpflow.data.ap_corr import ApCorrMap
from drpflow.data.background import Background, ConstantLayer
from drpflow.data.camera import Camera
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.detector_info import DetectorInfo
from drpflow.data.exposure import Exposure
from drpflow.data.geometry import Box, ValidPolygon
from drpflow.data.mask import Mask
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.polynomial import Basis2D, Domain, Polynomial2D
from drpflow.data.psf import GaussianPsf
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.transmission import TransmissionCurve
from drpflow.data.visit_info import VisitInfo
from drpflow.io.store import Store
from drpflow.io.tables import write_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
