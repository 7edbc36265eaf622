"""Counts against jiwer over a whole corpus, and against sclite's own search."""

from __future__ import annotations

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diminuendo.metrics import error_rates
from diminuendo.metrics.error_rates import align_words, count_errors, normalise, rate, word_error_rate
from diminuendo.metrics.unit import CHARACTERS, WORDS
from diminuendo.training import recognise

texts = st.lists(st.sampled_from(["a", "b", "car", "cat", "你好"]), max_size=6).map(" ".join)
pairs = st.lists(st.tuples(texts.filter(bool), texts), min_size=1, max_size=8)


@settings(max_examples=60)
@given(pairs)
def test_counts_are_those_of_a_possible_alignment_and_jiwers_for_characters(found):
    references, hypotheses = (list(column) for column in zip(*found))
    counts = count_errors(references, hypotheses)
    for reference, hypothesis, count in zip(references, hypotheses, counts):
        words = jiwer.process_words(reference, hypothesis)
        assert count.word_errors >= words.substitutions + words.deletions + words.insertions
        assert count.deletions - count.insertions == len(reference.split()) - len(hypothesis.split())
        gained = len(normalise(hypothesis)) - len(normalise(reference))
        assert count.character_insertions - count.character_deletions == gained
    characters = jiwer.process_characters(references, hypotheses)
    errors, lengths = (np.array(column) for column in zip(*((c.character_errors, c.characters) for c in counts)))
    assert rate(errors, lengths) == pytest.approx(characters.cer)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "edits"),
    [
        ("a b c", "a b c", (0, 0, 0)),
        ("a b c", "", (0, 3, 0)),
        ("", "a b", (0, 0, 2)),
        ("a b", "b c", (0, 1, 1)),  # the right word is kept: 6 against 8 for two wrong ones
        ("a b c d e", "e x y z w", (5, 0, 0)),  # 20 against 24 for keeping the one right word
        ("a b", "b a x", (1, 0, 1)),
    ],
)
def test_alignments_as_sclite_takes_them(reference, hypothesis, edits):
    assert align_words(reference.split(), hypothesis.split()) == edits


def test_an_empty_reference_has_insertions_only():
    (count,) = count_errors([""], ["two words"])
    assert (count.insertions, count.words, count.character_errors, count.characters) == (2, 0, 9, 0)
    assert count.character_insertions == 9
    assert rate(np.array([2]), np.array([0])) == 1.0
    assert rate(np.array([0]), np.array([0])) == 0.0


def test_composition_and_spaces_are_no_errors():
    assert normalise(" cafe\u0301  noir ") == "caf\u00e9 noir"
    assert count_errors(["cafe\u0301"], [" caf\u00e9 "])[0].word_errors == 0


@settings(max_examples=300)
@given(texts.map(str.split), texts.map(str.split))
def test_jiwers_alignment_is_taken_only_where_sclite_takes_the_same(reference, hypothesis):
    assert align_words(reference, hypothesis) == error_rates._align_as_sclite(reference, hypothesis)


# Five wrong words are dearer than three deletions and three insertions around two right ones.
FIVE_OR_SIX = ("a b c d e", "x y z a b")


def test_the_rate_on_dev_is_the_rate_of_the_evaluation(monkeypatch):
    references, hypotheses = zip(FIVE_OR_SIX, ("cafe\u0301", "caf\u00e9"), ("", "a"))
    monkeypatch.setattr(recognise, "transcribe_batches", lambda *_: (references, hypotheses))
    counts = count_errors(references, hypotheses)
    assert jiwer.process_words(*FIVE_OR_SIX).substitutions == 5 and counts[0].word_errors == 6
    found, unit = recognise.dev_error_rate(None, (), None)
    assert unit is WORDS and found == sum(c.word_errors for c in counts) / sum(c.words for c in counts) == 7 / 6


def test_the_rate_on_dev_counts_characters_where_a_sentence_is_one_word(monkeypatch):
    references, hypotheses = ("今天很热", "你好"), ("今天热", "你们好")
    monkeypatch.setattr(recognise, "transcribe_batches", lambda *_: (references, hypotheses))
    counts = count_errors(references, hypotheses)
    found, unit = recognise.dev_error_rate(None, (), None)
    assert unit is CHARACTERS and found == 2 / 6 == sum(c.character_errors for c in counts) / 6


@given(pairs)
def test_the_rate_is_never_below_jiwers_and_mostly_the_same(found):
    references, hypotheses = (list(column) for column in zip(*found))
    ours, theirs = word_error_rate(references, hypotheses), jiwer.wer(references, hypotheses)
    substituted = max(jiwer.process_words(*pair).substitutions for pair in found)
    assert ours == theirs if substituted <= 2 else ours >= theirs
