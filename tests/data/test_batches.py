import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diminuendo.data.augmentation import without_speech
from diminuendo.data.batches import BatchSource, batch_plan, collate, in_pairs, spread
from tests.factories.models import AUGMENTATION, NO_AUGMENTATION, ToneCorpus

DURATIONS = st.lists(st.floats(0.1, 20.0), min_size=1, max_size=60)


@settings(max_examples=80, deadline=None)
@given(DURATIONS, st.floats(1.0, 60.0), st.one_of(st.none(), st.integers(0, 2**31)), st.integers(0, 50))
def test_every_utterance_once_and_never_over_the_budget(durations, budget, seed, epoch):
    plan = batch_plan(durations, budget, seed, epoch)
    assert sorted(index for batch in plan for index in batch) == list(range(len(durations)))
    for batch in plan:
        assert batch
        assert len(batch) == 1 or max(durations[i] for i in batch) * len(batch) <= budget + 1e-9
    assert plan == batch_plan(durations, budget, seed, epoch)


def test_batches_are_filled():
    assert [len(batch) for batch in batch_plan([1.0] * 10, 4.0, None)] == [4, 4, 2]


def test_seed_and_epoch_change_order_and_company():
    durations = np.random.default_rng(0).uniform(1, 5, 100)
    plans = [batch_plan(durations, 20, seed, epoch) for seed, epoch in ((1, 0), (1, 1), (2, 0))]
    assert plans[0] != plans[1] != plans[2] != plans[0]
    company = [{frozenset(batch) for batch in plan} for plan in plans]
    assert company[0] != company[1] != company[2] != company[0]


def test_without_a_seed_batches_are_sorted_and_the_same_in_every_epoch():
    durations = [3.0, 1.0, 2.0, 5.0]
    assert batch_plan(durations, 4.0, None, 0) == batch_plan(durations, 4.0, None, 7) == [[1, 2], [0], [3]]


def test_utterances_of_a_batch_are_of_about_one_length():
    durations = np.random.default_rng(0).uniform(1, 10, 300)
    plan = batch_plan(durations, 60, 5, 0)
    padded = sum(max(durations[i] for i in batch) * len(batch) for batch in plan)
    assert padded < 1.2 * sum(durations)


def test_padding_is_zero_and_targets_are_joined():
    batch = collate([np.ones(3, np.float32), np.full(5, 2, np.float32)], [[4], [5, 6]], 10)
    assert batch.waveform.tolist() == [[1, 1, 1, 0, 0], [2, 2, 2, 2, 2]]
    assert batch.lengths.tolist() == [3, 5]
    assert batch.targets.tolist() == [4, 5, 6] and batch.target_lengths.tolist() == [1, 2]
    assert batch.seconds == pytest.approx(0.8)


def source(augmentation=AUGMENTATION, seed=3, corpus=None):
    corpus = corpus or ToneCorpus()
    return BatchSource(corpus, corpus.train, 1.5, seed, augmentation)


def same(first, second):
    return all(torch.equal(getattr(first, k), getattr(second, k)) for k in ("waveform", "lengths", "targets"))


def test_an_epoch_goes_on_from_any_batch():
    whole = list(source().epoch(2))
    assert len(whole) > 2
    for start in range(len(whole) + 1):
        rest = list(source().epoch(2, start))
        assert len(rest) == len(whole) - start
        assert all(same(a, b) for a, b in zip(rest, whole[start:]))


def test_augmentation_differs_between_epochs_and_repeats_within_one():
    first, again, other = list(source().epoch(0)), list(source().epoch(0)), list(source().epoch(1))
    assert all(same(a, b) for a, b in zip(first, again))
    assert not all(a.waveform.shape == b.waveform.shape and same(a, b) for a, b in zip(first, other))


def test_targets_belong_to_their_waveforms():
    corpus = ToneCorpus()
    for batch in source(NO_AUGMENTATION).epoch(0):
        targets = batch.targets.split(batch.target_lengths.tolist())
        for row, length, target in zip(batch.waveform, batch.lengths, targets):
            text = corpus.tokenizer.decode(target.tolist())
            (utterance,) = [u for u in corpus.train if u.text == text]
            assert np.allclose(row[:length].numpy(), corpus.audio(utterance))


def test_an_error_of_the_reader_reaches_the_trainer():
    corpus = ToneCorpus()

    def audio(utterance):
        raise OSError("the disk is gone")

    corpus.audio = audio
    with pytest.raises(OSError, match="the disk is gone"):
        list(source(corpus=corpus).epoch(0))


def test_a_part_is_spread_evenly_over_its_split():
    dev = ToneCorpus(dev=("ab",) * 100).dev
    assert [u.id for u in spread(dev, seconds=2.0)] == [f"dev-{i}" for i in range(0, 100, 10)]
    assert spread(dev[:2], seconds=0.01) == dev[:1]
    assert spread(dev, seconds=1e6) == dev


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["ann", "bob", None]), max_size=80), st.floats(0, 1), st.integers(0, 99))
def test_everyone_is_heard_once_and_pairs_are_of_one_speaker(speakers, share, epoch):
    groups = in_pairs(speakers, share, 7, epoch)
    assert sorted(index for group in groups for index in group) == list(range(len(speakers)))
    assert all(len(group) <= 2 and len({speakers[index] for index in group}) == 1 for group in groups)
    assert groups == in_pairs(speakers, share, 7, epoch)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_as_many_are_joined_as_asked(share):
    groups = in_pairs([None] * 4000, share, 1, 0)
    assert sum(len(group) for group in groups if len(group) == 2) / 4000 == pytest.approx(share, abs=0.05)


def test_joined_utterances_have_both_texts_and_silence_around_them():
    corpus = ToneCorpus()
    joined = NO_AUGMENTATION.model_copy(update={"joined": 1.0, "silence_seconds": 0.2})
    heard = [text for batch in source(joined).epoch(0) for text in texts_and_seconds(corpus, batch)]
    assert len(heard) == len(corpus.train) / 2
    assert sorted(word for text, _ in heard for word in text.split()) == sorted(
        word for utterance in corpus.train for word in utterance.text.split()
    )
    letters = [seconds - 0.1 * (len(text) - 1) for text, seconds in heard]  # the space between two texts is no tone
    assert all(-1e-6 < silence <= 0.6 for silence in letters) and max(letters) > 0.1


def test_joining_begins_at_its_epoch():
    corpus = ToneCorpus()
    joined = NO_AUGMENTATION.model_copy(update={"joined": 1.0, "silence_seconds": 0.2})
    later = BatchSource(corpus, corpus.train, 1.5, 3, joined, joined_from_epoch=2)
    plain = BatchSource(corpus, corpus.train, 1.5, 3, NO_AUGMENTATION)
    assert later.plan(1) == plain.plan(1) and all(same(*pair) for pair in zip(later.epoch(1), plain.epoch(1)))
    assert all(len(heard) == 2 for batch in later.plan(2) for heard in batch)


def test_in_place_of_a_share_nobody_speaks():
    corpus = ToneCorpus()
    config = AUGMENTATION.model_copy(update={"without_speech": 0.3})
    part = BatchSource(corpus, corpus.train, 1.5, 3, config, joined_from_epoch=1)
    all_speak = source(AUGMENTATION, corpus=corpus)
    assert all(same(*pair) for pair in zip(part.epoch(0), all_speak.epoch(0)))
    silent = 0
    for epoch in range(1, 21):
        for batch, spoken in zip(part.epoch(epoch), all_speak.epoch(epoch), strict=True):
            texts = batch.targets.split(batch.target_lengths.tolist())
            said = spoken.targets.split(spoken.target_lengths.tolist())
            assert batch.labelled.all()
            for row, length, other, text, original in zip(
                batch.waveform, batch.lengths, spoken.waveform, texts, said, strict=True
            ):
                if len(text):
                    assert torch.equal(text, original) and torch.equal(row[:length], other[:length])
                else:
                    silent += 1
                    assert not torch.equal(row[:length], other[:length]) and row.abs().max() <= 1
    assert silent / (20 * len(corpus.train)) == pytest.approx(0.3, abs=0.1)


def test_what_is_heard_without_speech_is_not_louder_than_speech_would_be():
    speech = np.sin(np.arange(8000, dtype=np.float32) / 5) / 2
    levels = [np.sqrt(np.mean(without_speech(speech, np.random.default_rng(n)) ** 2)) for n in range(60)]
    assert max(levels) <= np.sqrt(np.mean(speech**2)) * 1.01 and min(levels) < 1e-3
    assert sum(level > 0.005 for level in levels) > 10


def texts_and_seconds(corpus, batch):
    targets = batch.targets.split(batch.target_lengths.tolist())
    seconds = (batch.lengths / corpus.sample_rate).tolist()
    return [(corpus.tokenizer.decode(ids.tolist()), length) for ids, length in zip(targets, seconds)]


def drawn(draws, joined_from_epoch=0):
    augmentation = AUGMENTATION.model_copy(update={"joined": 0.5})
    corpus = ToneCorpus()
    return BatchSource(corpus, corpus.train, 1.5, 3, augmentation, joined_from_epoch, draws)


def test_later_epochs_hear_the_draws_again_in_another_order():
    from_the_first = drawn(2)
    assert [from_the_first.draw(epoch) for epoch in range(5)] == [0, 1, 0, 1, 0]
    by_key = [{batch.key: batch for batch in from_the_first.epoch(epoch)} for epoch in (0, 2)]
    assert list(by_key[0]) != list(by_key[1]) and set(by_key[0]) == set(by_key[1])
    assert all(same(batch, by_key[1][key]) for key, batch in by_key[0].items())
    assert not set(by_key[0]) & {batch.key for batch in from_the_first.epoch(1)}


def test_draws_with_pairs_are_drawn_apart():
    late = drawn(2, joined_from_epoch=3)
    assert [late.draw(epoch) for epoch in range(8)] == [0, 1, 0, 3, 4, 3, 4, 3]
    pairs = [any(len(heard) == 2 for batch in late.plan(epoch) for heard in batch) for epoch in range(8)]
    assert pairs == [False] * 3 + [True] * 5


def test_a_repeated_epoch_goes_on_from_any_batch():
    whole = list(drawn(1).epoch(4))
    for start in range(len(whole)):
        rest = list(drawn(1).epoch(4, start))
        assert [batch.key for batch in rest] == [batch.key for batch in whole[start:]]
        assert all(same(a, b) for a, b in zip(rest, whole[start:]))


def test_without_draws_every_epoch_is_new_and_no_batch_has_a_key():
    assert [drawn(None).draw(epoch) for epoch in range(3)] == [0, 1, 2]
    assert all(batch.key is None for batch in drawn(None).epoch(0))
