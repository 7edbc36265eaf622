"""Audio that is longer than a model hears: told before anything is trained, and never made by augmentation."""

from __future__ import annotations

import numpy as np
import pytest

from diminuendo.core.errors import UserError
from diminuendo.data.batches import BatchSource
from diminuendo.losses.config import LossConfig
from diminuendo.models.whisper.seq2seq.record import Context
from diminuendo.training.audio_length import longest_audio
from diminuendo.training.checkpoint import CHECKPOINT
from diminuendo.training.schedule import Phase, Schedule, run
from tests.factories.models import AUGMENTATION, ToneCorpus, tiny_model, tiny_training
from tests.factories.whisper_text import tiny_text_whisper

CORPUS = ToneCorpus(train=("ab", "abcd" * 2, "dc", "cd"))
SHORT, LONG = CORPUS.train[0].duration, CORPUS.train[1].duration


def whisper(samples: float):
    hop = tiny_text_whisper().record.frontend.hop
    return tiny_text_whisper(context=Context(longest=2 * round(samples / hop / 2), multiple=2))


def test_what_several_models_hear_is_what_the_shortest_does():
    assert longest_audio(tiny_model(), None) is None
    assert longest_audio(tiny_model(), whisper(3200)) == longest_audio(whisper(3200), whisper(6400)) == 3200


def test_an_utterance_that_is_not_heard_to_its_end_is_told_before_the_first_step_and_by_its_name(tmp_path):
    model = whisper((SHORT + LONG) / 2 * CORPUS.sample_rate)
    schedule = Schedule(model, (Phase(tiny_training(), 1),), LossConfig(ctc=1.0))
    told = r"^1 of 4 .* of train are longer than the 0\.\d+ s .*: train-1 \(0\.\d s\); set data.max_seconds: 0\."
    with pytest.raises(UserError, match=told):
        run(schedule, CORPUS, work=tmp_path)
    assert not (tmp_path / CHECKPOINT).exists()


@pytest.mark.parametrize("change", [{"speed": (0.5,)}, {"silence_seconds": 9.0}, {"joined": 1.0}])
def test_augmentation_makes_nothing_that_is_longer(change):
    augmentation = AUGMENTATION.model_copy(update={"joined": 0.0, "silence_seconds": 0.0, "speed": (1.0,), **change})
    longest = round(LONG * 1.01 * CORPUS.sample_rate)
    free = BatchSource(CORPUS, CORPUS.train, 4.0, 0, augmentation)
    held = BatchSource(CORPUS, CORPUS.train, 4.0, 0, augmentation, longest_audio=longest)
    lengths = [np.concatenate([batch.lengths for batch in source.epoch()]) for source in (free, held)]
    assert max(lengths[0]) > longest >= max(lengths[1])
    assert sum(batch.target_lengths.sum() for batch in held.epoch()) >= sum(len(u.text) for u in CORPUS.train)


def test_what_is_heard_in_place_of_speech_is_not_longer_either():
    augmentation = AUGMENTATION.model_copy(update={"joined": 0.0, "silence_seconds": 9.0, "without_speech": 1.0})
    longest = round(LONG * 1.01 * CORPUS.sample_rate)
    held = list(BatchSource(CORPUS, CORPUS.train, 4.0, 0, augmentation, longest_audio=longest).epoch())
    assert max(int(batch.lengths.max()) for batch in held) == longest
    assert not sum(int(batch.target_lengths.sum()) for batch in held)


def test_pairs_that_are_short_enough_stay_pairs():
    augmentation = AUGMENTATION.model_copy(update={"joined": 1.0, "silence_seconds": 0.0, "speed": (1.0,)})
    source = BatchSource(
        CORPUS, CORPUS.train, 4.0, 0, augmentation, longest_audio=round(2.1 * SHORT * CORPUS.sample_rate)
    )
    heard = sorted(part for batch in source.plan(0) for part in batch)
    assert sorted(index for part in heard for index in part) == [0, 1, 2, 3]
    assert (1,) in heard and max(map(len, heard)) == 2
