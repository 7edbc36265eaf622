"""Repetition loops: what is one, and that speech that repeats itself is none."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from diminuendo.metrics.repetition import INSIDE, TIMES, WORDS, has_loop

SAID = st.lists(st.sampled_from(["one", "two", "three", "four", "five", "no", "yes"]), max_size=12)
PHRASES = st.lists(st.sampled_from(["thank", "you", "for", "watching", "bye"]), min_size=1, max_size=5)
TEXTS = st.text("ab é.!哈你", max_size=40)


@pytest.mark.parametrize(
    ("hypothesis", "reference"),
    [
        ("one one one one one one one one", ""),
        ("Thank you. Thank you. thank you, THANK YOU", "to whom"),
        ("and so " + "I'm going to be a bad person, " * 3 + "and so", "and so on"),
        ("one " * 8, "one " * 4),
        ("谢谢观看。谢谢观看。谢谢观看", "今天天气很好"),
        ("哈哈哈哈哈哈哈哈", ""),
        ("hahahahahahahaha", "ha ha"),
        ("!" * 200, "turn on the light"),
        ("hello ! ! ! ! ! ! ! !", "hello"),
        ("♪ ♪ ♪ ♪ ♪ ♪ ♪ ♪", ""),
    ],
)
def test_loops(hypothesis, reference):
    assert has_loop(hypothesis, reference)


@pytest.mark.parametrize(
    ("hypothesis", "reference"),
    [
        ("", ""),
        ("", "one one one one one one one one"),
        ("no no no", ""),
        ("one one one one one one one", ""),
        ("thank you thank you thank you", ""),
        ("please subscribe to my channel " * 2, ""),
        ("one " * 8, "one " * 5),
        ("know " * 10, "no " * 10),  # said ten times, heard wrong ten times
        ("twentytwo " * 8, "twenty two " * 8),
        ("hahahahahahahaha", "ha ha ha ha ha ha ha ha"),
        ("ha ha ha ha ha ha ha ha", "hahahahahahahaha"),
        ("1000000000000", "a trillion"),
        ("wait...", "wait"),
        ("谢谢谢谢", ""),
        ("the cat and the dog and the cow and the pig", ""),
    ],
)
def test_no_loops(hypothesis, reference):
    assert not has_loop(hypothesis, reference)


@given(TEXTS)
def test_a_text_that_is_right_has_none_whatever_is_said(text):
    assert not has_loop(text.upper(), text)


@given(st.text("ab", max_size=26))
def test_what_a_loop_is_where_nothing_is_said(letters):
    found = any(
        letters[at : at + length - period] == letters[at + period : at + length]
        for period in range(1, len(letters))
        for length in [max(TIMES * period, WORDS)]
        for at in range(len(letters) - length + 1)
    )
    assert has_loop(" ".join(letters)) == found


@given(SAID, PHRASES, st.integers(TIMES, 9), SAID)
def test_a_phrase_that_nobody_said_is_found_wherever_it_stands(before, phrase, times, after):
    assume(times * len(phrase) >= WORDS)
    said = dict.fromkeys([*before, *after])  # each word once
    assert has_loop(" ".join([*before, *phrase * times, *after]), " ".join(said))


@given(st.lists(st.integers(0, 10**6), unique=True, max_size=40))
def test_words_that_all_differ_are_none(words):
    assert not has_loop(" ".join(map(str, words)))


@given(PHRASES, st.integers(1, 12), st.data())
def test_less_than_twice_as_often_as_it_was_said_is_none(phrase, said, data):
    heard = data.draw(st.integers(0, 2 * said - 1))
    wrong = [word[::-1] for word in phrase]
    for written in (phrase, wrong):
        assert not has_loop(" ".join(written * heard), " ".join(phrase * said))


@given(st.text("abc", min_size=1, max_size=5), st.integers(TIMES, 20))
def test_inside_a_word_more_characters_are_asked_for(syllable, times):
    assert has_loop(syllable * times) or times * len(syllable) < INSIDE
    assert not has_loop((syllable * times)[: INSIDE - 1])
