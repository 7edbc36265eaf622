"""Words as subtitles."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from diminuendo.runtime.ctc import Word, text_of
from diminuendo.runtime.segment import Segment
from diminuendo.runtime.subtitles import LONGEST, WIDEST, as_srt, as_vtt, lines_of


def spoken(text: str, start: float = 0.0, each: float = 0.4) -> list[Word]:
    return [
        Word(word, round(start + place * each, 3), round(start + place * each + 0.3, 3), 0.9)
        for place, word in enumerate(text.split())
    ]


def test_srt_and_vtt():
    words = [*spoken("one <two>"), *spoken("three", 3661.5)]
    assert as_srt(lines_of(words)) == (
        "1\n00:00:00,000 --> 00:00:00,800\none <two>\n\n2\n01:01:01,500 --> 01:01:02,300\nthree\n"
    )
    assert as_vtt(lines_of(words)) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:00.800\none &lt;two&gt;\n\n01:01:01.500 --> 01:01:02.300\nthree\n"
    )
    assert as_srt([]) == "" and as_vtt([]) == "WEBVTT\n"


def test_lines_end_with_sentences_and_segments():
    words = spoken("This sentence is long enough. And so it goes on")
    assert [line.text for line in lines_of(words)] == ["This sentence is long enough.", "And so it goes on"]
    segments = [Segment(0, 1, tuple(words[:2])), Segment(1, 4, tuple(words[2:4]))]
    assert [line.text for line in lines_of(words, segments)] == ["This sentence", "is long"]


def test_lines_of_a_sentence_are_about_equally_long():
    words = spoken("and when they had counted five hundred they went up", each=0.35)
    assert [line.text for line in lines_of(words)] == ["and when they had counted", "five hundred they went up"]


def test_wide_characters_count_twice():
    words = [Word("中", place / 10, place / 10 + 0.1, 1.0, spaced=False) for place in range(30)]
    assert [len(line.text) for line in lines_of(words)] == [15, 15]


@settings(max_examples=40)
@given(
    words=st.lists(
        st.tuples(st.text("abc.中", min_size=1, max_size=50), st.floats(0, 3), st.floats(0, 2), st.booleans()),
        max_size=30,
    )
)
def test_lines_are_the_words_and_short(words):
    at, said = 0.0, []
    for text, pause, taken, spaced in words:
        said.append(Word(text, at + pause, at + pause + taken, 1.0, spaced))
        at += pause + taken
    lines = lines_of(said)
    assert "".join(re.sub(r"\s", "", line.text) for line in lines) == text_of(said).replace(" ", "")
    for line, following in pairwise(lines):
        assert line.start <= line.end <= following.start + 1e-9
    for line in lines:
        assert " " not in line.text or (len(line.text) <= WIDEST and line.end - line.start <= LONGEST + 1e-9)
