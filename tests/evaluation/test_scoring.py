"""Counts against jiwer over a whole corpus, and what intervals must do."""

from __future__ import annotations

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diminuendo.evaluation.scoring import Bootstrap, align_words, count_errors, normalise, rate

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


def test_equal_systems_differ_by_exactly_nothing():
    errors, words = np.array([0, 2, 1, 5, 0]), np.array([4, 6, 3, 9, 5])
    bootstrap = Bootstrap(5, 300, 0.95, seed=1)
    difference = bootstrap.rates(errors, words) - bootstrap.rates(errors.copy(), words)
    assert bootstrap.interval(difference) == bootstrap.interval(np.zeros(300))
    assert bootstrap.interval(difference).high == 0.0


def test_pairing_narrows_the_interval_of_a_difference():
    rng = np.random.default_rng(0)
    words = rng.integers(4, 12, size=400)
    hard = rng.random(400) ** 3
    one = rng.binomial(words, hard)
    other = np.minimum(words, one + (rng.random(400) < 0.1))
    bootstrap = Bootstrap(400, 1000, 0.95, seed=1)
    unpaired = Bootstrap(400, 1000, 0.95, seed=2)
    paired = bootstrap.interval(bootstrap.rates(other, words) - bootstrap.rates(one, words))
    apart = bootstrap.interval(unpaired.rates(other, words) - bootstrap.rates(one, words))
    assert 0 < paired.low < paired.high
    assert paired.high - paired.low < 0.5 * (apart.high - apart.low)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(3)
    truth, covered = 0.2, 0
    for trial in range(200):
        words = rng.integers(3, 10, size=150)
        bootstrap = Bootstrap(150, 400, 0.9, seed=trial)
        interval = bootstrap.interval(bootstrap.rates(rng.binomial(words, truth), words))
        covered += interval.low <= truth <= interval.high
    assert 0.83 <= covered / 200 <= 0.96


def test_resampling_in_pieces_gives_the_same(monkeypatch):
    errors, words = np.arange(50), np.arange(50) + 60
    whole = Bootstrap(50, 101, 0.95, seed=5).rates(errors, words)
    monkeypatch.setattr("diminuendo.evaluation.scoring.DRAWS_AT_ONCE", 500)
    np.testing.assert_array_equal(Bootstrap(50, 101, 0.95, seed=5).rates(errors, words), whole)
    assert whole.std() > 0
