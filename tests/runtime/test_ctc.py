"""Greedy decoding: text, times, confidence."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diminuendo.runtime.ctc import WordReader, decode_text, decode_words, text_of
from diminuendo.runtime.model import best_path

CHARACTERS = ["<blank>", "▁", "a", "b", "c"]
PIECES = ["<blank>", "▁", "▁the", "s", "▁cat", "a▁b"]


def path_of(symbols: str) -> np.ndarray:
    return np.array([{"-": 0, "_": 1, "a": 2, "b": 3, "c": 4}[symbol] for symbol in symbols])


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ("", ""),
        ("----", ""),
        ("a", "a"),
        ("aab", "ab"),
        ("aa-ab", "aab"),
        ("__a_-_b__", "a b"),
        ("a__b", "a b"),
        ("-c--c-", "cc"),
    ],
)
def test_repeats_merge_and_blanks_vanish(frames, text):
    assert decode_text(path_of(frames), CHARACTERS) == text
    words = decode_words(path_of(frames), np.zeros(len(frames)), CHARACTERS, 0.02)
    assert " ".join(word.text for word in words) == text


def test_times_are_those_of_the_first_and_last_frame():
    words = decode_words(path_of("--aab-__-c"), np.zeros(10), CHARACTERS, 0.04)
    assert [(word.text, word.start, word.end) for word in words] == [("ab", 0.08, 0.2), ("c", 0.36, 0.4)]


def test_confidence_is_the_product_of_each_tokens_best_posterior():
    log_probs = np.log(np.array([0.3, 0.5, 0.9, 0.8, 0.7]))
    (word,) = decode_words(path_of("aa-bb"), log_probs, CHARACTERS, 0.04)
    assert word.confidence == pytest.approx(0.5 * 0.8)


def test_sentencepiece_marks_begin_words_and_may_stand_inside_a_unit():
    path = np.array([2, 0, 4, 3, 1, 5])
    words = decode_words(path, np.full(6, math.log(0.5)), PIECES, 0.1)
    assert [word.text for word in words] == ["the", "cats", "a", "b"]
    assert decode_text(path, PIECES) == "the cats a b"
    assert words[1].confidence == pytest.approx(0.25)


@given(st.lists(st.integers(0, 4), max_size=40), st.integers(1, 3))
def test_text_and_words_agree_and_times_are_ordered(frames, repeats):
    path = np.repeat(np.array(frames, dtype=np.int32), repeats)
    words = decode_words(path, np.full(len(path), -0.1), CHARACTERS, 0.02)
    assert text_of(words) == decode_text(path, CHARACTERS)
    ends = [0.0, *(time for word in words for time in (word.start, word.end))]
    assert ends == sorted(ends)
    assert all(0 <= word.confidence <= 1 for word in words)


HAN = ["<blank>", "▁", "打", "开", "wi", "fi", "。", "3", "月", "你好", "บ", "้", "า", "か", "é"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ([2, 3], ["打", "开"]),
        ([2, 2, 0, 2], ["打", "打"]),
        ([2, 3, 4, 5, 2], ["打", "开", "wifi", "打"]),  # letters of another script stay together
        ([2, 6, 3], ["打。", "开"]),  # punctuation belongs to what stands before it
        ([7, 7, 0, 7, 8, 7], ["33", "月", "3"]),
        ([9, 2], ["你好", "打"]),  # a piece of several characters has the times of one token
        ([10, 11, 12, 13], ["บ้", "า", "か"]),  # a mark belongs to its letter
        ([4, 14], ["wié"]),
    ],
)
def test_without_spaces_each_token_has_times_of_its_own(path, words):
    path = np.array(path)
    found = decode_words(path, np.full(len(path), math.log(0.5)), HAN, 0.1)
    assert [word.text for word in found] == words
    assert [word.spaced for word in found] == [True] + [False] * (len(words) - 1)
    assert text_of(found) == decode_text(path, HAN) == "".join(words)
    assert all(word.start < word.end for word in found)
    assert all(one.end <= other.start for one, other in pairwise(found))


def test_a_space_between_characters_is_kept():
    first, second, third = decode_words(np.array([2, 1, 3, 2]), np.zeros(4), HAN, 0.1)
    assert text_of([first, second, third]) == "打 开打"
    assert "spaced" not in second.as_dict() and third.as_dict()["spaced"] is False


def test_a_character_is_given_out_when_the_next_begins():
    reader = WordReader(HAN, 0.1)
    given = [[word.text for word in reader.push(np.array([token]), np.zeros(1))] for token in (2, 0, 3, 8)]
    assert given == [[], [], [], ["打"]] and [word.text for word in reader.finish()] == ["开", "月"]


@given(st.lists(st.integers(0, len(HAN) - 1), max_size=40))
def test_in_any_script_text_and_words_agree(frames):
    path = np.array(frames, dtype=np.int32)
    assert text_of(decode_words(path, np.zeros(len(path)), HAN, 0.02)) == decode_text(path, HAN)


def test_best_path_takes_the_largest_of_each_frame():
    tokens, scores = best_path(np.log(np.array([[0.2, 0.7, 0.1], [0.6, 0.3, 0.1]], dtype=np.float32)))
    assert tokens.tolist() == [1, 0]
    np.testing.assert_allclose(np.exp(scores), [0.7, 0.6], rtol=1e-6)


@given(st.lists(st.integers(0, 4), max_size=30), st.lists(st.integers(0, 60), max_size=6), st.integers(0, 2**31))
def test_where_a_path_is_cut_makes_no_difference(frames, cuts, seed):
    path = np.repeat(np.array(frames, dtype=np.int32), 2)
    log_probs = np.log(np.random.default_rng(seed).uniform(0.1, 1, len(path)))
    reader, words = WordReader(CHARACTERS, 0.02), []
    for piece, scores in zip(np.split(path, sorted(cuts)), np.split(log_probs, sorted(cuts))):
        words += reader.push(piece, scores)
    assert words + reader.finish() == decode_words(path, log_probs, CHARACTERS, 0.02)
