"""measureSky: the sky of a visit's detectors in small cells, their backgrounds put back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.measurement.psf_fit import typical_sigma
from drpflow.algorithms.visit_background.samples import measure_sky
from drpflow.errors import AlgorithmError, DrpflowError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from drpflow.config.measure_sky import MeasureSkyConfig
    from drpflow.data.exposure import Exposure
    from drpflow.data.sky_samples import SkySamples

    Bool: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class MeasuredSky:
    """What measureSky makes of a visit.

    Parameters
    ----------
    samples
        ``sky_samples`` by detector.
    lost
        Why other detectors have none.
    numbers
        Figures for the status file.
    """

    samples: dict[int, SkySamples]
    lost: dict[int, str]
    numbers: dict[str, float | int | str]

    @property
    def problem(self) -> AlgorithmError | None:
        """What is missing, None if nothing is."""
        if not self.lost:
            return None
        names = ", ".join(str(key) for key in sorted(self.lost))
        first = self.lost[min(self.lost)]
        return AlgorithmError(f"no sky of detector {names}: {first}")


def measure_visit(
    exposures: Iterable[tuple[int, Exposure, Bool | None]], config: MeasureSkyConfig
) -> MeasuredSky:
    """Measure the sky of a visit, one detector after the other.

    Parameters
    ----------
    exposures
        Detectors, their ``initial_pvi``, and pixels of sources that are known from elsewhere
        (shape (ny, nx), None for none); only one detector is held at a time.
    config
        The section ``measureSky``.
    """
    samples, lost = {}, {}
    for key, exposure, footprints in exposures:
        try:
            samples[key] = _measure(exposure, footprints, config)
        except DrpflowError as failure:
            lost[key] = str(failure)
    used = [s.count.sum() / np.prod(s.shape_pix) for s in samples.values()]
    numbers: dict[str, float | int | str] = {
        "detectors": len(samples),
        "sky_fraction": float(np.mean(used)) if used else 0.0,
    }
    return MeasuredSky(samples, lost, numbers)


def _measure(exposure: Exposure, footprints: Bool | None, config: MeasureSkyConfig) -> SkySamples:
    psf = exposure.psf
    sigma = config.default_sigma_pix if psf is None else typical_sigma(psf, exposure.shape)
    return measure_sky(exposure, sigma, config, footprints)
