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
    groups: list[list[Word]] = []
    for stretch in [segment.words for segment in segments] or [words]:
        fresh = True
        for word in stretch:
            if fresh or _is_full(groups[-1], word):
                groups.append([])
            groups[-1].append(word)
            fresh = False
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


def _is_full(line: list[Word], word: Word) -> bool:
    """Whether a word begins a new line after those of one."""
    width = _width(text_of([*line, word]))
    ended = line[-1].text.endswith(_ENDS) and _width(text_of(line)) >= WIDEST // 2
    return width > WIDEST or word.end - line[0].start > LONGEST or word.start - line[-1].end > PAUSE or ended


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
