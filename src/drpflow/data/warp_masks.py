"""What of a visit is not on the sky, as runs of pixels on a patch and on the detectors.

One warp mask holds what comparing the warps of one patch found in one visit. Its artifacts are
numbered from 0; each has a class and a signal-to-noise ratio, and runs of pixels in two frames: the
pixels of the tract, and those of every detector that it lies on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from drpflow.data.footprints import span_pixels

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from drpflow.data.geometry import Box

    Bool = NDArray[np.bool_]

ON_PATCH = -1
"""Stands for the detector of runs that are in pixels of the tract."""

KINDS = ("streak", "transient", "cosmic_ray", "ghost", "other")
"""Classes of artifacts.

streak: the trail of a satellite or an aircraft; transient: a point of light, such as an asteroid;
cosmic_ray: light narrower than the PSF; ghost: wide light of low surface brightness; other: what
is none of these, also lack of light.
"""

_TYPES: dict[str, type[np.generic]] = {
    "detector": np.int32,
    "artifact": np.int32,
    "y": np.int32,
    "x0": np.int32,
    "x1": np.int32,
}


@dataclass(frozen=True, eq=False)
class WarpMask:
    """Artifacts of a visit.

    Parameters
    ----------
    kind
        Class of each artifact, one of `KINDS`, shape (n,).
    snr
        Signal-to-noise ratio of each, shape (n,).
    detector
        Frame of each run: a detector, or `ON_PATCH`; shape (n_spans,).
    artifact
        Number of the artifact that each run belongs to.
    y, x0, x1
        Row, first column and column after the last of each run.

    Raises
    ------
    ValueError
        If columns do not fit together, or a class is unknown.
    """

    kind: tuple[str, ...]
    snr: NDArray[np.float32]
    detector: NDArray[np.int32]
    artifact: NDArray[np.int32]
    y: NDArray[np.int32]
    x0: NDArray[np.int32]
    x1: NDArray[np.int32]

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", tuple(self.kind))
        object.__setattr__(self, "snr", np.asarray(self.snr, np.float32))
        for name, dtype in _TYPES.items():
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype))
        sizes = {name: getattr(self, name).size for name in _TYPES}
        if len(set(sizes.values())) > 1 or len(self.kind) != self.snr.size:
            raise ValueError(f"columns of a warp mask differ in length: {sizes}")
        unknown = set(self.kind) - set(KINDS)
        if unknown:
            raise ValueError(f"a class of artifacts is one of {', '.join(KINDS)}, not {unknown}")
        if self.artifact.size and not 0 <= self.artifact.min() <= self.artifact.max() < len(self):
            raise ValueError(f"runs belong to artifacts 0 to {len(self) - 1}")

    def __len__(self) -> int:
        """Return the number of artifacts."""
        return len(self.kind)

    @classmethod
    def empty(cls) -> Self:
        """Return the mask of a visit without artifacts."""
        nothing = np.zeros(0, np.int32)
        return cls((), np.zeros(0, np.float32), nothing, nothing, nothing, nothing, nothing)

    @property
    def detectors(self) -> list[int]:
        """The detectors that artifacts lie on, sorted."""
        return sorted({int(k) for k in self.detector} - {ON_PATCH})

    def paint(self, box: Box, detector: int = ON_PATCH, kinds: Iterable[str] | None = None) -> Bool:
        """Return which pixels of a box belong to artifacts.

        Parameters
        ----------
        box
            Box on the tract, or on a detector.
        detector
            The detector; the tract by default.
        kinds
            Classes that count; all by default.
        """
        out = np.zeros(box.shape, bool)
        here = self.detector == detector
        here &= (self.y >= box.y0) & (self.y < box.y1) & (self.x1 > box.x0) & (self.x0 < box.x1)
        if kinds is not None:
            wanted = set(kinds)
            here &= np.array([k in wanted for k in self.kind], bool)[self.artifact]
        x0 = np.clip(self.x0[here], box.x0, box.x1)
        x1 = np.clip(self.x1[here], box.x0, box.x1)
        rows, columns = span_pixels(self.y[here], x0, x1)
        out[rows - box.y0, columns - box.x0] = True
        return out

    def areas(self, detector: int = ON_PATCH) -> NDArray[np.int64]:
        """Return the number of pixels of each artifact, on the tract or on a detector."""
        here = self.detector == detector
        width = (self.x1 - self.x0)[here]
        return np.bincount(self.artifact[here], width, len(self)).astype(np.int64)

    def columns(self) -> dict[str, NDArray[np.generic] | list[str]]:
        """Return a row a run, as ``warp_mask`` holds it."""
        return {
            "detector": self.detector,
            "artifact": self.artifact,
            "kind": [self.kind[k] for k in self.artifact],
            "snr": self.snr[self.artifact],
            "y": self.y,
            "x0": self.x0,
            "x1": self.x1,
        }

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any]) -> Self:
        """Rebuild the mask from :meth:`columns`; artifacts without runs are lost at the end."""
        artifact = np.asarray(columns["artifact"], np.int32)
        n = int(artifact.max(initial=-1)) + 1
        kind, snr = ["other"] * n, np.zeros(n, np.float32)
        for k, name, value in zip(artifact, columns["kind"], columns["snr"], strict=True):
            kind[k], snr[k] = str(name), value
        runs = (columns[name] for name in ("y", "x0", "x1"))
        return cls(tuple(kind), snr, columns["detector"], artifact, *runs)
