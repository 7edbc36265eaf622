"""Windows of a recording, and their joins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diminuendo.runtime.ctc import decode_text
from diminuendo.runtime.model import BLANK
from diminuendo.runtime.windows import Cutter, Joiner, middle_of_longest

TOKENS = ["<blank>", "▁", *"abcdefghijklmnopqrstuvwxyz"]


@settings(max_examples=50)
@given(st.lists(st.integers(0, 300), max_size=8), st.integers(4, 40), st.integers(0, 30))
def test_windows_cover_everything_once_and_none_is_only_an_end(lengths, step, overlap):
    samples = np.arange(sum(lengths), dtype=np.float32)
    blocks = np.split(samples, np.cumsum(lengths)[:-1]) if lengths else []
    found = list(Cutter(step + overlap, step, 1.0).cut(blocks))
    assert [window.start for window in found] == [index * step for index in range(len(found))]
    for window in found:
        np.testing.assert_array_equal(window.samples, samples[window.start : window.start + step + overlap])
    if len(samples):
        assert found[-1].start + len(found[-1].samples) == len(samples)
        assert len(found) == 1 or len(found[-1].samples) > overlap


@settings(max_examples=200)
@given(st.integers(-2, 2), st.integers(0, 2**31))
def test_a_join_neither_loses_nor_doubles_tokens_that_windows_place_apart(shift, seed):
    rng = np.random.default_rng(seed)
    before, after = np.zeros(100, dtype=np.int32), np.zeros(100, dtype=np.int32)
    places = np.cumsum(rng.integers(6, 12, size=7)) + 3
    tokens = rng.integers(1, 9, size=7)
    before[places], after[places + shift] = tokens, tokens
    cut = middle_of_longest((before == BLANK) & (after == BLANK))
    joined = np.concatenate([before[:cut], after[cut:]])
    assert joined[joined > 0].tolist() == tokens.tolist()
    assert 25 <= cut <= 75


def test_a_join_without_any_quiet_is_left_to_the_middle():
    assert middle_of_longest(np.zeros(40, dtype=bool)) is None
    joiner = Joiner(60, 40, TOKENS)
    joiner.add((np.full(100, 2, dtype=np.int32), np.zeros(100, dtype=np.float32)))
    path, _ = joiner.add((np.full(100, 3, dtype=np.int32), np.zeros(100, dtype=np.float32)))
    assert path.tolist() == [2] * 20 + [3] * 40


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        # The only blanks that both heard and that are not in the gap of ``before`` stand inside "tonight".
        ("too........niight.▁.code........", "my........▁niight.▁.code........", "tonight code"),
        # Each window has heard the space on the side that is dropped.
        ("too..niight...▁..code", "...........▁▁......my", "tonight my"),
    ],
)
def test_a_join_cuts_between_words_and_keeps_the_space(before, after, expected):
    def heard(text):
        path = np.array([BLANK if letter == "." else TOKENS.index(letter) for letter in text], dtype=np.int32)
        return path, np.zeros(len(path), dtype=np.float32)

    after = after.rjust(len(before), ".")
    joiner = Joiner(len(before), len(before), TOKENS)
    empty = "." * len(before)
    joiner.add(heard(empty + before))
    path, _ = joiner.add(heard(after + empty))
    assert decode_text(path, TOKENS) == expected
