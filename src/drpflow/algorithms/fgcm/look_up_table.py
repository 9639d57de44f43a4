"""The weights of a look-up table, from throughput curves.

Between the wavelengths λ_k of the air's table the transmission T is taken as linear; with the
triangles h_k that make it so, ``∫ S T dλ/λ = Σ_k T(λ_k) ∫ S h_k dλ/λ``. The integrals over the
triangles are the weights; the throughput S may be as fine as it likes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.look_up_table import FilterTable, LookUpTable, StandardPassband
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.data.air import AirAbsorption, AirState

    Floats: TypeAlias = NDArray[np.float64]
    Curve: TypeAlias = tuple[Floats, Floats]


@dataclass(frozen=True, eq=False)
class FilterThroughput:
    """What telescope, filter and CCDs let through.

    Parameters
    ----------
    physical_filter, band
        Names.
    curves
        Wavelengths [nm], rising, and throughputs; different ones only.
    curve
        Index of the curve of each detector, shape (D,).
    nominal
        Whether the curves are guessed.
    """

    physical_filter: str
    band: str
    curves: tuple[Curve, ...]
    curve: NDArray[np.int32]
    nominal: bool = False


def build_look_up_table(
    throughputs: Sequence[FilterThroughput],
    detectors: Sequence[int],
    air: AirAbsorption,
    standard_atmosphere: AirState,
) -> LookUpTable:
    """Return the table of a camera.

    The standard passband of a band is that of its first filter: the mean over the detectors, seen
    through the standard air.

    Parameters
    ----------
    throughputs
        Those of all filters, each of which lets through light that `air` covers.
    detectors
        Ids of the detectors.
    air
        Coefficients of the air at rising wavelengths.
    standard_atmosphere
        The air of the standard passbands.

    Raises
    ------
    AlgorithmError
        If a filter lets nothing through where the air is known.
    """
    transmission = air.transmission(*standard_atmosphere.values())
    standards: dict[str, StandardPassband] = {}
    tables = []
    for item in throughputs:
        moments = np.array([node_weights(*curve, air.wavelength_nm) for curve in item.curves])
        by_photon, by_wavelength = moments[:, 0], moments[:, 1]
        if not (by_photon.sum(axis=1) > 0).all():
            raise AlgorithmError(
                f"filter {item.physical_filter} lets nothing through between "
                f"{air.wavelength_nm[0]:g} and {air.wavelength_nm[-1]:g} nm"
            )
        if item.band not in standards:
            mean = moments[item.curve].mean(axis=0) @ transmission
            standards[item.band] = StandardPassband(float(mean[0]), 0.0, float(mean[1] / mean[0]))
        standard = standards[item.band]
        weights = np.stack([by_photon, by_wavelength - standard.wavelength_nm * by_photon])
        rows = np.flatnonzero(by_photon.any(axis=0))
        tables.append(
            FilterTable(
                item.physical_filter,
                item.band,
                item.nominal,
                standard,
                air.take(rows),
                weights[:, :, rows],
                item.curve,
            )
        )
    return LookUpTable(tuple(tables), tuple(detectors), standard_atmosphere, air)


def node_weights(wavelength_nm: Floats, throughput: Floats, nodes_nm: Floats) -> Floats:
    """Return ∫ S h_k dλ/λ and ∫ S h_k dλ of the triangles h_k around nodes, shape (2, n).

    S is linear between its wavelengths and zero beyond them. Simpson's rule between neighbours of
    both grids: exact for the second integral, to 1e-9 for the first.
    """
    first = max(wavelength_nm[0], nodes_nm[0])
    last = min(wavelength_nm[-1], nodes_nm[-1])
    if first >= last:
        return np.zeros((2, nodes_nm.size))
    grid = np.unique(np.concatenate([wavelength_nm, nodes_nm]))
    grid = grid[(grid >= first) & (grid <= last)]
    step = np.diff(grid)
    points = np.concatenate([grid[:-1], grid[:-1] + step / 2, grid[1:]])
    area = np.concatenate([step, 4 * step, step]) / 6
    area *= np.interp(points, wavelength_nm, throughput)
    left = np.clip(np.searchsorted(nodes_nm, points, side="right") - 1, 0, nodes_nm.size - 2)
    share = (points - nodes_nm[left]) / (nodes_nm[left + 1] - nodes_nm[left])
    return np.array(
        [
            np.bincount(left, values * (1 - share), nodes_nm.size)
            + np.bincount(left + 1, values * share, nodes_nm.size)
            for values in (area / points, area)
        ]
    )


def share_within(
    wavelength_nm: Floats, throughput: Floats, first_nm: float, last_nm: float
) -> float:
    """Return the share of ∫ S dλ/λ between two wavelengths; 0 for a curve that is zero."""
    ends = np.unique(np.clip([first_nm, last_nm], wavelength_nm[0], wavelength_nm[-1]))
    total = node_weights(wavelength_nm, throughput, wavelength_nm[[0, -1]])[0].sum()
    if ends.size < 2 or total <= 0:
        return 0.0
    return float(node_weights(wavelength_nm, throughput, ends)[0].sum() / total)
