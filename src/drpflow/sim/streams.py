"""Where every random number of the simulation comes from.

Each population and each physical process has a stream of its own, seeded by
``[seed, stage, *ids]``. Switching one off therefore leaves the draws of all the others as they
were: the difference of two simulations is the effect alone, without a change of noise.
"""

from __future__ import annotations

from enum import IntEnum
from zlib import crc32

import numpy as np


class Stage(IntEnum):
    """One number for each process in the detector. They are part of the output: never renumber.

    Those of :class:`SkyStage` are others: below 1000.
    """

    NOMINAL_AMPLIFIER = 1001
    TRUE_AMPLIFIER = 1002
    CROSSTALK = 1003
    NONLINEARITY = 1004
    BIAS_STRUCTURE = 1005
    RESPONSE = 1010
    RESPONSE_FILTER = 1011
    TREE_RINGS = 1012
    DARK_CURRENT = 1013
    HOT_PIXELS = 1014
    DEFECTS = 1015
    FULL_WELL = 1016
    PHOTONS = 1020
    DARK_ELECTRONS = 1021
    COSMIC_RAYS = 1022
    BIAS_DRIFT = 1023
    READ_NOISE = 1024
    LAMP = 1030


class SkyStage(IntEnum):
    """One number for each population and effect of the sky, the air and the optics; as above."""

    STARS = 101
    GALAXIES = 102
    VARIABILITY = 103
    SUPERNOVAE = 104
    FLARES = 105
    ASTEROIDS = 106
    REFERENCE = 110
    INSTRUMENT = 120
    DETECTOR_OPTICS = 121
    DETECTOR_EFFICIENCY = 123
    SCATTERED = 124
    DOME = 125
    POINTING = 130
    NIGHT_WEATHER = 131
    VISIT_WEATHER = 132
    FLEXURE = 133
    TURBULENCE = 134
    CLOUD = 135
    PSF = 136
    PSF_FIELD = 137
    SKY = 138
    TRAILS = 139


class FrameKind(IntEnum):
    """First number of a frame's identity; the second counts the frames of the kind."""

    SCIENCE = 0
    BIAS = 1
    DARK = 2
    FLAT = 3
    RAMP = 4
    SPOTS = 5
    PAIR = 6


def generator(seed: int, stage: Stage | SkyStage, *ids: int | str) -> np.random.Generator:
    """Return the random generator of one process for one thing.

    Parameters
    ----------
    seed
        Seed of the simulation.
    stage
        The process or population.
    *ids
        What it is drawn for: visit, detector, band or filter name …
    """
    numbers = [crc32(i.encode()) if isinstance(i, str) else int(i) for i in ids]
    return np.random.default_rng([seed, int(stage), *numbers])
