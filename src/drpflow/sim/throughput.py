"""What telescope, filters and CCDs let through, without the air.

Each detector has its own quantum efficiency: detectors with odd and even numbers come from two
makers, and no two of one maker are quite alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.sed import WAVELENGTH_NM
from drpflow.sim.streams import SkyStage, generator

if TYPE_CHECKING:
    from drpflow.sim.config import FilterConfig, SurveyConfig
    from drpflow.sim.instrument import Instrument


@dataclass(frozen=True)
class Throughputs:
    """Curves on :data:`drpflow.sim.sed.WAVELENGTH_NM`.

    Parameters
    ----------
    filters
        Transmission by physical filter.
    mirrors
        Telescope and corrector.
    efficiency
        Electrons per photon by detector id.
    """

    filters: dict[str, np.ndarray]
    mirrors: np.ndarray
    efficiency: dict[int, np.ndarray]

    def system(self, physical_filter: str, detector: int) -> np.ndarray:
        """Return electrons per photon that reaches the telescope, for one detector."""
        return self.filters[physical_filter] * self.mirrors * self.efficiency[detector]

    def mean_system(self, physical_filter: str) -> np.ndarray:
        """Return the mean of :meth:`system` over the detectors."""
        mean = np.mean(list(self.efficiency.values()), axis=0)
        return self.filters[physical_filter] * self.mirrors * mean


def build_throughputs(config: SurveyConfig, instrument: Instrument) -> Throughputs:
    """Draw the curves of a camera."""
    return Throughputs(
        {f.physical_filter: filter_curve(f) for f in config.instrument.filters},
        mirror_curve(WAVELENGTH_NM),
        {d.id: detector_efficiency(config.seed, d.id) for d in instrument.detectors},
    )


def filter_curve(config: FilterConfig, shift_nm: float = 0.0) -> np.ndarray:
    """Return a filter's transmission: a plateau between two logistic edges, slightly rippled.

    Parameters
    ----------
    config
        The filter.
    shift_nm
        Moves both edges to the red.
    """
    w = WAVELENGTH_NM - shift_nm
    rise = 1 / (1 + np.exp(-(w - config.lower_nm) / config.edge_nm))
    fall = 1 / (1 + np.exp((w - config.upper_nm) / config.edge_nm))
    return config.peak * rise * fall * (1 - 0.02 * np.cos(w / 9.0) ** 2)


def mirror_curve(w: np.ndarray) -> np.ndarray:
    """Return two aluminium mirrors (dip at 825 nm) and a four-lens corrector."""
    aluminium = 0.915 - 0.055 * np.exp(-0.5 * ((w - 825.0) / 60.0) ** 2)
    glass = 0.87 / (1 + np.exp(-(w - 350.0) / 9.0))
    return aluminium**2 * glass


def detector_efficiency(seed: int, detector: int) -> np.ndarray:
    """Draw one CCD's quantum efficiency."""
    rng = generator(seed, SkyStage.DETECTOR_EFFICIENCY, detector)
    level, blue, red = rng.normal(size=3)
    maker = detector % 2
    blue_nm = (372.0, 392.0)[maker] + 5.0 * blue
    red_nm = (965.0, 945.0)[maker] + 6.0 * red
    rise = 1 / (1 + np.exp(-(WAVELENGTH_NM - blue_nm) / 32.0))
    fall = 1 / (1 + np.exp((WAVELENGTH_NM - red_nm) / 38.0))
    return 0.92 * (1 + 0.01 * level) * rise * fall
