"""What an earlier run has found of the instrument: gathered from it, read from its catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from drpflow.data.solved_instrument import SolvedInstrument
from drpflow.errors import InputError
from drpflow.io.tables import open_parquet, table_meta

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.io.store import Store

INSTRUMENT = "instrument"
"""What of the metadata of a reference catalogue holds it."""


class DetectorWcs(NamedTuple):
    """The WCS of a detector in a visit, with the visit's time and its error (both coordinates)."""

    detector: int
    mjd: float
    error_arcsec: float
    wcs: SkyWcs


class SolvedParts(NamedTuple):
    """Columns of ``fgcm_parameters``, and a WCS of each detector and epoch of the instrument."""

    parameters: dict[str, NDArray[Any]]
    wcs: list[DetectorWcs]


def read_solved_instrument(path: Path | None) -> SolvedInstrument | None:
    """Return what a reference catalogue tells of the instrument, None if nothing.

    Raises
    ------
    InputError
        If it was written by something else than ``drpflow reference from-solution``.
    """
    if path is None or path.is_dir():
        return None
    meta = table_meta(open_parquet(path).schema_arrow).get(INSTRUMENT)
    if meta is None:
        return None
    try:
        return SolvedInstrument.from_meta(meta)
    except (KeyError, TypeError, ValueError) as error:
        problem = f"its metadata on the instrument cannot be read ({error!r})"
        remedy = "Make it anew with `drpflow reference from-solution`"
        raise InputError(path, problem, remedy) from error


def gather_solved_instrument(store: Store, epochs_mjd: Sequence[float]) -> SolvedParts:
    """Return what the global fits of a run have found of the instrument.

    WCSs are of ``final_astrometry_wcs`` (before it is made, of ``solved_astrometry_wcs``). Static
    maps of two pieces of the sky may differ by what visits can take over: those of an epoch are of
    one piece, which has most visits; there, of the visits whose WCSs are known best.

    Parameters
    ----------
    store
        The run, with ``fgcm_parameters``.
    epochs_mjd
        When epochs of the static maps begin: that of solveAstrometry's configuration.
    """
    final = bool(store.query("final_astrometry_visits"))
    prefix = "final_astrometry" if final else "solved_astrometry"
    found: dict[int, dict[int, list[tuple[int, float]]]] = {}
    for data_id in store.query(f"{prefix}_visits"):
        columns = ["visit", "mjd", "solved"]
        visits = store.get(f"{prefix}_visits", columns=columns, **data_id).to_dict()
        for row in np.flatnonzero(visits["solved"]).tolist():
            mjd = float(visits["mjd"][row])
            epoch = int(np.searchsorted(np.array(epochs_mjd), mjd, side="right"))
            pieces = found.setdefault(epoch, {})
            pieces.setdefault(data_id["skypix"], []).append((int(visits["visit"][row]), mjd))
    wcs: list[DetectorWcs] = []
    for _, pieces in sorted(found.items()):
        piece = max(pieces, key=lambda p: (len(pieces[p]), -p))
        wcs += _best(store, f"{prefix}_wcs", piece, pieces[piece])
    return SolvedParts(store.get("fgcm_parameters").to_dict(), wcs)


def _best(
    store: Store, name: str, piece: int, visits: list[tuple[int, float]]
) -> list[DetectorWcs]:
    """Return the WCS of each detector that is known best."""
    best: dict[int, tuple[float, int, float]] = {}
    for visit, mjd in visits:
        columns = ["detector", "wcs_error"]
        table = store.get(name, columns=columns, visit=visit, skypix=piece).to_dict()
        for detector, error in zip(table["detector"], table["wcs_error"], strict=True):
            told = float(error), visit, mjd
            if np.isfinite(error) and told < best.get(int(detector), (np.inf, 0, 0.0)):
                best[int(detector)] = told
    found = []
    for detector, (error, visit, mjd) in sorted(best.items()):
        wcs = store.get(f"{name}.wcs", visit=visit, skypix=piece, detector=detector)
        found.append(DetectorWcs(detector, mjd, error, wcs))
    return found
