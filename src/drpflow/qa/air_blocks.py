"""What the report says of air and instrument in the photometric calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.qa.air_data import nights_of
from drpflow.qa.canvas import is_large
from drpflow.qa.charts import night_label
from drpflow.qa.page import Block, Column, Picture, make_table
from drpflow.qa.photometry_figures import air_figure, cell_maps, extinction_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.io.store import Store
    from drpflow.qa.air_data import Night
    from drpflow.qa.photometry_data import Photometry

_FLAT = "star_flat_"
# Parameters of a night, with unit, digits and the factor of that unit.
_AIR = (
    ("pwv_mm", "water", "mm", 2, 1.0),
    ("ln_pwv_slope", "its ln drifts", "1/h", 3, 1.0),
    ("ozone", "ozone", "DU", 0, 1.0),
    ("aerosol_tau", "aerosol depth", "775 nm", 4, 1.0),
    ("aerosol_tau_slope", "it drifts", "1/h", 4, 1.0),
    ("aerosol_alpha", "aerosol slope", "", 2, 1.0),
    ("night_gray", "gray of the night", "mmag", 2, 1e3),
)
_FLAT_NODES = 16
_PARAMETER_COLUMNS = (
    Column("parameter", text=True),
    Column("filter or band", text=True),
    Column("epoch"),
    Column("detector"),
    Column("value", "", 5),
    Column("error", "", 5),
    Column("unit", text=True),
)
_FLAT_COLUMNS = (
    Column("filter", text=True),
    Column("epoch"),
    Column("detector"),
    Column("mean", "mmag", 2),
    Column("its error", "mmag", 2),
    Column("structure", "rms, mmag", 2),
    Column("its error", "mmag", 2),
)


def air_blocks(store: Store, found: Photometry) -> list[Block]:
    """Return the air of each night, and how much it takes away."""
    if not found.parameters:
        return []
    table = store.get("fgcm_look_up_table") if store.exists("fgcm_look_up_table") else None
    nights = nights_of(found, table)
    note = (
        "Rings are nights of few photometric visits, whose air is told by what is usual more than "
        "by stars. An error as large as what is usual from night to night says that no band feels "
        "the absorber."
    )
    blocks = [
        Block(
            "Air of each night",
            note,
            [Picture(air_figure(nights), "Parameters of the air, with their errors.")],
            _air_table(nights),
            "Numbers of each night",
            wide=True,
        )
    ]
    bands = [b for b in found.bands if any(b in n.extinction for n in nights)]
    if bands:
        blocks.append(_extinction_block(nights, bands))
    return blocks


def _air_table(nights: Sequence[Night]) -> Any:
    columns = [Column("night", text=True), Column("visits"), Column("photometric")]
    for _, name, unit, digits, _ in _AIR:
        columns += [Column(name, unit, digits), Column("±", "", digits)]
    rows = []
    for night in nights:
        cells: list[Any] = [night_label(night.night), night.visits, night.photometric]
        for key, _, _, _, factor in _AIR:
            value, error = night.values.get(key, (np.nan, np.nan))
            cells += [factor * value, factor * error]
        rows.append(cells)
    return make_table(columns, rows)


def _extinction_block(nights: Sequence[Night], bands: Sequence[str]) -> Block:
    columns = [Column("night", text=True)]
    for band in bands:
        columns += [Column(band, "mmag per airmass", 1), Column("±", "", 1)]
    rows = [
        [
            night_label(n.night),
            *(1e3 * v for b in bands for v in n.extinction.get(b, (np.nan, np.nan))),
        ]
        for n in nights
    ]
    return Block(
        "Extinction coefficients",
        "How much fainter a star of flat spectrum is for each airmass, between 1 and 2, through "
        "the air of the night. Errors take those of the air's parameters as independent.",
        [Picture(extinction_figure(nights, bands), "Extinction by night and band.")],
        make_table(columns, rows),
        "Numbers of each night",
        wide=True,
    )


def instrument_blocks(found: Photometry) -> list[Block]:
    """Return star flats, and the other parameters of the instrument."""
    p = found.parameters
    if not p:
        return []
    flat = np.char.startswith(p["name"].astype(str), _FLAT)
    rest = np.flatnonzero(~flat & (p["night"] < 0))
    rows = [
        [
            str(p["name"][k]), str(p["physical_filter"][k] or p["band"][k]), _known(p["epoch"][k]),
            _known(p["detector"][k]), float(p["value"][k]), float(p["error"][k]),
            str(p["unit"][k]),
        ]
        for k in rest
    ]  # fmt: skip
    table = Block(
        "Parameters of the instrument",
        "Throughputs, drifts, seeing, colour terms and passbands.",
        table=make_table(_PARAMETER_COLUMNS, rows),
        folded=f"all {len(rows)} parameters",
    )
    return [*_flat_blocks(found, np.flatnonzero(flat)), table]


def _known(value: np.integer[Any]) -> int | None:
    return int(value) if value >= 0 else None


def _flat_blocks(found: Photometry, rows: NDArray[np.intp]) -> list[Block]:
    p = found.parameters
    detectors = [found.detectors[key] for key in sorted(found.detectors)]
    if not rows.size:
        return []
    pictures, numbers = [], []
    owners = zip(p["physical_filter"][rows].tolist(), p["epoch"][rows].tolist(), strict=True)
    for name, epoch in dict.fromkeys(owners):
        mine = rows[(p["physical_filter"][rows] == name) & (p["epoch"][rows] == epoch)]
        maps = {}
        for key in np.unique(p["detector"][mine]).tolist():
            own = mine[p["detector"][mine] == key]
            terms = [str(t) for t in p["name"][own]]
            value, error = 1e3 * p["value"][own], 1e3 * p["error"][own]
            maps[key] = flat_map(terms, value)
            first = np.array([t == f"{_FLAT}00" for t in terms])
            numbers.append([
                name, epoch, key, float(value[first].sum()), float(error[first].sum()),
                float(np.hypot.reduce(value[~first], initial=0.0)),
                float(np.hypot.reduce(error[~first], initial=0.0)),
            ])  # fmt: skip
        if detectors:
            about = name if epoch == 0 else f"{name}, epoch {epoch}"
            unit = "added to magnitudes [mmag]"
            pictures.append(Picture(cell_maps(maps, detectors, unit), about))
    return [
        Block(
            "Star flat",
            "What the flat fields have wrong, by filter and epoch: red where they make stars too "
            "bright, so that magnitudes are added.",
            pictures,
            make_table(_FLAT_COLUMNS, numbers),
            "Numbers of each detector",
            wide=is_large(detectors),
        )
    ]


def flat_map(terms: Sequence[str], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a star flat on a grid over its detector, [y, x].

    Parameters
    ----------
    terms
        Names ``star_flat_ij`` of √(2i+1) P_i(u) √(2j+1) P_j(v), Legendre polynomials.
    values
        Their coefficients.
    """
    from numpy.polynomial.legendre import legval

    middles = (np.arange(_FLAT_NODES) + 0.5) / _FLAT_NODES * 2 - 1
    total = np.zeros((_FLAT_NODES, _FLAT_NODES))
    for term, value in zip(terms, values, strict=True):
        i, j = (int(c) for c in term[-2:])
        along, up = (np.sqrt(2 * n + 1) * legval(middles, np.eye(n + 1)[n]) for n in (i, j))
        total += value * np.outer(up, along)
    return total
