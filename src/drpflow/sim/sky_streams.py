"""Where every random number of the sky simulation comes from.

As in :mod:`drpflow.sim.streams`, each population and each effect draws from a stream of its
own, so that switching one off changes nothing else.
"""

from __future__ import annotations

from enum import IntEnum
from zlib import crc32

import numpy as np


class SkyStage(IntEnum):
    """One number for each thing that is drawn. They are part of the output: never renumber."""

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


def sky_generator(seed: int, stage: SkyStage, *ids: int | str) -> np.random.Generator:
    """Return the random generator of one population or effect for one thing.

    Parameters
    ----------
    seed
        Seed of the survey.
    stage
        What is drawn.
    *ids
        What it is drawn for: visit, detector, band …
    """
    numbers = [crc32(i.encode()) if isinstance(i, str) else int(i) for i in ids]
    return np.random.default_rng([seed, int(stage), *numbers])
