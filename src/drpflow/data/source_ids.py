"""Identifiers of sources: visit, detector and number packed into 63 bits.

    sourceId = (visit · 2¹⁰ + detector) · 2²⁰ + number,   number from 1

so that they are unique in a survey, sort by visit and detector, and 0 is free to mean none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DETECTOR_BITS = 10
_NUMBER_BITS = 20
_VISIT_BITS = 63 - _DETECTOR_BITS - _NUMBER_BITS


def make_source_ids(visit: int, detector: int, count: int) -> NDArray[np.int64]:
    """Return the identifiers of `count` sources of one detector in a visit, shape (count,).

    Raises
    ------
    InputError
        If the visit, the detector or the count is too large for its bits.
    """
    limits = (
        ("visit", visit, 2**_VISIT_BITS - 1),
        ("detector", detector, 2**_DETECTOR_BITS - 1),
        ("number of sources", count, 2**_NUMBER_BITS - 1),
    )
    for what, value, most in limits:
        if not 0 <= value <= most:
            raise InputError(
                f"visit {visit}, detector {detector}",
                f"{what} {value} does not fit into a source identifier (0 to {most})",
                "Number visits and detectors from 0 on",
            )
    first = (visit << _DETECTOR_BITS | detector) << _NUMBER_BITS
    return first + np.arange(1, count + 1, dtype=np.int64)


def unpack_source_ids(
    source_ids: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return visit, detector and number of identifiers, each of shape (N,)."""
    image = source_ids >> _NUMBER_BITS
    return (
        image >> _DETECTOR_BITS,
        image & (2**_DETECTOR_BITS - 1),
        source_ids & (2**_NUMBER_BITS - 1),
    )
