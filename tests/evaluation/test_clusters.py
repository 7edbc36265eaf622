"""Intervals over speakers."""

from __future__ import annotations

import numpy as np

from diminuendo.evaluation.scoring import LEAST_SPEAKERS, Bootstrap, resampled


def test_speakers_are_drawn_with_all_their_utterances():
    errors, words = np.array([0, 2, 1, 5, 0, 3]), np.array([4, 6, 3, 9, 5, 3])
    clusters = np.array([0, 1, 0, 2, 1, 2])
    draws = np.random.default_rng(7).integers(3, size=(50, 3))
    by_hand = []
    for drawn in draws:
        at = [index for speaker in drawn for index in np.flatnonzero(clusters == speaker)]
        by_hand.append(errors[at].sum() / words[at].sum())
    np.testing.assert_allclose(Bootstrap(6, 50, 0.9, 7, clusters).rates(errors, words), by_hand)


def test_one_utterance_a_speaker_is_the_bootstrap_over_utterances():
    errors, words = np.arange(12), np.arange(12) + 12
    found = resampled([f"speaker {index}" for index in range(12)])
    np.testing.assert_array_equal(
        Bootstrap(12, 99, 0.9, 1, found.clusters).rates(errors, words), Bootstrap(12, 99, 0.9, 1).rates(errors, words)
    )


def test_speakers_are_drawn_where_enough_are_named():
    few = resampled([str(index % (LEAST_SPEAKERS - 1)) for index in range(40)] + [None])
    assert few.record == {"unit": "utterances", "speakers": LEAST_SPEAKERS - 1} and few.at(np.arange(9)) is None
    enough = resampled([None, *(str(index % LEAST_SPEAKERS) for index in range(40)), None])
    assert enough.record == {"unit": "speakers", "speakers": LEAST_SPEAKERS}
    assert len(np.unique(enough.clusters)) == LEAST_SPEAKERS + 2  # whoever is not named is taken for another
    assert enough.at(np.array([1, 6, 11])) is None  # a group of one speaker


def test_where_errors_of_a_speaker_go_together_only_intervals_over_speakers_cover_the_truth():
    rng = np.random.default_rng(5)
    speakers, truth, trials = np.repeat(np.arange(20), 9), 0.2, 150
    over_utterances = over_speakers = 0
    for trial in range(trials):
        words = rng.integers(3, 10, size=180)
        errors = rng.binomial(words, rng.beta(1.8, 7.2, size=20)[speakers])
        for clusters in (None, speakers):
            bootstrap = Bootstrap(180, 300, 0.95, trial, clusters)
            interval = bootstrap.interval(bootstrap.rates(errors, words))
            covered = interval.low <= truth <= interval.high
            over_utterances += covered and clusters is None
            over_speakers += covered and clusters is not None
    assert over_utterances / trials < 0.8 and over_speakers / trials > 0.87


def test_nothing_said_divides_by_nothing():
    nothing = np.zeros(3, dtype=np.int64)
    assert (Bootstrap(3, 20, 0.9, 0).rates(nothing, nothing) == 0).all()
    assert (Bootstrap(3, 20, 0.9, 0).rates(nothing + 4, nothing) == 1).all()
