"""What an error rate on clean speech hides, on clips and counts made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from diminuendo.config.evaluation import EvaluateConfig, NoiseConfig
from diminuendo.core.errors import UserError
from diminuendo.evaluation.family import evaluate_family
from diminuendo.evaluation.hidden import hallucinated, no_worse_share
from diminuendo.evaluation.noise import chosen, clips_of, mixed, record_of
from diminuendo.evaluation.rates import Measuring
from diminuendo.evaluation.scoring import Bootstrap, Resampled
from tests.factories.evaluation import TEXTS, small_family, spoken_corpus
from tests.factories.shipping import counts

NOISE = NoiseConfig(snr_db=(20, 0), utterances=5)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return spoken_corpus(tmp_path_factory.mktemp("hidden") / "corpus", ("", *TEXTS))


def test_noise_is_so_far_below_speech():
    rng = np.random.default_rng(0)
    speech, noise = (0.05 * rng.standard_normal(4000).astype(np.float32) for _ in range(2))
    added = mixed(speech, noise, 10) - speech
    assert 10 * np.log10(np.mean(speech**2) / np.mean(added**2)) == pytest.approx(10, abs=1e-3)
    assert np.abs(mixed(20 * speech, noise, 0)).max() <= 1 and (mixed(speech, 0 * noise, 0) == speech).all()


def test_clips_are_the_same_whenever_they_are_made(corpus):
    first, again = list(clips_of(corpus, NOISE, 3)), list(clips_of(corpus, NOISE, 3))
    assert [clip.condition for clip in first] == [c for c in ("snr_20", "snr_0", "noise", "silence") for _ in range(5)]
    assert all((one.waveform == other.waveform).all() for one, other in zip(first, again))
    assert all(clip.reference == (clip.utterance.text if "snr" in clip.condition else "") for clip in first)
    assert 0 not in chosen(corpus, 99, 3)  # where nothing is said there is nothing to miss
    assert set(chosen(corpus, 3, 3)) < set(chosen(corpus, 5, 3)) and list(chosen(corpus, 5, 3)) != [1, 2, 3, 4, 5]


def test_shares_and_words_a_minute_by_hand():
    teacher, member = counts([0, 1, 2, 0]), counts([0, 2, 1, 0])
    assert no_worse_share(member, teacher, Bootstrap(4, 50, 0.9, 0))["wer"] == 0.75
    heard = counts([3, 0], words=0, kind="insertions")
    measuring = Measuring(50, 0.9, 0, Resampled("utterances", 0))
    parts = {"noise": (heard, np.array([20.0, 40.0])), "test": (counts([]), np.zeros(0))}
    found = hallucinated(parts, measuring)
    assert set(found) == {"noise", "all"} and found["all"]["words_per_minute"] == 3.0
    assert found["noise"]["words_per_minute_interval"]["high"] == 9.0
    assert hallucinated({}, measuring) == {}


def test_a_family_is_tried_and_taken_over(corpus, tmp_path):
    config = EvaluateConfig(
        bootstrap_samples=20, confidence=0.9, group_by=(), timing_utterances=1, timing_repeats=1, noise=NOISE
    )
    models = small_family(tmp_path / "models")
    said: list[str] = []
    for name, earlier in (("one", None), ("two", tmp_path / "one")):
        (tmp_path / name).mkdir()
        found = evaluate_family(models, corpus, config, 1, tmp_path / name, earlier=earlier, say=said.append)
    assert sum("in noise are taken over" in line for line in said) == len(models)
    assert (tmp_path / "one" / "metrics.json").read_bytes() == (tmp_path / "two" / "metrics.json").read_bytes()
    student = found["members"]["student"]
    assert set(student["noise"]) == {"clean", "snr_20", "snr_0"} and found["noise"]["tried"] == 5
    assert {"test", "noise", "silence", "all"} == set(student["hallucinated"])
    assert student["hallucinated"]["test"]["words"] == 0 and 0 < student["no_worse"]["wer"] < 1
    assert student["noise"]["snr_0"]["wer"] > student["noise"]["clean"]["wer"]


def test_recordings_that_are_not_there_are_told(tmp_path):
    with pytest.raises(UserError, match=r"evaluate.noise.recordings: there is no folder"):
        record_of(NoiseConfig(snr_db=(0,), recordings=str(tmp_path / "nowhere")), 1)
    with pytest.raises(UserError, match="no audio in"):
        record_of(NoiseConfig(snr_db=(0,), recordings=str(tmp_path)), 1)
