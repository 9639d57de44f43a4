"""Tracts and patches: the pixels of coadds, the same whatever visits there are.

A tract is a part of the sky with one tangent plane, one grid of pixels and one WCS. It is divided
evenly into patches, each the size of one coadd image. Pixel coordinates are those of the tract
everywhere: the image of a patch begins at the first pixel of its outer box and has the tract's
WCS. A patch's *inner* boxes divide the tract; its *outer* box reaches a border beyond, so that an
object near the edge of one patch is whole in another. Tracts overlap likewise, and each place of
the sky is the own of one tract.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.config.base import validate
from drpflow.config.sky_map import USUAL_PATCH_PIX, SkyMapConfig
from drpflow.data.geometry import Box
from drpflow.data.plane_maps import AffineMap
from drpflow.data.sky_layouts import Field, Healpix, Rings
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.tan_projection import unit_vectors
from drpflow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    from drpflow.data.sky_layouts import Layout

    Floats: TypeAlias = NDArray[np.float64]
    Integers: TypeAlias = NDArray[np.int64]

TRACT = "tract"
"""Stage of a tract's WCS from pixels to the tangent plane, degrees."""
_SECTION = "skyMap (config)"


@dataclass(frozen=True)
class Patch:
    """A part of a tract, the size of one coadd image.

    Parameters
    ----------
    id
        Number in the tract: row by row from the first pixel.
    inner
        What is the patch's own; inner boxes divide the tract.
    outer
        The pixels of its coadds.
    warp
        The pixels of its warps, which may reach beyond the tract.
    """

    id: int
    inner: Box
    outer: Box
    warp: Box


@dataclass(frozen=True, eq=False)
class Tract:
    """A part of the sky with one tangent plane and one grid of pixels.

    Parameters
    ----------
    id
        Number in the sky map.
    wcs
        From pixels of the tract to the sky; north is up and east to the left unless the field of
        the layout ``field`` is rotated.
    n_patches
        Columns and rows of patches.
    patch_size_pix
        Width and height of a patch's inner box.
    border_pix
        How far an outer box reaches beyond the inner one, within the tract.
    warp_margin_pix
        How far warps reach beyond the outer box.
    """

    id: int
    wcs: SkyWcs
    n_patches: tuple[int, int]
    patch_size_pix: tuple[int, int]
    border_pix: int
    warp_margin_pix: int = 0

    def __len__(self) -> int:
        """Return the number of patches."""
        return self.n_patches[0] * self.n_patches[1]

    @property
    def box(self) -> Box:
        """All pixels, from (0, 0)."""
        (columns, rows), (width, height) = self.n_patches, self.patch_size_pix
        return Box(0, columns * width, 0, rows * height)

    @property
    def patches(self) -> Iterator[Patch]:
        """All patches, by number."""
        return (self.patch(number) for number in range(len(self)))

    @property
    def pixel_scale_arcsec(self) -> float:
        """Side of a pixel at the centre."""
        return float(self.wcs.pixel_scale_arcsec(*self.box.center))

    def patch(self, number: int) -> Patch:
        """Return a patch by its number.

        Raises
        ------
        InputError
            If the tract has no such patch.
        """
        if not 0 <= number < len(self):
            raise InputError(
                f"patch {number}",
                f"tract {self.id} has {len(self)} patches",
                f"Name one of 0 to {len(self) - 1}",
            )
        row, column = divmod(number, self.n_patches[0])
        width, height = self.patch_size_pix
        inner = Box(column * width, (column + 1) * width, row * height, (row + 1) * height)
        outer = inner.grow(self.border_pix).intersect(self.box)
        return Patch(number, inner, outer, outer.grow(self.warp_margin_pix))

    def patch_of(self, x: ArrayLike, y: ArrayLike) -> Integers:
        """Return the patches whose own points are; -1 outside of the tract.

        Parameters
        ----------
        x, y
            Pixel coordinates of the tract.
        """
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        width, height = self.patch_size_pix
        inside = self.box.contains(x, y)
        column = np.floor((np.where(inside, x, 0) + 0.5) / width).astype(np.int64)
        row = np.floor((np.where(inside, y, 0) + 0.5) / height).astype(np.int64)
        return np.where(inside, row * self.n_patches[0] + column, -1)

    def patches_in(self, box: Box) -> list[int]:
        """Return the patches whose outer boxes share pixels with a box, ascending."""
        near = box.grow(self.border_pix).intersect(self.box)
        if near.is_empty or box.intersect(self.box).is_empty:
            return []
        width, height = self.patch_size_pix
        rows = range(near.y0 // height, (near.y1 - 1) // height + 1)
        columns = range(near.x0 // width, (near.x1 - 1) // width + 1)
        return [row * self.n_patches[0] + column for row in rows for column in columns]


class SkyMap:
    """All tracts of a layout.

    Parameters
    ----------
    layout
        Where tracts are.
    config
        Pixel scale, overlap, patches.
    """

    def __init__(self, layout: Layout, config: SkyMapConfig) -> None:
        if config.pixel_scale_arcsec is None:
            raise InputError(_SECTION, "the pixel scale is not known", "Give pixel_scale_arcsec")
        self.layout = layout
        self._scale_deg = config.pixel_scale_arcsec / 3600
        self._overlap_deg = 0.0 if config.layout == "field" else config.tract_overlap_deg
        self._patch = config.patch_inner_pix or USUAL_PATCH_PIX[1]
        self._border = config.patch_border_pix
        self._margin = config.warp_margin_pix
        self._made: dict[int, Tract] = {}

    def __len__(self) -> int:
        """Return the number of tracts."""
        return self.layout.size

    def tract(self, number: int) -> Tract:
        """Return a tract by its number.

        Raises
        ------
        InputError
            If the map has no such tract.
        """
        if not 0 <= number < len(self):
            raise InputError(
                f"tract {number}",
                f"the sky map has {len(self)} tracts",
                f"Name one of 0 to {len(self) - 1}, or correct the section skyMap",
            )
        if number not in self._made:
            self._made[number] = self._make(number)
        return self._made[number]

    def owner(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> tuple[Integers, Integers]:
        """Return tract and patch whose own places on the sky are; -1 where there is none."""
        ra, dec = np.broadcast_arrays(np.asarray(ra_deg, float), np.asarray(dec_deg, float))
        tract = np.asarray(self.layout.owner(ra, dec))
        patch = np.full(tract.shape, -1, np.int64)
        for number in np.unique(tract[tract >= 0]).tolist():
            here = tract == number
            one = self.tract(number)
            patch[here] = one.patch_of(*one.wcs.world_to_pixel_values(ra[here], dec[here]))
        return tract, patch

    def tracts_near(self, ra_deg: ArrayLike, dec_deg: ArrayLike, radius_deg: ArrayLike) -> Integers:
        """Return pairs (circle, tract) of which the tract may touch the circle, shape (n, 2).

        Parameters
        ----------
        ra_deg, dec_deg, radius_deg
            The circles.

        Notes
        -----
        Some pairs do not touch: tracts are taken as circles about their rectangles. The cost is
        3 ns a circle and tract of the map.
        """
        centers = unit_vectors(*self.layout.centers_deg())
        ra, dec, radius = np.broadcast_arrays(*map(np.atleast_1d, (ra_deg, dec_deg, radius_deg)))
        circles = unit_vectors(ra, dec)
        reach = self.layout.reach_deg + 2 * self._overlap_deg + radius
        limit = np.cos(np.radians(np.minimum(reach, 180.0)))
        found, chunk = [], max(1, 4_000_000 // centers.shape[1])
        for first in range(0, circles.shape[1], chunk):
            part = slice(first, first + chunk)
            near = circles[:, part].T @ centers >= limit[part, None] - 1e-12
            circle, tract = np.nonzero(near)
            found.append(np.stack([circle + first, tract], axis=1))
        return np.concatenate(found)

    def _make(self, number: int) -> Tract:
        projection = self.layout.projection(number)
        size, count = zip(*(self._divided(h) for h in self._half_size(number)), strict=True)
        shape = (size[0] * count[0], size[1] * count[1])
        middle = np.array([(shape[0] - 1) / 2, (shape[1] - 1) / 2])
        matrix = self._scale_deg * np.eye(2)
        stages = ((TRACT, AffineMap(matrix, -matrix @ middle)),)
        wcs = SkyWcs(stages, projection, shape)
        counts, sizes = (count[0], count[1]), (size[0], size[1])
        return Tract(number, wcs, counts, sizes, self._border, self._margin)

    def _half_size(self, number: int) -> tuple[float, float]:
        """Return half of width and height on the tangent plane with overlap, degrees."""
        width, height = self.layout.half_size_deg(number)
        # At the corner a degree of the plane is the least on the sky, by 1 + tan² along a radius.
        stretch = 1 + np.radians(np.hypot(width, height)) ** 2
        more = self._overlap_deg * stretch
        return width + more, height + more

    def _divided(self, half_deg: float) -> tuple[int, int]:
        """Return side and number of the patches that a side of a tract is divided into."""
        # What is less than a thousandth of a pixel too long is rounding.
        pixels = max(1, int(np.ceil(2 * half_deg / self._scale_deg - 1e-3)))
        count = -(-pixels // self._patch)
        return -(-pixels // count), count


def build_sky_map(config: SkyMapConfig) -> SkyMap:
    """Return the sky map of a configuration whose pixel scale is stated.

    Parameters
    ----------
    config
        The section ``skyMap``.

    Raises
    ------
    InputError
        If the pixel scale is not stated, or the layout ``field`` has no field.
    """
    if config.layout == "rings":
        return SkyMap(Rings(config.rings, config.first_ra_deg), config)
    if config.layout == "healpix":
        return SkyMap(Healpix(config.order), config)
    if config.field is None:
        raise InputError(
            _SECTION,
            "the layout field has no centre",
            "Add field: {ra_deg: …, dec_deg: …, width_deg: …, height_deg: …}",
        )
    return SkyMap(Field(config.field), config)


def sky_map_from_json(text: str) -> SkyMap:
    """Return the sky map that a script is given: its section as JSON.

    Raises
    ------
    InputError
        If that is no valid section.
    """
    return build_sky_map(validate(SkyMapConfig, json.loads(text), "--sky-map"))
