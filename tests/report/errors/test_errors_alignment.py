"""Alignments: by hand, and against the counts that every table is of."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diminuendo.metrics.error_rates import align_words, count_errors, normalise
from diminuendo.metrics.unit import CHARACTERS, WORDS
from diminuendo.report.errors.alignment import align
from diminuendo.report.errors.alignment import align_words as aligned

SENTENCES = st.lists(st.sampled_from("abcd"), max_size=9)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("make the garden blue", "make the garden", "===D"),
        ("make the garden blue", "make the g d s g", "==IISS"),
        ("a b", "b a", "D=I"),  # sclite: around a right word, not two wrong ones
        ("one two", "two", "D="),
        ("", "a b", "II"),
        ("a b", "", "DD"),
        ("", "", ""),
    ],
)
def test_words(reference, hypothesis, expected):
    assert align(reference, hypothesis, WORDS) == expected


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("你好吗", "你们好", "=I=D"),
        ("你好", "", "DD"),
        ("", "你", "I"),
        ("ab", "a b", "=I="),
    ],
)
def test_characters(reference, hypothesis, expected):
    assert align(reference, hypothesis, CHARACTERS) == expected


@given(SENTENCES, SENTENCES)
def test_words_add_up_to_what_is_counted(reference, hypothesis):
    letters = Counter(aligned(reference, hypothesis))
    assert (letters["S"], letters["D"], letters["I"]) == align_words(reference, hypothesis)
    assert letters["="] + letters["S"] + letters["D"] == len(reference)
    assert letters["="] + letters["S"] + letters["I"] == len(hypothesis)


@given(st.text("ab 你好", max_size=8).map(normalise), st.text("ab 你好", max_size=8).map(normalise))
def test_characters_add_up_to_what_is_counted(reference, hypothesis):
    (counts,) = count_errors([reference], [hypothesis])
    letters = Counter(align(reference, hypothesis, CHARACTERS))
    edits = (counts.character_substitutions, counts.character_deletions, counts.character_insertions)
    assert (letters["S"], letters["D"], letters["I"]) == edits
    assert letters["="] + letters["S"] + letters["I"] == len(hypothesis)
