import numpy as np
import pytest

from drpflow.data.displacement_map import TURBULENCE, DisplacementMap
from drpflow.data.plane_maps import AffineMap
from drpflow.data.record import from_record
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.tan_projection import TanProjection


def made(seed: int = 1, size: float = 1e-3) -> DisplacementMap:
    rng = np.random.default_rng(seed)
    return DisplacementMap((-1.0, 2.0), 0.5, size * rng.normal(size=(2, 9, 12)))


def inside(n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    return rng.uniform(-0.5, 4.0, n), rng.uniform(2.5, 5.5, n)


def test_nodes_keep_their_values() -> None:
    item = made()
    x, y = np.meshgrid(-1.0 + 0.5 * np.arange(1, 11), 2.0 + 0.5 * np.arange(1, 8))
    u, v = item.forward(x, y)
    assert u - x == pytest.approx(item.values[0, 1:-1, 1:-1], abs=1e-12)
    assert v - y == pytest.approx(item.values[1, 1:-1, 1:-1], abs=1e-12)


def test_quadratic_displacements_are_exact() -> None:
    x, y = np.meshgrid(-1.0 + 0.5 * np.arange(12), 2.0 + 0.5 * np.arange(9))

    def shift(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 0.01 * np.stack([1 + x - y + x * y, 2 - x**2 + y**2])

    item = DisplacementMap((-1.0, 2.0), 0.5, shift(x, y))
    px, py = inside()
    u, v = item.forward(px, py)
    assert np.stack([u - px, v - py]) == pytest.approx(shift(px, py), abs=2e-8)


def test_the_inverse_undoes_it() -> None:
    item, (x, y) = made(), inside()
    back = item.inverse(*item.forward(x, y))
    assert np.stack(back) == pytest.approx(np.stack([x, y]), abs=1e-13)
    assert item.inverse(*item.forward(0.3, 3.3)) == pytest.approx((0.3, 3.3), abs=1e-13)


def test_jacobian_agrees_with_differences() -> None:
    item, (x, y), h = made(), inside(), 1e-6
    _, _, jacobian = item.forward_with_jacobian(x, y)
    for k, (dx, dy) in enumerate(((h, 0), (0, h))):
        ahead, behind = item.forward(x + dx, y + dy), item.forward(x - dx, y - dy)
        for i in (0, 1):
            slope = (ahead[i] - behind[i]) / (2 * h)
            assert jacobian[:, i, k] == pytest.approx(slope, abs=1e-8)


def test_beyond_the_nodes_the_edge_goes_on() -> None:
    item = made()
    far, edge = item.forward(100.0, 3.5), item.forward(4.0, 3.5)
    assert far[0] - 100.0 == pytest.approx(edge[0] - 4.0, abs=1e-12)
    assert item.forward_with_jacobian(100.0, 100.0)[2] == pytest.approx(np.eye(2), abs=1e-12)


def test_it_is_stored_whole_also_as_a_stage() -> None:
    item = made()
    assert from_record(item.to_record()) == item
    wcs = SkyWcs((("detector", AffineMap(np.eye(2) * 0.1, np.zeros(2))),), TanProjection(10, 20))
    wcs = wcs.with_stage(TURBULENCE, item)
    again = SkyWcs.from_record(wcs.to_record())
    assert again == wcs
    x, y = np.array([3.0, 20.0]), np.array([25.0, 40.0])
    back = again.world_to_pixel_values(*wcs.pixel_to_world_values(x, y))
    assert np.stack(back) == pytest.approx(np.stack([x, y]), abs=1e-8)


@pytest.mark.parametrize(
    ("spacing", "shape"), [(0.0, (2, 5, 5)), (1.0, (2, 3, 5)), (1.0, (1, 5, 5))]
)
def test_no_grid_is_refused(spacing: float, shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"grid|shape"):
        DisplacementMap((0.0, 0.0), spacing, np.zeros(shape))
