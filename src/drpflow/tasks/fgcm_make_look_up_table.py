"""fgcmMakeLookUpTable: passbands of all filters and detectors, integrated through any air.

``docs/tasks/fgcmMakeLookUpTable.md`` has inputs and parameters, ``docs/algorithms/atmosphere.md``
equations and figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.fgcm.look_up_table import (
    FilterThroughput,
    build_look_up_table,
    share_within,
)
from drpflow.algorithms.fgcm.nominal_passbands import nominal_passband
from drpflow.data.air import AirState, standard_pressure_hpa
from drpflow.data.look_up_table import LookUpTable
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.config.fgcm_make_look_up_table import FgcmMakeLookUpTableConfig
    from drpflow.data.air import AirAbsorption
    from drpflow.data.camera import Camera, Filter

    Curve: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]

# A filter with less of its light where the air is known is left out.
_MIN_SHARE_WITHIN = 0.95


@dataclass(frozen=True)
class MadeTable:
    """What fgcmMakeLookUpTable makes.

    Parameters
    ----------
    table
        The look-up table.
    numbers
        Figures for the status file. ``nominal`` names the filters whose throughput is a guess,
        and says what it is taken from.
    problem
        Why filters are left out, or None.
    """

    table: LookUpTable
    numbers: dict[str, float | int | str]
    problem: AlgorithmError | None = None


def fgcm_make_look_up_table(
    camera: Camera,
    curves: Mapping[str, Mapping[int, Curve]],
    air: AirAbsorption,
    config: FgcmMakeLookUpTableConfig,
) -> MadeTable:
    """Make the look-up table of a camera.

    Parameters
    ----------
    camera
        Its detectors, filters and elevation.
    curves
        Wavelengths [nm] and throughputs by physical filter and detector; none for filters of which
        the camera file tells no throughput.
    air
        Coefficients of the air.
    config
        The standard air.
    """
    detectors = tuple(detector.id for detector in camera.detectors)
    throughputs, guesses, beyond = [], [], []
    for item in camera.filters:
        own = curves.get(item.physical_filter)
        if own:
            throughput = _from_curves(item, [own[d] for d in detectors])
        else:
            throughput, origin = _nominal(item, len(detectors))
            guesses.append(f"{item.physical_filter}: {origin}")
        if _is_covered(throughput, air):
            throughputs.append(throughput)
        else:
            beyond.append(item.physical_filter)
    table = build_look_up_table(throughputs, detectors, air, _standard_air(camera, config))
    return MadeTable(table, _numbers(table, guesses), _problem(beyond, air))


def empty_table(
    camera: Camera, air: AirAbsorption, config: FgcmMakeLookUpTableConfig
) -> LookUpTable:
    """Return the table without any filter, which stands for one that could not be made."""
    detectors = tuple(detector.id for detector in camera.detectors)
    return LookUpTable((), detectors, _standard_air(camera, config), air)


def _standard_air(camera: Camera, config: FgcmMakeLookUpTableConfig) -> AirState:
    pressure = config.pressure_hpa
    if pressure is None:
        pressure = standard_pressure_hpa(camera.observatory.elevation_m)
    return AirState(
        config.pwv_mm,
        config.ozone_dobson,
        config.aerosol_tau,
        config.aerosol_alpha,
        config.airmass,
        pressure,
    )


def _from_curves(item: Filter, curves: Sequence[Curve]) -> FilterThroughput:
    """Return the throughput of a filter, each different curve once."""
    places: dict[bytes, int] = {}
    different: list[Curve] = []
    index = []
    for wavelength, throughput in curves:
        key = wavelength.tobytes() + throughput.tobytes()
        if key not in places:
            places[key] = len(different)
            different.append((wavelength, throughput))
        index.append(places[key])
    return FilterThroughput(
        item.physical_filter, item.band, tuple(different), np.array(index, np.int32)
    )


def _nominal(item: Filter, n_detectors: int) -> tuple[FilterThroughput, str]:
    curve, origin = nominal_passband(item.physical_filter, item.band, item.effective_wavelength_nm)
    every = np.zeros(n_detectors, np.int32)
    throughput = FilterThroughput(item.physical_filter, item.band, (curve,), every, nominal=True)
    return throughput, origin


def _is_covered(throughput: FilterThroughput, air: AirAbsorption) -> bool:
    first, last = air.wavelength_nm[0], air.wavelength_nm[-1]
    shares = [share_within(*curve, first, last) for curve in throughput.curves]
    return min(shares) >= _MIN_SHARE_WITHIN


def _numbers(table: LookUpTable, guesses: list[str]) -> dict[str, float | int | str]:
    numbers: dict[str, float | int | str] = {
        "n_filters": len(table.tables),
        "n_detectors": len(table.detectors),
        "n_curves": sum(item.weights.shape[1] for item in table.tables),
        "standard_pressure_hpa": round(table.standard_atmosphere.pressure_hpa, 1),
    }
    for band in table.bands:
        numbers[f"wavelength_{band}_nm"] = round(table.effective_wavelength_nm(band), 3)
    if guesses:
        numbers["nominal"] = "; ".join(guesses)
    return numbers


def _problem(beyond: list[str], air: AirAbsorption) -> AlgorithmError | None:
    if not beyond:
        return None
    return AlgorithmError(
        f"filters {', '.join(beyond)} are left out: they let light through beyond "
        f"{air.wavelength_nm[0]:g} to {air.wavelength_nm[-1]:g} nm, where the air is not tabulated",
        {"n_filters_left_out": len(beyond)},
        "Their visits keep the zero points of calibrateImage",
    )
