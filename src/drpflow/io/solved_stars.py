"""The stars that the global fits of a run have solved, gathered from all pieces of the sky."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from drpflow.errors import MissingDatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.io.store import Store

    Columns = dict[str, NDArray[Any]]


_REMEDY = ": run `drpflow run calibration` first"


class SolvedStars(NamedTuple):
    """Columns of all pieces of the sky, and the visits that were calibrated."""

    astrometry: Columns
    photometry: Columns
    visits: list[int]


def read_solved_stars(
    store: Store, astrometry: Sequence[str], photometry: Sequence[str]
) -> SolvedStars:
    """Read places and motions (the final ones where they are made), and standard magnitudes.

    Parameters
    ----------
    store
        The run.
    astrometry, photometry
        Columns that are wanted.

    Raises
    ------
    MissingDatasetError
        If the global fits have not been made.
    """
    if not store.exists("fgcm_zero_points"):
        raise MissingDatasetError(f"there is no fgcm_zero_points{_REMEDY}")
    final = bool(store.query("final_astrometry_stars"))
    name = "final_astrometry_stars" if final else "solved_astrometry_stars"
    visits = np.unique(store.get("fgcm_zero_points", columns=["visit"])["visit"])
    return SolvedStars(
        _gathered(store, name, astrometry),
        _gathered(store, "fgcm_standard_stars", photometry),
        [int(visit) for visit in visits],
    )


def _gathered(store: Store, name: str, columns: Sequence[str]) -> Columns:
    parts = [store.get(name, columns=[*columns], **data_id) for data_id in store.query(name)]
    if not parts:
        raise MissingDatasetError(f"there is no {name}{_REMEDY}")
    return {column: np.concatenate([part[column] for part in parts]) for column in columns}
