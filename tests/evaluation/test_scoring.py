"""What intervals must do."""

from __future__ import annotations

import numpy as np

from diminuendo.evaluation.scoring import Bootstrap


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
