import numpy as np
import pytest

from drpflow.sim.amplifiers import (
    SHARED_SIDE,
    assemble,
    channels,
    nominal_amplifiers,
    raw_shape,
    slices,
    true_amplifiers,
)
from drpflow.sim.detector_config import DetectorEffects, Electronics
from tests.sim.detectors import only

LAYOUT = channels((64, 48), Electronics())


def test_blocks_tile_the_raw_array() -> None:
    covered = np.zeros(raw_shape(LAYOUT), int)
    for channel in LAYOUT:
        covered[slices(channel.block)] += 1
    assert np.all(covered == 1)


def test_sections_lie_side_by_side_in_their_block() -> None:
    for channel in LAYOUT:
        data, over = channel.raw_data_section, channel.raw_serial_overscan
        below = channel.raw_parallel_overscan
        assert data[0] == channel.block[0] + channel.prescan_pix
        assert (over[0], over[1]) == (data[1], channel.block[1])
        assert below is not None
        assert (below[2], below[3]) == (data[3], channel.block[3])
        assert (data[1] - data[0], data[3] - data[2]) == (32, 24)
    assert channels((64, 48), Electronics(parallel_overscan_pix=0))[0].raw_parallel_overscan is None


def test_cut_and_assemble_are_inverse() -> None:
    image = np.arange(48 * 64).reshape(48, 64)
    parts = [channel.cut(image) for channel in LAYOUT]
    np.testing.assert_array_equal(assemble(parts, LAYOUT), image)
    # Each amplifier first reads the pixel in its own corner.
    assert [int(p[0, 0]) for p in parts] == [0, 63, 47 * 64, 47 * 64 + 63]


def test_odd_detectors_are_refused() -> None:
    with pytest.raises(ValueError, match="quarters"):
        channels((63, 48), Electronics())


def test_neighbors_share_a_side() -> None:
    boxes = [c.data_section for c in LAYOUT]
    for i, a in enumerate(boxes):
        for j, b in enumerate(boxes):
            same_columns, same_rows = a[:2] == b[:2], a[2:] == b[2:]
            assert SHARED_SIDE[i, j] == (same_columns != same_rows)


def test_nominal_values_belong_to_the_camera() -> None:
    effects = DetectorEffects()
    first, other = nominal_amplifiers(effects, 0), nominal_amplifiers(effects, 1)
    assert np.any(first.gain != other.gain)
    well_adu = effects.saturation.full_well_electron / first.gain
    assert np.all((first.saturation > 0.9 * well_adu) & (first.saturation < well_adu))


def test_true_values_scatter_about_the_nominal_ones() -> None:
    effects = DetectorEffects()
    ratio = np.array(
        [true_amplifiers(effects, 0, s).gain / nominal_amplifiers(effects, 0).gain
         for s in range(100)]
    )  # fmt: skip
    assert ratio.mean() == pytest.approx(1, abs=0.003)
    assert ratio.std() == pytest.approx(effects.electronics.gain_error, rel=0.15)


def test_switched_off_they_are_ideal() -> None:
    effects = only()
    true, nominal = true_amplifiers(effects, 0, 1), nominal_amplifiers(effects, 0)
    np.testing.assert_array_equal(true.gain, nominal.gain)
    for values in (true.read_noise, true.nonlinearity, true.serial_cti, true.crosstalk):
        assert not values.any()


def test_crosstalk_is_stronger_between_neighbors() -> None:
    ratios = [true_amplifiers(DetectorEffects(), 0, s).crosstalk for s in range(50)]
    mean = np.mean(ratios, axis=0)
    assert not np.diag(mean).any()
    assert mean[SHARED_SIDE].mean() == pytest.approx(5e-4, rel=0.1)
    across = ~SHARED_SIDE & ~np.eye(4, dtype=bool)
    assert mean[across].mean() == pytest.approx(1.5e-4, rel=0.1)
