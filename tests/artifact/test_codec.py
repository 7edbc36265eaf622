"""The grid: its error, its bytes, and the values at its edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from diminuendo.artifact.codec import (
    FRACTIONS,
    pack_int4,
    pack_planes,
    plane_values,
    quantize_matrix,
    quantize_vector,
    unpack_planes,
)


def rounded_to_peak(weight: np.ndarray, bits: int, group_size: int) -> np.ndarray:
    """The plain way: the largest value of a group takes the largest code."""
    groups = weight.reshape(-1, group_size, weight.shape[1])
    scale = np.abs(groups).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)
    return (np.rint(groups / scale) * scale).reshape(weight.shape)


@pytest.mark.parametrize("bits, group_size, bound", [(8, None, 0.01), (4, 32, 0.1), (4, 16, 0.08)])
def test_error_is_bounded_and_below_that_of_plain_rounding(bits, group_size, bound):
    weight = np.random.default_rng(0).standard_normal((96, 40)).astype(np.float32)
    decoded = quantize_matrix(weight, bits, group_size).decode()
    error = np.square(decoded - weight).mean()
    plain = np.square(rounded_to_peak(weight, bits, group_size or 96) - weight).mean()
    assert np.sqrt(error) < bound
    assert error < plain
    if bits == 4:
        assert error < 0.9 * plain


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 20), st.integers(1, 6)),
        elements=st.floats(-100, 100, width=32) | st.just(0.0),
    ),
    st.integers(1, 24),
    st.sampled_from(list(FRACTIONS)),
)
def test_any_matrix_decodes_to_the_nearest_codes_of_its_scales(weight, group_size, bits):
    quantized = quantize_matrix(weight, bits, group_size)
    decoded = quantized.decode()
    assert quantized.codes.shape == weight.shape
    assert quantized.codes.min() >= -(2 ** (bits - 1)) and quantized.codes.max() <= 2 ** (bits - 1) - 1
    assert np.isfinite(decoded).all() and quantized.scales.lengths.sum() == quantized.scales.codes.size
    assert (decoded[weight == 0] == 0).all(), "zeros that pruning left must stay zero"
    for row in range(0, len(weight), min(group_size, len(weight))):
        group, peak = slice(row, row + group_size), np.abs(weight[row : row + group_size]).max(axis=0)
        # Half a step of the widest grid that is tried, and what clipping to the narrowest may take away.
        bound = {2: 1.0, 3: 0.6}.get(bits, 0.5)
        assert (np.abs(decoded[group] - weight[group]).max(axis=0) <= peak * bound + 1e-5).all()


def test_the_last_group_may_be_short_and_scales_are_its_own():
    weight = np.ones((5, 2), np.float32)
    weight[4] = 1000
    quantized = quantize_matrix(weight, 4, 2)
    assert quantized.scales.codes.shape == (3 * 2,)
    assert quantized.scales.lengths.tolist() == [2, 1, 2, 1], (
        "a scale a thousand times the others has a step of its own"
    )
    np.testing.assert_allclose(quantized.decode(), weight, rtol=2e-3)


def test_rounding_twice_changes_next_to_nothing():
    weight = np.random.default_rng(1).standard_normal((70, 9)).astype(np.float32)
    once = quantize_matrix(weight, 4, 32).decode()
    again = np.square(quantize_matrix(once, 4, 32).decode() - once).mean()
    assert again < 0.01 * np.square(once - weight).mean()


def test_the_same_matrix_in_another_memory_order_gives_the_same_codes():
    weight = np.random.default_rng(2).standard_normal((33, 17)).astype(np.float32)
    first, second = quantize_matrix(weight, 4, 8), quantize_matrix(np.asfortranarray(weight), 4, 8)
    assert np.array_equal(first.codes, second.codes) and np.array_equal(first.scales.codes, second.scales.codes)


def test_four_bits_are_packed_two_to_a_byte_low_half_first():
    assert pack_int4(np.array([[1, -1], [7, -8], [3, 0]], np.int8)) == bytes([0xF1, 0x87, 0x03])
    assert pack_int4(np.array([-2], np.int8)) == bytes([0x0E])


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 8), st.data())
def test_any_codes_come_back_from_their_planes(bits, data):
    codes = data.draw(
        arrays.arrays(np.int8, st.integers(1, 40), elements=st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))
    )
    planes = pack_planes(codes, bits)
    assert planes.shape == (bits, -(-codes.size // 8))
    assert np.array_equal(unpack_planes(planes)[: codes.size], codes)


def test_planes_are_bits_of_twos_complement_lowest_first():
    assert pack_planes(np.array([1, -1, 3, -4], np.int8), 3).tolist() == [[0b0111], [0b0110], [0b1010]]
    assert plane_values(3).tolist() == [1, 2, -4]


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(np.float32, st.integers(1, 200), elements=st.floats(-100, 100, width=32)))
def test_a_vector_is_off_by_half_a_step_of_its_block_at_most(values):
    quantized = quantize_vector(values)
    assert quantized.lengths.sum() == values.size and quantized.lengths.max() <= 64
    half = np.repeat(np.abs(quantized.steps.astype(np.float32)), quantized.lengths) / 2
    assert (
        np.abs(quantized.decode() - values) <= half * 1.13 + 5e-6
    ).all()  # the step itself is rounded to float16, which ends at 6e-8
