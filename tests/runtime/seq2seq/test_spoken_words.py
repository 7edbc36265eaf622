"""Tokens to words."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from diminuendo.runtime.ctc import text_of
from diminuendo.runtime.seq2seq.words import Timed, words_of
from tests.factories.text_models import spelt


def said(*tokens: str | bytes) -> list[Timed]:
    """Tokens of a tenth of a second each, of probability 0.9."""
    letters = {byte: spelt(chr(byte)) for byte in range(128)} | {byte: _letter(byte) for byte in range(128, 256)}
    shown = ["".join(letters[byte] for byte in (t.encode() if isinstance(t, str) else t)) for t in tokens]
    return [Timed(token, math.log(0.9), at / 10, (at + 1) / 10) for at, token in enumerate(shown)]


def _letter(byte: int) -> str:
    from tests.factories.text_models import LETTER

    return LETTER[byte]


def texts(*tokens: str | bytes) -> list[str]:
    return [word.text for word in words_of(said(*tokens))]


def test_a_word_ends_before_a_space_and_takes_its_punctuation():
    words = words_of(said(" well", "-", "kn", "own", ",", " it", "'s", "."))
    assert [(word.text, word.start, word.end) for word in words] == [("well-known,", 0.0, 0.4), ("it's.", 0.5, 0.7)]
    assert [word.confidence for word in words] == [0.729, 0.81]  # the comma, the dash and the stop do not count


def test_spaces_may_be_anywhere():
    assert texts(" ", "a", "b ", "c", " d e") == ["ab", "c", "d", "e"]
    assert texts(' "', "no", '"', " -", " yes") == ['"no"', "-", "yes"]
    assert texts(" ", "\n") == [] and texts() == []


def test_a_character_of_several_tokens_is_whole():
    words = words_of(said(" caf", b"\xc3", b"\xa9", "s"))
    assert [(word.text, word.start, word.end) for word in words] == [("cafés", 0.0, 0.4)]
    assert texts(b"\xe4\xb8", b"\xad") == ["中"]
    assert texts(b"\xe4\xb8") == ["\ufffd"] and texts(b"\xff", "a") == ["\ufffda"]


def test_scripts_without_spaces():
    words = words_of(said("今", "天", "，", "我们", "「", "好", "」", " ok", "。"))
    assert [word.text for word in words] == ["今", "天，", "我们", "「好」", "ok。"]
    assert [word.spaced for word in words] == [True, False, False, False, True]
    assert text_of(words) == "今天，我们「好」 ok。"


def test_a_language_with_spaces_has_them_whatever_its_script():
    assert texts(" Привет", ",", " мир", "!") == ["Привет,", "мир!"]
    assert texts(" 안녕", "하세요", " 네") == ["안녕하세요", "네"]


@settings(max_examples=50)
@given(pieces=st.lists(st.text(alphabet="ab .,「」中文ก é\n-", max_size=4), max_size=12))
def test_words_are_the_text(pieces):
    words = words_of(said(*pieces))
    assert text_of(words) == " ".join("".join(pieces).split())
    assert all(word.text and word.start <= word.end and 0 < word.confidence <= 1 for word in words)
