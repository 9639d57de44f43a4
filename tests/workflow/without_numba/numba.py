"""Stands for numba where kernels run as plain Python: its import is a third of a small job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def njit(function: Callable[..., Any] | None = None, **_: Any) -> Callable[..., Any]:
    """Return the function, or what returns it where options are given."""
    return (lambda given: given) if function is None else function
