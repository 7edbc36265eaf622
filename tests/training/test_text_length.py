"""Texts that a model which reads them cannot hold: told before anything is trained."""

import pytest

from diminuendo.core.errors import UserError
from diminuendo.data.batches import BatchSource
from diminuendo.losses.config import LossConfig
from diminuendo.metrics.unit import WORDS
from diminuendo.training.checkpoint import CHECKPOINT
from diminuendo.training.schedule import Phase, Schedule, run
from diminuendo.training.text_length import check_texts
from tests.factories.models import AUGMENTATION, TEXTS, ToneCorpus, tiny_model, tiny_training
from tests.factories.whisper_text import tiny_text_whisper

MOST = 20  # tokens of text that the tiny decoder reads
FITS, LONG, LONGER = "abcd" * 5, "abcd" * 5 + "a", "abcd" * 6


def checked(model, corpus, teacher=None, joined=0.0, epochs=3):
    augmentation = AUGMENTATION.model_copy(update={"joined": joined})
    learned = BatchSource(corpus, corpus.train, 4.0, 0, augmentation)
    check_texts(model, teacher, learned, BatchSource(corpus, corpus.dev, 4.0, 0), epochs)


def test_a_text_that_is_too_long_is_told_before_the_first_step_and_by_its_name(tmp_path):
    assert tiny_text_whisper().longest_text == MOST
    corpus = ToneCorpus(train=(*TEXTS, LONG, FITS, LONGER))
    schedule = Schedule(tiny_text_whisper(), (Phase(tiny_training(), 1),), LossConfig(ctc=1.0))
    told = (
        r"^2 of 11 texts of train have more tokens than the 20 .*: train-8 \(21 tokens\), train-10 \(24 tokens\); leave"
    )
    with pytest.raises(UserError, match=told):
        run(schedule, corpus, work=tmp_path)
    assert not (tmp_path / CHECKPOINT).exists()


def test_of_many_the_first_are_named_and_all_are_counted():
    with pytest.raises(UserError, match=r"^5 of 5 .*: train-0 .*, train-1 .*, train-2 \(24 tokens\) and 2 more; leave"):
        checked(tiny_text_whisper(), ToneCorpus(train=(LONGER,) * 5))


def test_texts_that_fit_are_learned(tmp_path, monkeypatch):
    monkeypatch.setattr("diminuendo.training.loop.dev_error_rate", lambda *_: (0.5, WORDS))
    corpus = ToneCorpus(train=(FITS, "ab"), dev=("ab",))
    checked(tiny_text_whisper(), corpus)
    schedule = Schedule(tiny_text_whisper(), (Phase(tiny_training(epochs=1), 1),), LossConfig(ctc=1.0))
    assert run(schedule, corpus, work=tmp_path).history


def test_pairs_that_are_joined_are_counted_together():
    corpus = ToneCorpus(train=("abcd" * 3, "dcba" * 3))
    checked(tiny_text_whisper(), corpus)
    with pytest.raises(
        UserError, match=r"joined, .*train-0 \+ train-1 \(25 tokens\).*; set training.augmentation.joined: 0"
    ):
        checked(tiny_text_whisper(), corpus, joined=1.0)


def test_the_teacher_reads_the_same_texts():
    corpus = ToneCorpus(train=("abcdabcd",))
    checked(tiny_text_whisper(), corpus, tiny_text_whisper())
    with pytest.raises(UserError, match="than the 6 of the longest"):
        checked(tiny_text_whisper(), corpus, tiny_text_whisper(positions=10))


def test_a_model_that_reads_no_texts_learns_any(capsys):
    checked(tiny_model(), ToneCorpus(train=(LONGER,), dev=(LONGER,)))
    assert capsys.readouterr() == ("", "")


def test_texts_of_dev_are_noted(capsys):
    checked(tiny_text_whisper(), ToneCorpus(dev=("ab", LONG)))
    told = capsys.readouterr().err
    assert told.startswith("note: 1 of 2 texts of dev have more tokens than the 20 ") and "dev-1 (21 tokens)" in told
