"""The global astrometric solution: detectors, visits and stars in one fit."""

from drpflow.algorithms.astrometric_fit.result import AstrometrySolution, Pass, StarFlag
from drpflow.algorithms.astrometric_fit.solve import solve

__all__ = ["AstrometrySolution", "Pass", "StarFlag", "solve"]
