"""Figures from times that are known."""

from __future__ import annotations

import time

import numpy as np
import pytest

from diminuendo.evaluation.timing import speed_of, spread, take_turns, time_models
from tests.factories.onnx_models import speak, write_model


def test_figures_of_known_times():
    teacher = np.array([[0.10, 0.30], [0.11, 0.29], [0.50, 0.30]])  # something disturbed the third repeat
    seconds = np.array([1.0, 3.0])
    found = speed_of(teacher / 4, teacher, seconds, 0.95)
    assert found["times_faster"] == pytest.approx(4)
    assert found["times_faster_interval"] == {"low": pytest.approx(4), "high": pytest.approx(4)}
    assert found["real_time_factor"] == pytest.approx(0.4 / 4 / 4)
    assert found["latency_p50"] == pytest.approx((0.11 + 0.30) / 2 / 4)
    assert found["latency_p95"] == pytest.approx((0.11 + 0.95 * 0.19) / 4)


def test_an_interval_of_a_noisy_ratio_holds_the_true_one():
    rng = np.random.default_rng(0)
    teacher = rng.gamma(100, 0.001, size=(5, 20))
    found = speed_of(teacher * rng.gamma(400, 1 / 400, size=(5, 20)) / 2, teacher, np.ones(20), 0.95)
    low, high = found["times_faster_interval"]["low"], found["times_faster_interval"]["high"]
    assert low < 2 < high and high - low < 0.2


def test_utterances_are_spread_over_the_lengths():
    seconds = [5.0, 1.0, 4.0, 2.0, 3.0, 6.0]
    assert spread(seconds, 3) == [3, 2, 5]
    assert sorted(spread(seconds, 10)) == list(range(6))


def test_every_model_is_timed_in_every_repeat_and_a_larger_one_takes_longer(tmp_path):
    paths = {
        "small": str(write_model(tmp_path / "small.onnx")),
        "large": str(write_model(tmp_path / "large.onnx", width=1200)),
    }
    taken = time_models(paths, [speak("abc"), speak("hello world")], repeats=3, threads=1)
    assert {name: times.shape for name, times in taken.items()} == {"small": (3, 2), "large": (3, 2)}
    assert all((times > 0).all() for times in taken.values())
    assert np.median(taken["large"]) > 2 * np.median(taken["small"])


def test_what_is_timed_is_a_model_that_has_just_run():
    """A model whose first run after another one is slow is not charged for that."""
    last = None

    def transcriber(name):
        def transcribe(waveform):
            nonlocal last
            if last != name:
                time.sleep(0.02)
            last = name
            return ""

        return transcribe

    taken = take_turns({"a": transcriber("a"), "b": transcriber("b")}, [np.zeros(3), np.zeros(4)], repeats=3)
    assert all(np.median(times) < 0.01 for times in taken.values())
