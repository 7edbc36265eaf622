"""Words as subtitles: SubRip (srt) and WebVTT (vtt)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from diminuendo.runtime.ctc import Word, text_of
from diminuendo.runtime.segment import Segment

WIDEST = 42  # characters of a line; a wide one, as of Chinese, counts twice
LONGEST = 7.0  # seconds of a line
PAUSE = 1.0  # seconds without a word, after which a new line begins
SHOWN = 0.8  # seconds that a line stays at least, if the next one does not begin before
_ENDS = tuple(".?!。？！…")  # of a sentence, after which a new line begins if this one is half full


@dataclass(frozen=True, slots=True)
class Line:
    """A line and the seconds from which and to which it is shown."""

    start: float
    end: float
    text: str


def lines_of(words: Sequence[Word], segments: Sequence[Segment] = ()) -> list[Line]:
    """The lines of a recording; none reaches from one segment into the next."""
    groups = [
        line
        for segment in [segment.words for segment in segments] or [words]
        for stretch in _stretches(segment)
        for line in _balanced(stretch)
    ]
    return list(_timed(groups))


def as_srt(lines: Iterable[Line]) -> str:
    """The lines as the content of a file."""
    shown = (f"{number}\n{_clock(line, ',')}\n{line.text}\n" for number, line in enumerate(lines, 1))
    return "\n".join(shown)


def as_vtt(lines: Iterable[Line]) -> str:
    """The same; marks that would begin a tag are written as such."""
    marks = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
    shown = (f"{_clock(line, '.')}\n{line.text.translate(marks)}\n" for line in lines)
    return "\n".join(["WEBVTT\n", *shown])


def _stretches(words: Sequence[Word]) -> Iterator[list[Word]]:
    """Words up to a pause, or to the end of a sentence that fills half a line."""
    stretch: list[Word] = []
    for word in words:
        if stretch:
            ended = stretch[-1].text.endswith(_ENDS) and _width(text_of(stretch)) >= WIDEST // 2
            if ended or word.start - stretch[-1].end > PAUSE:
                yield stretch
                stretch = []
        stretch.append(word)
    if stretch:
        yield stretch


def _balanced(words: Sequence[Word]) -> list[list[Word]]:
    """As few lines as hold the words, and about equally long ones."""
    fewest = _filled(words, WIDEST)
    for widest in range(-(-_width(text_of(words)) // len(fewest)), WIDEST):
        if len(lines := _filled(words, widest)) == len(fewest):
            return lines
    return fewest


def _filled(words: Sequence[Word], widest: int) -> list[list[Word]]:
    """Lines that are filled one after the other."""
    lines: list[list[Word]] = []
    width = 0
    for word in words:
        own = word.spaced + _width(word.text)
        if not lines or width + own > widest or word.end - lines[-1][0].start > LONGEST:
            lines.append([])
            width, own = 0, own - word.spaced
        lines[-1].append(word)
        width += own
    return lines


def _timed(groups: list[list[Word]]) -> Iterator[Line]:
    for group, following in zip(groups, [*groups[1:], None]):
        start = group[0].start
        end = max(word.end for word in group)
        latest = start + SHOWN if following is None else min(start + SHOWN, following[0].start)
        yield Line(start, max(end, latest), text_of(group))


def _width(text: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in text)


def _clock(line: Line, point: str) -> str:
    return f"{_time(line.start, point)} --> {_time(line.end, point)}"


def _time(seconds: float, point: str) -> str:
    whole = round(seconds * 1000)
    return f"{whole // 3_600_000:02}:{whole // 60_000 % 60:02}:{whole // 1000 % 60:02}{point}{whole % 1000:03}"
