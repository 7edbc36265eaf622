"""Repetition loops and invented words of a recogniser that repeats itself, beside a teacher that seldom does."""

from __future__ import annotations

import json

import numpy as np
import pytest

from diminuendo.config.evaluation import EvaluateConfig, NoiseConfig
from diminuendo.core.files import sha256_of
from diminuendo.evaluation import noisy
from diminuendo.evaluation.family import accuracy_metrics
from diminuendo.evaluation.hidden import hallucinated
from diminuendo.evaluation.loops import NAMED, loops_in
from diminuendo.evaluation.rates import Measuring
from diminuendo.evaluation.scoring import Resampled
from tests.factories.evaluation import small_family, spoken_corpus
from tests.factories.repeating import LOOP, decode_as_told
from tests.factories.shipping import counts

NOISE = NoiseConfig(snr_db=(10,), utterances=3)
CONFIG = {"bootstrap_samples": 20, "confidence": 0.9, "group_by": (), "timing_utterances": 1, "timing_repeats": 1}
TEXTS = ("turn on the light", "no " * 9 + "no", "call anna", "stop")
# What each writes, in the order of decoding: the four of test, then three each at 10 dB, of noise and of silence.
WRITTEN = {
    "teacher": ["turn on the light", TEXTS[1], LOOP, "stop", "a", "b", "c", *[""] * 3, "um", LOOP, ""],
    "student": [LOOP, TEXTS[1], LOOP, "stop", LOOP, "b", "!" * 99, "", "yes " * 8, "", "no no", LOOP, LOOP],
}


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """The folder of an evaluation, its models and its corpus."""
    root = tmp_path_factory.mktemp("loops")
    corpus = spoken_corpus(root / "corpus", tuple(text.strip() for text in TEXTS))
    models = {name: folder for name, folder in small_family(root / "models").items() if name in WRITTEN}
    decode_as_told(models, corpus, NOISE, 1, root, WRITTEN)
    return root, models, corpus


@pytest.fixture(params=["none", "basic"])  # which takes exclamation marks away, and with them a whole text
def members(request, evaluated):
    root, models, corpus = evaluated
    config = EvaluateConfig(**CONFIG, noise=NOISE, normalizer=request.param)
    digests = {name: sha256_of(folder / "model.onnx") for name, folder in models.items()}
    return accuracy_metrics(models, digests, corpus, config, 1, root)["members"]


def test_loops_of_every_condition_and_those_that_the_teacher_has_not(members, evaluated):
    lines = noisy.read_lines(evaluated[0] / "student")
    tried = [line["id"] for line in lines if line["condition"] == "snr_10"]
    assert members["student"]["loops"] == {
        "test": {"utterances": 4, "loops": 2, "new": 1, "new_in": ["test-0"]},
        "snr_10": {"utterances": 3, "loops": 2, "new": 2, "new_in": [tried[0], tried[2]]},
        "noise": {"utterances": 3, "loops": 1, "new": 1, "new_in": [tried[1]]},
        "silence": {"utterances": 3, "loops": 2, "new": 1, "new_in": [tried[2]]},
        "all": {"utterances": 13, "loops": 7, "new": 5},
    }
    assert members["teacher"]["loops"]["all"] == {"utterances": 13, "loops": 2, "new": 0}
    headline = members["student"]["headline"]
    assert headline["loops"] == 7 and headline["new_loops"] == 5
    json.dumps(members)


def test_invented_words_are_told_beside_the_teachers(members):
    teacher, student = members["teacher"]["hallucinated"], members["student"]["hallucinated"]
    for part, more in (("noise", 8), ("silence", 16)):
        for found in (teacher, student):
            assert found[part]["words_per_minute"] == pytest.approx(found[part]["words"] / found[part]["minutes"])
        delta = student[part]["delta_words_per_minute"]
        assert delta == pytest.approx(student[part]["words_per_minute"] - teacher[part]["words_per_minute"])
        assert delta == pytest.approx(more / student[part]["minutes"])
    limits = student["all"]["delta_words_per_minute_interval"]
    assert limits["low"] <= student["all"]["delta_words_per_minute"] <= limits["high"]
    assert teacher["all"]["delta_words_per_minute"] == 0


def test_the_difference_is_paired():
    heard = counts([9, 0, 9, 0], words=0, kind="insertions")
    one_more = counts([10, 1, 10, 1], words=0, kind="insertions")
    seconds = np.full(4, 60.0)
    measuring = Measuring(50, 0.9, 0, Resampled("utterances", 0))
    found = hallucinated({"noise": (one_more, seconds)}, measuring, {"noise": (heard, seconds)})["noise"]
    assert found["delta_words_per_minute_interval"] == {"low": 1.0, "high": 1.0}
    assert found["words_per_minute_interval"]["high"] > found["words_per_minute_interval"]["low"] + 1


def test_only_the_first_are_named():
    own, teacher = ({"loops": np.full(50, one)} for one in (1, 0))
    found = loops_in({"test": (own, teacher)}, {"test": [str(one) for one in range(50)]})["test"]
    assert found["new"] == 50 and found["new_in"] == [str(one) for one in range(NAMED)]
