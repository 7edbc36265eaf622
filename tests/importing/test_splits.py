"""How utterances are divided."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diminuendo.core.errors import UserError
from diminuendo.importing.split_names import Chosen, split_named
from diminuendo.importing.splits import Owned, choose, divide

SHARES = {"test": 0.1, "dev": 0.1}


@given(st.lists(st.sampled_from([f"s{i}" for i in range(30)]), min_size=3, max_size=300))
def test_owners_move_whole_and_no_split_is_empty(owners):
    if len(set(owners)) < 3:
        return
    chosen = choose(owners, SHARES)
    sizes = Counter(owners)
    counts = Counter(chosen.get(owner, "train") for owner in owners)
    assert set(counts) == {"train", "dev", "test"}
    for split in SHARES:
        alone = len([owner for owner in chosen if chosen[owner] == split]) == 1
        assert counts[split] <= 1.25 * 0.1 * len(owners) or alone, (counts, sizes)
    assert choose(list(reversed(owners)), SHARES) == chosen  # by the names alone


def owned(*pairs, split=None):
    return [Owned(split, speaker, f"{speaker}-{n}" if speaker else f"r{n}") for n, speaker in enumerate(pairs)]


def test_speakers_are_apart_and_a_new_one_moves_nobody_far():
    speakers = [f"s{i}" for i in range(100) for _ in range(5)]
    first = divide(owned(*speakers), 0.1, 0.1, False)
    assert Counter(first.splits) == {"train": 400, "dev": 50, "test": 50} and first.by_speaker
    assert len(set(zip(speakers, first.splits))) == 100  # each in one split
    more = divide(owned(*speakers, *["new"] * 5), 0.1, 0.1, False)
    moved = sum(a != b for a, b in zip(first.splits, more.splits))
    assert moved <= 20


def test_pieces_of_a_recording_stay_together_where_speakers_are_unknown():
    found = divide([Owned(None, None, f"call{n // 10}") for n in range(100)], 0.1, 0.1, False)
    homes = {}
    for n, split in enumerate(found.splits):
        homes.setdefault(n // 10, set()).add(split)
    assert all(len(splits) == 1 for splits in homes.values())
    assert "divided by whole recordings" in found.told[0]


@pytest.mark.parametrize("speakers", [["a"] * 10, ["a", "b"] * 5])
def test_fewer_than_three_speakers_are_divided_by_utterance_and_that_is_said(speakers):
    found = divide(owned(*speakers), 0.1, 0.1, False)
    assert set(found.splits) == {"train", "dev", "test"} and not found.by_speaker
    assert "speaker(s) only, so it was divided by utterance" in found.told[0]


def test_splits_of_the_source_are_kept_and_what_is_missing_comes_from_train():
    given = owned(*(f"s{i}" for i in range(50)), split="train") + owned("t", "u", split="test")
    found = divide(given, 0.1, 0.3, False)
    assert Counter(found.splits) == {"train": 45, "dev": 5, "test": 2} and found.splits[-2:] == ["test", "test"]


def test_a_speaker_in_two_splits_of_the_source_is_an_error_and_can_be_divided_anew():
    given = owned("a", "b", "c", split="train") + owned("a", "d", split="test")
    with pytest.raises(UserError, match=r"1 speaker.* are in two splits of the source, 'a' in test and train"):
        divide(given, 0.1, 0.1, False)
    found = divide(given, 0.1, 0.1, True)
    assert len({split for split, one in zip(found.splits, given) if one.speaker == "a"}) == 1


def test_too_little_to_divide():
    with pytest.raises(UserError, match="too few to divide"):
        divide(owned("a", "b"), 0.1, 0.1, False)
    with pytest.raises(UserError, match="the source has test and no train"):
        divide(owned("a", "b", "c", split="test"), 0.1, 0.1, False)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-clean-100", "train"), ("train_si284", "train"), ("Training", "train"), ("validation", "dev"),
        ("dev93", "dev"), ("eval92", "test"), ("test_other", "test"), ("validated", None), ("trains", None),
        ("testimony", None), ("", None), ("other", None),
    ],
)  # fmt: skip
def test_names_of_splits(name, split):
    assert split_named(name, {}) == split
    assert split_named(name, {name: "dev"}) == "dev"


def test_a_split_that_was_chosen_and_is_not_there_is_answered_with_those_that_are():
    def found(*names):
        for name in names:
            split_named(name, chosen)
            yield name

    chosen = Chosen({"train_sp": "none"})
    assert list(chosen.checked(found("train", "train_sp"))) == ["train", "train_sp"]
    chosen = Chosen({"trian_sp": "none"})
    with pytest.raises(UserError, match=r"--split trian_sp=none: .* those that there are: 'train', 'train_sp'$"):
        list(chosen.checked(found("train", "train_sp")))
    chosen = Chosen({"other": "train"})
    with pytest.raises(UserError, match=r"it has none; leave --split away$"):
        list(chosen.checked(found()))
