"""The forward global calibration of photometry: atmosphere, instrument and stars in one fit."""

from drpflow.algorithms.fgcm.calibrate import calibrate
from drpflow.algorithms.fgcm.result import FgcmResult, Parameter, StandardStars
from drpflow.algorithms.fgcm.zero_points import Flag

__all__ = ["FgcmResult", "Flag", "Parameter", "StandardStars", "calibrate"]
