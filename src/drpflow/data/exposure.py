"""The exposure: image, mask, variance, and the components that describe them.

An exposure may be built of arrays, or of a *source* that reads a plane or a component when it
is first asked for (:mod:`drpflow.io.exposure_fits`). Whoever holds one cannot tell which,
except by the clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, cast

import numpy as np

from drpflow.data.component_names import COMPONENTS
from drpflow.data.geometry import Box
from drpflow.data.provenance import Provenance
from drpflow.errors import MissingDatasetError, suggest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.data.ap_corr import ApCorrMap
    from drpflow.data.background import Background
    from drpflow.data.coadd_inputs import CoaddInputs
    from drpflow.data.detector_info import DetectorInfo
    from drpflow.data.geometry import ValidPolygon
    from drpflow.data.mask import Mask
    from drpflow.data.noise_covariance import NoiseCovariance
    from drpflow.data.photo_calib import PhotoCalib
    from drpflow.data.psf import Psf
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.data.summary_stats import SummaryStats
    from drpflow.data.transmission import TransmissionCurve
    from drpflow.data.visit_info import VisitInfo

Unit: TypeAlias = Literal["adu", "electron", "nJy", "1"]
PlaneName: TypeAlias = Literal["image", "mask", "variance"]

UNITS: tuple[Unit, ...] = ("adu", "electron", "nJy", "1")
PLANE_NAMES: tuple[PlaneName, ...] = ("image", "mask", "variance")


class ExposureSource(Protocol):
    """What an exposure is read from, piece by piece."""

    @property
    def box(self) -> Box:
        """The pixels that there are."""
        ...

    @property
    def unit(self) -> Unit:
        """Unit of the image."""
        ...

    @property
    def provenance(self) -> Provenance:
        """What made it."""
        ...

    @property
    def components(self) -> Mapping[str, Any]:
        """The components that exist, each read when it is looked up."""
        ...

    @property
    def missing(self) -> Mapping[str, str]:
        """Why other components do not exist, so far as that is known."""
        ...

    def plane(self, name: PlaneName, box: Box) -> NDArray[np.float32] | Mask:
        """Return a part of the image, the mask or the variance."""
        ...


class Exposure:
    """Image, mask and variance of one piece of sky or detector, with their components.

    A component that is None is missing: the step that should have made it failed, and
    :attr:`missing` says why. :attr:`photo_calib` always turns electrons into nJy; the pixels
    have it applied if, and only if, :attr:`unit` is nJy. :attr:`background` holds what has been
    taken off the pixels.

    Parameters
    ----------
    image
        Pixels, float32, shape (ny, nx). Kept as it is, not copied.
    mask
        Planes of the same shape.
    variance
        Variance of the image, float32, same shape, in the square of its unit.
    unit
        ``"adu"``, ``"electron"`` or ``"nJy"``.
    xy0
        Coordinates (x, y) of the first pixel; not (0, 0) for a cut-out or a patch.
    components
        Components by name; None counts as missing.
    missing
        Why components are missing.
    provenance
        What made it.

    Raises
    ------
    TypeError
        If a plane has the wrong type.
    ValueError
        If the planes differ in shape or the unit is unknown.
    KeyError
        If a component has a name that no exposure knows.
    """

    if TYPE_CHECKING:
        wcs: SkyWcs | None
        psf: Psf | None
        photo_calib: PhotoCalib | None
        ap_corr: ApCorrMap | None
        background: Background | None
        transmission: TransmissionCurve | None
        valid_polygon: ValidPolygon | None
        visit_info: VisitInfo | None
        detector: DetectorInfo | None
        summary_stats: SummaryStats | None
        coadd_inputs: CoaddInputs | None
        noise_covariance: NoiseCovariance | None

    def __init__(
        self,
        image: NDArray[np.float32],
        mask: Mask,
        variance: NDArray[np.float32],
        *,
        unit: Unit,
        xy0: tuple[int, int] = (0, 0),
        components: Mapping[str, Any] | None = None,
        missing: Mapping[str, str] | None = None,
        provenance: Provenance | None = None,
    ) -> None:
        _check_planes(image, mask, variance)
        if unit not in UNITS:
            raise ValueError(f"the unit of an exposure is one of {', '.join(UNITS)}, not {unit!r}")
        given = {k: v for k, v in (components or {}).items() if v is not None}
        check_component_names([*given, *(missing or {})])
        self._source: ExposureSource = _Memory(
            Box.from_shape(image.shape, xy0),
            unit,
            provenance or Provenance(),
            given,
            {k: v for k, v in (missing or {}).items() if k not in given},
        )
        self._planes: dict[PlaneName, Any] = {"image": image, "mask": mask, "variance": variance}

    @classmethod
    def from_source(cls, source: ExposureSource) -> Exposure:
        """Return an exposure that reads from `source` whatever it is asked for, once."""
        exposure = cls.__new__(cls)
        exposure._source = source
        exposure._planes = {}
        return exposure

    @property
    def source(self) -> ExposureSource:
        """What the exposure is read from."""
        return self._source

    @property
    def image(self) -> NDArray[np.float32]:
        """Pixels, shape (ny, nx)."""
        return cast("NDArray[np.float32]", self._plane("image"))

    @property
    def mask(self) -> Mask:
        """Mask planes."""
        return cast("Mask", self._plane("mask"))

    @property
    def variance(self) -> NDArray[np.float32]:
        """Variance of the image."""
        return cast("NDArray[np.float32]", self._plane("variance"))

    def _plane(self, name: PlaneName) -> Any:
        if name not in self._planes:
            self._planes[name] = self._source.plane(name, self.box)
        return self._planes[name]

    @property
    def box(self) -> Box:
        """The pixels that there are, in the coordinates of the components."""
        return self._source.box

    @property
    def xy0(self) -> tuple[int, int]:
        """Coordinates (x, y) of the first pixel."""
        return self.box.xy0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.box.shape

    @property
    def unit(self) -> Unit:
        """Unit of the image."""
        return self._source.unit

    @property
    def provenance(self) -> Provenance:
        """What made it, and where replaced components come from."""
        return self._source.provenance

    @property
    def components(self) -> Mapping[str, Any]:
        """The components that exist, by name."""
        return self._source.components

    @property
    def missing(self) -> Mapping[str, str]:
        """Why components are missing, by name."""
        return self._source.missing

    def __getattr__(self, name: str) -> Any:
        if name in COMPONENTS:
            return self.components.get(name)
        raise AttributeError(f"an exposure has no {name!r}{suggest(name, dir(self))}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *COMPONENTS]

    def __repr__(self) -> str:
        ny, nx = self.shape
        names = ", ".join(self.components) or "none"
        return f"<Exposure {nx} x {ny} from {self.xy0}, {self.unit}, components: {names}>"

    def require(self, *names: str) -> tuple[Any, ...]:
        """Return components that must be there.

        Raises
        ------
        MissingDatasetError
            If one of them is missing, with the reason.
        """
        for name in names:
            if name not in self.components:
                unknown = f"exposures know none{suggest(name, COMPONENTS)}"
                default = "it was never made" if name in COMPONENTS else unknown
                reason = self.missing.get(name, default)
                raise MissingDatasetError(f"the exposure has no {name}: {reason}")
        return tuple(self.components[name] for name in names)

    def cutout(self, box: Box | tuple[int, int, int, int]) -> Exposure:
        """Return a part of the exposure, with all its components.

        Pixels that are in memory are shared, others are read for this box alone.

        Parameters
        ----------
        box
            Half-open ``(x0, x1, y0, y1)`` in the coordinates of the components, whatever
            :attr:`xy0` is.

        Raises
        ------
        ValueError
            If the box is empty or reaches beyond the exposure.
        """
        part = check_inside(box, self.box)
        cut = Exposure.from_source(_Cut(self._source, part))
        window = part.slices(self.xy0)
        cut._planes = {name: plane[window] for name, plane in self._planes.items()}
        return cut

    def replace(
        self,
        *,
        image: NDArray[np.float32] | None = None,
        mask: Mask | None = None,
        variance: NDArray[np.float32] | None = None,
        unit: Unit | None = None,
        missing: Mapping[str, str] | None = None,
        provenance: Provenance | None = None,
        **components: Any,
    ) -> Exposure:
        """Return an exposure in which something is exchanged; the rest is shared.

        Planes are read if they were not yet. A component that is given as None becomes
        missing.
        """
        return Exposure(
            self.image if image is None else image,
            self.mask if mask is None else mask,
            self.variance if variance is None else variance,
            unit=unit or self.unit,
            xy0=self.xy0,
            components={**self.components, **components},
            missing={**self.missing, **(missing or {})},
            provenance=provenance or self.provenance,
        )


def check_component_names(names: list[str]) -> None:
    """Check that exposures know components of these names.

    Raises
    ------
    KeyError
        Naming the first that they do not, and the nearest that they do.
    """
    for name in names:
        if name not in COMPONENTS:
            raise KeyError(f"an exposure has no component {name!r}{suggest(name, COMPONENTS)}")


def check_inside(box: Box | tuple[int, int, int, int], whole: Box) -> Box:
    """Return `box` if it is a part of `whole`.

    Raises
    ------
    ValueError
        If it is empty or reaches beyond, with both boxes.
    """
    part = box if isinstance(box, Box) else Box(*box)
    if part.is_empty or not whole.covers(part):
        raise ValueError(f"the box {tuple(part)} is no part of {tuple(whole)} (x0, x1, y0, y1)")
    return part


def _check_planes(image: Any, mask: Mask, variance: Any) -> None:
    for name, plane in (("image", image), ("variance", variance)):
        if plane.dtype != np.float32:
            raise TypeError(f"the {name} of an exposure is float32, not {plane.dtype}")
        if plane.ndim != 2:
            raise ValueError(f"the {name} of an exposure has 2 axes, not {plane.ndim}")
    if not image.shape == mask.shape == variance.shape:
        raise ValueError(
            f"the planes of an exposure have one shape, but the image is {image.shape}, "
            f"the mask {mask.shape}, the variance {variance.shape} (rows, columns)"
        )


@dataclass(frozen=True)
class _Memory:
    """Source of an exposure whose planes are all in memory."""

    box: Box
    unit: Unit
    provenance: Provenance
    components: Mapping[str, Any]
    missing: Mapping[str, str]

    def plane(self, name: PlaneName, box: Box) -> Any:
        raise AssertionError(f"{name} of an exposure in memory is never read ({box})")


@dataclass(frozen=True)
class _Cut:
    """Source of a part of an exposure."""

    whole: ExposureSource
    box: Box

    @property
    def unit(self) -> Unit:
        return self.whole.unit

    @property
    def provenance(self) -> Provenance:
        return self.whole.provenance

    @property
    def components(self) -> Mapping[str, Any]:
        return self.whole.components

    @property
    def missing(self) -> Mapping[str, str]:
        return self.whole.missing

    def plane(self, name: PlaneName, box: Box) -> Any:
        return self.whole.plane(name, box)


class LazyComponents(Mapping[str, Any]):
    """Components by name, each made by `load` when it is first looked up.

    Parameters
    ----------
    names
        Names of the components that exist.
    load
        Returns the component of a name.
    """

    def __init__(self, names: tuple[str, ...], load: Any) -> None:
        self._names = names
        self._load = load
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names  # without loading it, as Mapping would

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
