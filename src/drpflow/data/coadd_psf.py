"""The PSF of a coadd: the weighted sum of the PSFs of its inputs, each as the coadd shows it.

    P(d; x) = Σ_i w_i |det J_i| P_i(J_i d; x_i) / Σ_i w_i ,

where x_i is the place x in input i, J_i = d(x_i)/d(x) there, and the sum runs over the inputs whose
valid polygon holds x_i. P_i is interpolated with the kernel that resamples the pixels
themselves. A mean of images that are weighted alike at every place has exactly this PSF; what was
left out of the mean at single places is not known here (mask plane INEXACT_PSF).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

import numpy as np

from drpflow.data.ap_corr import ApCorrMap
from drpflow.data.psf_base import Psf
from drpflow.data.record import Record, component, from_record
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import ArrayLike, NDArray

    from drpflow.data.ap_corr import ApCorr
    from drpflow.data.geometry import ValidPolygon
    from drpflow.data.sky_wcs import SkyWcs

    Floats: TypeAlias = NDArray[np.float64]

PSF_FLUX = "psfFlux"
# Points along each side of a polygon that tell where it lies on the coadd, and how far it may bulge
# between them, pixels.
_PER_SIDE = 8
_BULGE = 4.0


@dataclass(frozen=True, eq=False)
class CoaddPsfInput:
    """One input.

    Parameters
    ----------
    psf
        PSF in pixels of the input. It is kept with its arrays rounded to single precision, in which
        files hold it: 1e-7 of the peak.
    wcs
        WCS of the input.
    polygon
        Where the input contributes, in its pixels.
    weight
        Weight in the mean, the same everywhere.
    visit, detector
        What the input is.
    ap_corr
        Aperture correction of PSF fluxes in the input; None if it is not known.

    Raises
    ------
    ValueError
        If the weight is not positive and finite.
    """

    psf: Psf
    wcs: SkyWcs
    polygon: ValidPolygon
    weight: float
    visit: int
    detector: int
    ap_corr: ApCorr | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "psf", _in_single_precision(self.psf))
        object.__setattr__(self, "weight", float(self.weight))
        if not 0 < self.weight < np.inf:
            raise ValueError(f"visit {self.visit} detector {self.detector}: weight {self.weight}")

    def place_on(self, wcs: SkyWcs, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Return where points of another image lie in this one, pixels; NaN where nowhere."""
        found = self.wcs.world_to_pixel_values(*wcs.pixel_to_world_values(x, y))
        return np.atleast_1d(found[0]), np.atleast_1d(found[1])


@component
@dataclass(frozen=True, eq=False)
class CoaddPsf(Psf):
    """Weighted sum of the PSFs of the inputs.

    Parameters
    ----------
    wcs
        WCS of the coadd.
    inputs
        The inputs.
    kernel_order
        Order of the kernel with which the inputs were resampled.

    Raises
    ------
    ValueError
        If there are no inputs, or the order is not positive.
    """

    KIND: ClassVar[str] = "coadd_psf"
    wcs: SkyWcs
    inputs: tuple[CoaddPsfInput, ...]
    kernel_order: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", tuple(self.inputs))
        if not self.inputs:
            raise ValueError("the PSF of a coadd has inputs")
        if self.kernel_order < 1:
            raise ValueError(f"the order of the kernel is positive, not {self.kernel_order}")

    def __repr__(self) -> str:
        visits = len({item.visit for item in self.inputs})
        return f"CoaddPsf({len(self.inputs)} inputs of {visits} visits)"

    @classmethod
    def combined(cls, parts: Iterable[tuple[CoaddPsf, float]]) -> Self:
        """Return the PSF of a weighted mean of images that have such PSFs themselves.

        Raises
        ------
        ValueError
            If there are no parts, or they are not on one grid of pixels.
        """
        given = list(parts)
        if not given:
            raise ValueError("a mean of no images has no PSF")
        first = given[0][0]
        if any(psf.wcs != first.wcs or psf.kernel_order != first.kernel_order for psf, _ in given):
            raise ValueError("images that are averaged have one WCS and one kernel")
        inputs = [replace(i, weight=i.weight * weight) for psf, weight in given for i in psf.inputs]
        return cls(first.wcs, tuple(inputs), first.kernel_order)

    @cached_property
    def color_ref(self) -> float | None:  # type: ignore[override]
        """Weighted mean of the reference colours of the inputs; None if none has one."""
        known = [(i.psf.color_ref, i.weight) for i in self.inputs if i.psf.color_ref is not None]
        if not known:
            return None
        return sum(color * weight for color, weight in known) / sum(weight for _, weight in known)

    @cached_property
    def half_size_pix(self) -> int:
        """Images have ``2 half_size_pix + 1`` rows and columns: the largest of the inputs."""
        return max(self._half_size(i) for i in self.inputs)

    def _half_size(self, item: CoaddPsfInput) -> int:
        x, y = item.polygon.vertices.mean(axis=0)
        at = np.array([x]), np.array([y])
        on_coadd = self.wcs.world_to_pixel_values(*item.wcs.pixel_to_world_values(*at))
        ratio = item.wcs.pixel_scale_arcsec(x, y) / self.wcs.pixel_scale_arcsec(
            on_coadd[0][0], on_coadd[1][0]
        )
        return max(1, round(item.psf.half_size_pix * float(ratio)))

    def contributing(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.bool_]:
        """Return which inputs hold which points, shape (number of inputs, N)."""
        xs, ys = np.broadcast_arrays(np.ravel(x).astype(float), np.ravel(y).astype(float))
        held = np.zeros((len(self.inputs), xs.size), bool)
        for k, item in enumerate(self.inputs):
            rows, _, _ = self._within(k, item, xs, ys)
            held[k, rows] = True
        return held

    def psf_flux_correction(self, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
        """Return what PSF fluxes on the coadd are multiplied with to be total, and its error.

        A source of total flux F shows in input i as F P_i / c_i, as far as P_i sees it, and on the
        coadd as F Σ w_i P_i / c_i. Where the PSFs are alike, 1/c of the coadd is the weighted mean
        of the 1/c_i. For PSFs that differ by 10 % in width, with c_i that differ by 1 %, this is
        wrong by less than 0.5 mmag.

        Parameters
        ----------
        x, y
            Places on the coadd, N points.

        Returns
        -------
        correction, error
            Shape (N,); NaN where no input with a correction is.
        """
        xs, ys = np.broadcast_arrays(np.ravel(x).astype(float), np.ravel(y).astype(float))
        inverse, spread, weight = np.zeros((3, xs.size))
        for k, item in enumerate(self.inputs):
            if item.ap_corr is None:
                continue
            rows, xi, yi = self._within(k, item, xs, ys)
            factor = item.ap_corr.correction(xi, yi)
            inverse[rows] += item.weight / factor
            spread[rows] += (item.weight * item.ap_corr.error / factor**2) ** 2
            weight[rows] += item.weight
        with np.errstate(invalid="ignore", divide="ignore"):
            correction = weight / inverse
            return correction, correction**2 * np.sqrt(spread) / weight

    def _within(
        self, k: int, item: CoaddPsfInput, x: Floats, y: Floats
    ) -> tuple[NDArray[np.intp], Floats, Floats]:
        """Return which points input k holds, and where it has them."""
        x0, x1, y0, y1 = self._extents[k]
        rows = np.flatnonzero((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))
        if not rows.size:
            return rows, x[rows], y[rows]
        xi, yi = item.place_on(self.wcs, x[rows], y[rows])
        held = item.polygon.contains(xi, yi)
        return rows[held], xi[held], yi[held]

    @cached_property
    def _extents(self) -> Floats:
        """Limits of the inputs on the coadd, (x0, x1, y0, y1), generously."""
        steps = np.arange(_PER_SIDE)[:, None] / _PER_SIDE
        found = np.empty((len(self.inputs), 4))
        for k, item in enumerate(self.inputs):
            corners = item.polygon.vertices
            sides = corners[:, None] + steps * (np.roll(corners, -1, axis=0) - corners)[:, None]
            sky = item.wcs.pixel_to_world_values(*sides.reshape(-1, 2).T)
            x, y = self.wcs.world_to_pixel_values(*sky)
            found[k] = x.min() - _BULGE, x.max() + _BULGE, y.min() - _BULGE, y.max() + _BULGE
        return found

    def _sample(self, x: Floats, y: Floats, color: Floats | None, dx: Floats, dy: Floats) -> Floats:
        dx, dy = (np.broadcast_to(v, x.shape) for v in (dx, dy))
        total = np.zeros((x.size, *self.shape))
        weights = np.zeros(x.size)
        for k, item in enumerate(self.inputs):
            rows, xi, yi = self._within(k, item, x, y)
            if rows.size:
                here = x[rows], y[rows]
                colors = None if color is None else color[rows]
                images = item.psf.compute_kernel_images(xi, yi, colors)
                jacobian = relative_jacobian(item.wcs, xi, yi, self.wcs, *here)
                total[rows] += item.weight * self._mapped(images, jacobian, dx[rows], dy[rows])
                weights[rows] += item.weight
        bare = np.flatnonzero(weights == 0)
        if bare.size:
            at = float(x[bare[0]]), float(y[bare[0]])
            raise AlgorithmError(
                f"no input of the coadd holds ({at[0]:.1f}, {at[1]:.1f}): it has no PSF there",
                {"x": at[0], "y": at[1], "inputs": len(self.inputs)},
                "Ask for places with data; `contributing` tells where inputs are",
            )
        return total / weights[:, None, None]

    def _mapped(self, images: Floats, jacobian: Floats, dx: Floats, dy: Floats) -> Floats:
        """Return images of the inputs as the coadd shows them, of unchanged flux."""
        from drpflow.data.resampling_kernel import resampling_kernel
        from drpflow.kernels.warp import map_stamps

        out = np.empty((len(images), *self.shape))
        kernel = resampling_kernel(self.kernel_order)
        stamps = np.ascontiguousarray(images)
        map_stamps(stamps, jacobian, np.array(dx), np.array(dy), kernel, out)
        return out * np.abs(np.linalg.det(jacobian))[:, None, None]

    def to_record(self) -> Record:
        """Return the stored form: arrays of all inputs joined, one a type of numbers."""
        pool = _Pool()
        entries = [
            {
                "psf": pool.add(item.psf.to_record(), single=True),
                "wcs": pool.add(item.wcs.to_record()),
                "polygon": pool.add(item.polygon.to_record()),
                "weight": item.weight,
                "visit": int(item.visit),
                "detector": int(item.detector),
                "ap_corr": None if item.ap_corr is None else pool.add(_record(item.ap_corr)),
            }
            for item in self.inputs
        ]
        meta = {
            "wcs": pool.add(self.wcs.to_record()),
            "kernel_order": self.kernel_order,
            "inputs": entries,
        }
        return self._record(meta, pool.arrays())

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the PSF from its stored form."""
        meta, taken = record.meta, _Taken(record.arrays)
        inputs = [
            CoaddPsfInput(
                taken.part(entry["psf"]),
                taken.part(entry["wcs"]),
                taken.part(entry["polygon"]),
                entry["weight"],
                entry["visit"],
                entry["detector"],
                _ap_corr(taken.part(entry["ap_corr"])) if entry.get("ap_corr") else None,
            )
            for entry in meta["inputs"]
        ]
        return cls(taken.part(meta["wcs"]), tuple(inputs), meta["kernel_order"])


def _record(ap_corr: ApCorr) -> Record:
    return ApCorrMap({PSF_FLUX: ap_corr}).to_record()


def _ap_corr(known: ApCorrMap) -> ApCorr:
    return known[PSF_FLUX]


def relative_jacobian(
    wcs: SkyWcs, x: ArrayLike, y: ArrayLike, other: SkyWcs, other_x: ArrayLike, other_y: ArrayLike
) -> Floats:
    """Return d(pixels of an image)/d(pixels of another) at a place of both, shape (..., 2, 2)."""
    to_sky, from_other = wcs.linearize(x, y), other.linearize(other_x, other_y)
    return np.asarray(np.linalg.solve(to_sky, from_other), np.float64)


def _in_single_precision(psf: Psf) -> Psf:
    """Return a PSF with the arrays of its record rounded; itself if they are round."""
    record = psf.to_record()
    rounded = {
        name: array.astype(np.float32).astype(np.float64) if array.dtype == np.float64 else array
        for name, array in record.arrays.items()
    }
    if all(np.array_equal(rounded[name], array) for name, array in record.arrays.items()):
        return psf
    single: Psf = from_record(replace(record, arrays=rounded))
    return single


class _Pool:
    """Arrays of many records, laid end to end by type.

    A FITS table has at most 999 columns, which the arrays of 200 inputs would exceed.
    """

    def __init__(self) -> None:
        self._parts: dict[str, list[NDArray[Any]]] = {}
        self._sizes: dict[str, int] = {}

    def add(self, record: Record, *, single: bool = False) -> dict[str, Any]:
        """Take the arrays of a record; return what is needed to find them again."""
        arrays = {}
        for name, array in record.arrays.items():
            narrow = single and array.dtype == np.float64
            kept = array.astype(np.float32) if narrow else array
            pool = kept.dtype.name
            start = self._sizes.get(pool, 0)
            self._parts.setdefault(pool, []).append(kept.ravel())
            self._sizes[pool] = start + kept.size
            arrays[name] = [pool, start, list(kept.shape), array.dtype.name]
        return {"kind": record.kind, "version": record.version, "meta": record.meta,
                "arrays": arrays}  # fmt: skip

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the joined arrays by type."""
        return {name: np.concatenate(parts) for name, parts in self._parts.items()}


@dataclass(frozen=True)
class _Taken:
    """Records out of joined arrays."""

    pools: Mapping[str, NDArray[Any]]

    def part(self, entry: Mapping[str, Any]) -> Any:
        """Return the component of an entry that :meth:`_Pool.add` returned."""
        arrays = {}
        for name, (pool, start, shape, kind) in entry["arrays"].items():
            size = int(np.prod(shape, dtype=np.int64))
            arrays[name] = self.pools[pool][start : start + size].reshape(shape).astype(kind)
        return from_record(Record(entry["kind"], entry["version"], entry["meta"], arrays))
