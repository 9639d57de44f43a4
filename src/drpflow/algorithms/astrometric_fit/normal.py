"""Steps of the fit: conjugate gradients, and the factor that makes them few.

S δ = g is solved with S as the kernels multiply with it, so that no matrix of all stars is needed.
What makes the iteration short is the Cholesky factor of the same matrix made from *some* stars,
each with the inverse of its chance to be taken as its weight: it has all couplings between
detectors and visits, whatever the pointings, and a matrix from a tenth of the stars leaves a
condition of two or three. Where the matrix of all stars is cheap, they are all taken, and the
"iteration" is a direct solution. The factor serves for errors, too: draws of the parameters'
covariance are L⁻ᵀ z.

Beyond `max_dense_parameters`, static maps and visits are each solved with their own block alone,
without the stars' share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_fit.packed import PackedMatrix
from drpflow.kernels import astrometric_fit as kernels
from drpflow.kernels import astrometric_model, astrometric_normal

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.packed import CholeskyFactor
    from drpflow.algorithms.astrometric_fit.priors import MapPrior

    Factor: TypeAlias = "CholeskyFactor | BlockFactor"
    Floats: TypeAlias = NDArray[np.float64]
    Int64: TypeAlias = NDArray[np.int64]

_ROWS_PER_PARAMETER = 30.0
_CATALOGUE_STARS = 800
# Multiplications that the matrix may cost; some seconds.
_BUDGET = 2e9
# Stars whose couplings are multiplied out together.
_CHUNK = 20
# Rows of their product that are made at a time.
_PIECE = 512


@dataclass(frozen=True, eq=False)
class System:
    """The linear problem about a model.

    Parameters
    ----------
    rows, sky, model, found
        As the kernels want them.
    prior
        Precisions of the maps' parameters.
    epoch
        Epoch of the instrument of each visit, -1 for visits that take no part, (V,).
    n_shared
        Terms of a visit's map that static maps can take over, when all visits of an epoch share
        them: their means over the visits stay where they are.
    max_dense
        Parameters up to which the factor is of the whole matrix.
    known_epochs
        Epochs whose static maps are known from elsewhere: there, means over the visits are free.
    """

    rows: astrometric_model.Rows
    sky: astrometric_model.Sky
    model: astrometric_model.Model
    found: astrometric_model.Found
    prior: MapPrior
    epoch: NDArray[np.int32]
    n_shared: int
    max_dense: int
    known_epochs: frozenset[int] = frozenset()

    def split(self, vector: Floats) -> tuple[Floats, Floats]:
        """Return c and q of a parameter vector, views."""
        c, q = self.prior.c, self.prior.q
        return vector[: c.size].reshape(c.shape), vector[c.size :].reshape(q.shape)

    def multiply(self, vector: Floats) -> Floats:
        """Return S times a vector."""
        out = np.empty_like(vector)
        kernels.multiply(
            self.rows,
            self.sky,
            self.model,
            self.found,
            *self.split(vector),
            *self.split(out),
        )
        out += self.prior.times(vector)
        _, q = self.split(vector)
        _, out_q = self.split(out)
        for e in range(int(self.epoch.max()) + 1):
            own = np.flatnonzero(self.epoch == e)
            shared = slice(0, self.n_shared)
            out_q[own, :, shared] += self._stiffness(e) * q[own, :, shared].sum(axis=0)
        return out

    def _stiffness(self, epoch: int) -> float:
        """Return the weight of the squared sum of a shared term over the visits of an epoch.

        As much as the data say of the term in one visit: stiff, and well conditioned.
        """
        if epoch in self.known_epochs:
            return 0.0
        visits = self.epoch == epoch
        information = self.found.sums[visits, 3].mean() / 2
        return float(max(information, 1e-6)) / int(visits.sum())

    def gradient(self) -> Floats:
        """Return the descent direction -dχ²/2 of the last pass, priors included."""
        data = join(self.found.gradient_c, self.found.gradient_q)
        return -data - self.prior.times(join(self.model.c - self.prior.mean, self.model.q))

    def noise(self, rng: np.random.Generator, grown: Floats | float = 1.0) -> Floats:
        """Return a random vector with the covariance S: S⁻¹ times it has the parameters'.

        Observations, priors of the stars and priors of the maps each have errors as told, or those
        of the observations are larger by the factor `grown`, (N,).
        """
        rows, stars = self.found.state.size, self.found.tied.size
        out = join(np.empty_like(self.prior.c), np.empty_like(self.prior.q))
        kernels.draw_noise(
            self.rows,
            self.sky,
            self.model,
            self.found,
            (rng.standard_normal((rows, 2)) * np.reshape(grown, (-1, 1))).astype(np.float32),
            rng.standard_normal((stars, 5)),
            *self.split(out),
        )
        return out + self.prior.root_times(rng.standard_normal(out.size))

    def alone(self) -> tuple[Floats, Floats]:
        """Return the variance of each term if all others and the stars were known: c and q."""
        c, q = self.prior.c.copy(), self.prior.q.copy()
        astrometric_normal.own_information(self.rows, self.sky, self.model, self.found, c, q)
        return 1 / c, 1 / q

    def factor(self) -> tuple[Factor, Floats]:
        """Return the factor of S made from some of the stars, and its diagonal without priors."""
        prior = self.prior.diagonal
        if prior.size > self.max_dense:
            return self._block_factor()
        matrix = PackedMatrix(prior.size)
        weights = self._weights()
        order = _along_sky(self.sky.axes, np.flatnonzero(weights))
        room = _Room()
        for begin in range(0, order.size, _CHUNK):
            stars = order[begin : begin + _CHUNK]
            self._add_stars(stars, weights[stars], matrix, room)
        diagonal = matrix.diagonal
        matrix.add_diagonal(prior)
        self._add_cross(matrix)
        self._hold_means(matrix)
        return matrix.factor(), diagonal

    def _block_factor(self) -> tuple[Factor, Floats]:
        """Return the blocks of each map and visit alone, without what the stars share."""
        (n_maps, _, n_c), (n_visits, _, n_q) = self.prior.c.shape, self.prior.q.shape
        blocks_c = np.zeros((n_maps, 2 * n_c, 2 * n_c))
        blocks_q = np.zeros((n_visits, 2 * n_q, 2 * n_q))
        astrometric_normal.own_blocks(
            self.rows, self.sky, self.model, self.found, blocks_c, blocks_q
        )
        diagonal = np.concatenate([np.einsum("mii->mi", b).ravel() for b in (blocks_c, blocks_q)])
        for blocks, prior in ((blocks_c, self.prior.c), (blocks_q, self.prior.q)):
            k = np.arange(blocks.shape[1])
            blocks[:, k, k] += prior.reshape(len(prior), -1)
        blocks_q[:, n_q - 1, -1] += self.prior.cross
        blocks_q[:, -1, n_q - 1] += self.prior.cross
        return BlockFactor(np.linalg.cholesky(blocks_c), np.linalg.cholesky(blocks_q)), diagonal

    def _add_cross(self, matrix: PackedMatrix) -> None:
        """Add the priors between the two refractions of each visit."""
        terms = self.prior.q.shape[2]
        last = self.prior.c.size + (np.arange(len(self.prior.q)) + 1) * 2 * terms - 1
        matrix.values[matrix.start[last] + last - terms] += self.prior.cross

    def _hold_means(self, matrix: PackedMatrix) -> None:
        """Add the weight on the sums of shared terms."""
        terms = self.prior.q.shape[2]
        for e in range(int(self.epoch.max()) + 1):
            origin = self.prior.c.size + np.flatnonzero(self.epoch == e) * 2 * terms
            weight = self._stiffness(e)
            for k in [*range(self.n_shared), *range(terms, terms + self.n_shared)]:
                places = origin + k
                for i, row in enumerate(places):
                    matrix.values[matrix.start[row] + places[: i + 1]] += weight

    def _add_stars(self, stars: Int64, weights: Floats, matrix: PackedMatrix, room: _Room) -> None:
        """Add what some neighbouring stars say."""
        (n_maps, _, n_c), (n_visits, _, n_q) = self.prior.c.shape, self.prior.q.shape
        slot = np.empty(n_maps + n_visits, np.int64)
        own = (matrix.start, matrix.values)
        n_own = astrometric_normal.touched(
            stars, self.rows, self.found.state, n_maps, n_visits, slot
        )
        size = 2 * (n_own * n_c + (int(slot.max()) + 1 - n_own) * n_q)
        if size == 0:
            return
        u = np.empty((size, 5 * stars.size))
        astrometric_normal.gather(
            stars, weights, slot, n_own, self.rows, self.sky, self.model, self.found, *own, u
        )
        for low in range(0, size, _PIECE):
            high = min(low + _PIECE, size)
            product = room.take(high - low, high)
            np.dot(u[low:high], u[:high].T, out=product)
            astrometric_normal.scatter(product, low, slot, n_own, n_maps, 2 * n_c, 2 * n_q, *own)

    def _weights(self) -> Floats:
        """Return the inverse chance of each star to be taken, zero for those that are not."""
        first, fit = self.rows.first, self.sky.fit == 1
        n = np.diff(first).astype(np.float64)
        # Each row has a visit of its own; maps are shared by some rows.
        size = 2 * n * (self.prior.q.shape[2] + self.prior.c.shape[2])
        cost = fit * 5 * size**2 / 2
        chance = min(1.0, _BUDGET / max(float(cost.sum()), 1.0))
        if chance == 1.0:
            return fit.astype(np.float64)
        wanted = np.full(n.size, chance)
        wanted[self.sky.known > 0] = max(
            chance, min(1.0, _CATALOGUE_STARS / max(int(((self.sky.known > 0) & fit).sum()), 1))
        )
        for index, count in (
            (self.rows.visit, self.prior.q.shape[::2]),
            (self.rows.map, self.prior.c.shape[::2]),
        ):
            rows = np.bincount(index, minlength=count[0])
            need = np.minimum(1.0, _ROWS_PER_PARAMETER * count[1] / np.maximum(rows, 1))
            full = n > 0
            most = np.maximum.reduceat(need[index], first[:-1][full])
            wanted[full] = np.maximum(wanted[full], most)
        taken = fit & (_uniform(n.size) < wanted)
        return np.where(taken, 1 / wanted, 0.0)


class _Room:
    """An array that is used again: fresh memory costs more than the product that goes in."""

    def __init__(self) -> None:
        self._values: Floats = np.empty(0)

    def take(self, rows: int, columns: int) -> Floats:
        """Return the array as (rows, columns), contents undefined."""
        if self._values.size < rows * columns:
            self._values = np.empty(rows * columns)
        return self._values[: rows * columns].reshape(rows, columns)


@dataclass(frozen=True, eq=False)
class BlockFactor:
    """Cholesky factors of the blocks on the diagonal, those of the maps and those of the visits."""

    c: Floats
    q: Floats

    def solve(self, right: Floats) -> Floats:
        """Return A⁻¹ right."""
        return self._each(right, _twice)

    def solve_upper(self, right: Floats) -> Floats:
        """Return L⁻ᵀ right."""
        return self._each(right, _upper)

    def _each(self, right: Floats, solve: Callable[[Floats, Floats], Floats]) -> Floats:
        n = self.c.shape[0] * self.c.shape[1]
        out = np.empty_like(right)
        for low, part in ((self.c, slice(0, n)), (self.q, slice(n, None))):
            own = right[part].reshape(len(low), low.shape[1], -1)
            out[part] = solve(low, own).reshape(right[part].shape)
        return out


def _upper(low: Floats, right: Floats) -> Floats:
    return np.asarray(np.linalg.solve(low.swapaxes(1, 2), right))


def _twice(low: Floats, right: Floats) -> Floats:
    return _upper(low, np.asarray(np.linalg.solve(low, right)))


def join(c: Floats, q: Floats) -> Floats:
    """Return the parameter vector."""
    return np.concatenate([c.ravel(), q.ravel()])


def conjugate_gradients(
    multiply: Callable[[Floats], Floats],
    solve: Callable[[Floats], Floats],
    right: Floats,
    small: Callable[[Floats], bool],
    most: int,
) -> tuple[Floats, int]:
    """Solve S x = right.

    Parameters
    ----------
    multiply
        With S.
    solve
        With the matrix that makes it easy.
    right
        The right side.
    small
        Whether a remaining error, as the easy matrix estimates it, does not matter.
    most
        Iterations at most.

    Returns
    -------
    x, iterations
        The solution, and how many products with S it took.
    """
    x = np.zeros_like(right)
    rest = right.copy()
    eased = solve(rest)
    direction, size = eased.copy(), float(rest @ eased)
    for k in range(most):
        if small(eased):
            return x, k
        along = multiply(direction)
        length = size / float(direction @ along)
        x += length * direction
        rest -= length * along
        eased = solve(rest)
        new = float(rest @ eased)
        direction = eased + new / size * direction
        size = new
    return x, most


def _along_sky(axes: Floats, stars: NDArray[np.intp]) -> NDArray[np.int64]:
    """Return stars in strips of declination, to and fro along each."""
    direction = np.cross(axes[stars, 0], axes[stars, 1])
    north = direction[:, 2]
    strips = max(1, int(np.sqrt(stars.size) / 4))
    edges = np.quantile(north, np.linspace(0, 1, strips + 1)[1:-1]) if stars.size else north
    strip = np.searchsorted(edges, north)
    ahead = direction - direction.mean(axis=0)
    along = ahead @ axes[stars, 0].mean(axis=0)
    return stars[np.lexsort((np.where(strip % 2, -along, along), strip))].astype(np.int64)


def _uniform(n: int) -> Floats:
    """Return the fractions of multiples of the golden ratio: evenly spread, the same always."""
    return np.mod(np.arange(n) * 0.6180339887498949, 1.0)
