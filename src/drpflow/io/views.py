"""Exposures with components replaced from named stages (the ``views`` of the dataset table).

A view is read, never stored. Where the calibration or the background is replaced, the pixels
have that of their own file undone and the replacement applied, box by box as they are read.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from drpflow.data.component_names import COMPONENTS
from drpflow.data.exposure import LazyComponents
from drpflow.data.recalibration import PixelCalibration
from drpflow.errors import InputError, MissingDatasetError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drpflow.data.exposure import ExposureSource, PlaneName, Unit
    from drpflow.data.geometry import Box
    from drpflow.data.provenance import Provenance

_ON_PIXELS = ("photo_calib", "background")


class ViewSource:
    """Source of an exposure whose components come from several datasets.

    Parameters
    ----------
    name
        Name of the view, for messages.
    base
        Where pixels and what is not replaced come from.
    replace
        Dataset type that each replaced component comes from.
    fetch
        Returns a component from its replacement.
    reason
        Returns why a component is missing from its replacement, None if it is there.
    mask
        Returns a part of the replaced mask; None if the mask is that of the base.
    """

    def __init__(
        self,
        name: str,
        base: ExposureSource,
        replace: Mapping[str, str],
        fetch: Callable[[str], Any],
        reason: Callable[[str], str | None],
        mask: Callable[[Box], Any] | None = None,
    ) -> None:
        self._name = name
        self._base = base
        self._replace = replace
        self._fetch = fetch
        self._reason = reason
        self._mask = mask

    @property
    def box(self) -> Box:
        """The pixels that there are."""
        return self._base.box

    @cached_property
    def provenance(self) -> Provenance:
        """That of the base, with the dataset type of each replacement."""
        return self._base.provenance.with_stages(self._replace)

    @cached_property
    def components(self) -> Mapping[str, Any]:
        """The components that exist: replacements where they are declared, else the base's."""
        there = [n for n in COMPONENTS if n not in self.missing and self._may_exist(n)]
        return LazyComponents(tuple(there), self._component)

    def _may_exist(self, name: str) -> bool:
        return name in self._replace or name in self._base.components

    @cached_property
    def missing(self) -> Mapping[str, str]:
        """Why components are missing; never filled up from the base."""
        reasons = {k: v for k, v in self._base.missing.items() if k not in self._replace}
        for name in self._replace:
            reason = None if name == "mask" else self._reason(name)
            if reason is not None:
                reasons[name] = reason
        return reasons

    def _component(self, name: str) -> Any:
        return self._fetch(name) if name in self._replace else self._base.components[name]

    @property
    def unit(self) -> Unit:
        """Unit of the pixels: electron where there is no zero point."""
        return self._wanted.unit if self._is_recalibrated else self._base.unit

    @property
    def _is_recalibrated(self) -> bool:
        return any(name in self._replace for name in _ON_PIXELS)

    @cached_property
    def _applied(self) -> PixelCalibration:
        """What the pixels of the base have applied."""
        base = self._base
        if base.unit == "adu":
            raise InputError(
                self._name, "the pixels of its base are in adu", "Only electrons can be calibrated"
            )
        calibration = base.components.get("photo_calib") if base.unit == "nJy" else None
        if base.unit == "nJy" and calibration is None:
            raise InputError(
                self._name,
                "the pixels of its base are in nJy, but their calibration is not recorded",
                "Make the base again",
            )
        return PixelCalibration(calibration, base.components.get("background"))

    @cached_property
    def _wanted(self) -> PixelCalibration:
        """What the pixels of the view shall have applied.

        Raises
        ------
        MissingDatasetError
            If the background is to be replaced and there is none: pixels without any
            background subtracted are not what the view promises.
        InputError
            If the calibrations of base and view begin with different units.
        """
        if "background" in self.missing and "background" in self._replace:
            raise MissingDatasetError(f"{self._name}: {self.missing['background']}")
        applied = self._applied
        calibration = (
            self.components.get("photo_calib")
            if "photo_calib" in self._replace
            else applied.photo_calib
        )
        background = (
            self.components.get("background")
            if "background" in self._replace
            else applied.background
        )
        wanted = PixelCalibration(calibration, background)
        if _origin(wanted) != _origin(applied):
            raise InputError(
                self._name,
                f"its calibration begins with {_origin(wanted)}, that of its base with "
                f"{_origin(applied)}",
                "Replace it by one of the same unit",
            )
        return wanted

    def plane(self, name: PlaneName, box: Box) -> Any:
        """Return a part of the image, the mask or the variance, recalibrated."""
        if name == "mask" and self._mask is not None:
            return self._mask(box)
        pixels: Any = self._base.plane(name, box)
        if name == "mask" or not self._is_recalibrated:
            return pixels
        if name == "variance":
            return self._wanted.apply_to_variance(
                self._applied.undo_on_variance(pixels, box.xy0), box.xy0
            )
        return self._wanted.apply(self._applied.undo(pixels, box.xy0), box.xy0)


def _origin(calibration: PixelCalibration) -> str:
    """Return the unit of pixels without a calibration."""
    return "electron" if calibration.photo_calib is None else calibration.photo_calib.input_unit
