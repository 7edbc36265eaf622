"""What was written for one window, cut into segments at its timestamp tokens (Radford et al. 2022, section 3.8)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diminuendo.runtime.ctc import Word
from diminuendo.runtime.seq2seq.model import TextModel, Written
from diminuendo.runtime.seq2seq.timing import begins_of
from diminuendo.runtime.seq2seq.words import Timed, words_of

TIMESTAMP_SECONDS = 0.02  # from one timestamp token to the next
LONGEST_WORD = 1.0  # seconds, if others are not half as long
SHORTEST_STEP = 0.1  # seconds: a window that would end sooner is taken as a whole


@dataclass(frozen=True, slots=True)
class Part:
    """Tokens ``first`` to ``last`` of a window, said between two times in seconds since its beginning."""

    first: int
    last: int
    start: float
    end: float


def parts_of(tokens: np.ndarray, first_timestamp: int, seconds: float) -> tuple[list[Part], float]:
    """The complete segments of a window of ``seconds``, and where the next window begins, in seconds.

    A segment stands between two timestamps. Where the last one is not complete, the next window begins with it;
    otherwise after the whole window. A window without pairs of timestamps is one segment.
    """
    is_time = tokens >= first_timestamp
    times = (tokens - first_timestamp) * TIMESTAMP_SECONDS
    ends = (np.flatnonzero(is_time[:-1] & is_time[1:]) + 1).tolist()  # where two timestamps meet
    closed = len(tokens) >= 2 and bool(is_time[-1]) and not is_time[-2]  # nobody speaks after the last segment
    if ends:
        if closed:
            ends.append(len(tokens))
        step = seconds if closed else float(times[ends[-1] - 1])
        if step >= SHORTEST_STEP:
            bounds = list(zip([0, *ends], ends))
            spans = [(float(times[first]), float(times[last - 1])) for first, last in bounds]
            found = [Part(*bound, *_within(*span, seconds)) for bound, span in zip(bounds, spans)]
            return found, min(step, seconds)
    last = times[is_time]
    end = float(last[-1]) if len(last) and last[-1] > 0 else seconds
    start = float(times[0]) if len(tokens) and is_time[0] and times[0] < end else 0.0
    return [Part(0, len(tokens), *_within(start, end, seconds))], seconds


def words_in(model: TextModel, written: Written, part: Part, seconds: float) -> list[Word]:
    """The words of a part, in seconds since the beginning of its window of ``seconds``."""
    text = [index for index in range(part.first, part.last) if model.tokens[written.tokens[index]]]
    if not text:
        return []
    spelt = [model.spelt[written.tokens[index]] for index in text]
    begins = times_of(model, written, part, text, spelt, seconds)
    timed = zip(spelt, written.log_probs[text].tolist(), begins, begins[1:])
    return without_pauses(words_of([Timed(*each) for each in timed]))


def without_pauses(words: list[Word]) -> list[Word]:
    """Words that are far longer than the others begin later: the pause before them was laid to them."""
    if not words:
        return words
    longest = max(LONGEST_WORD, 2 * float(np.median([word.end - word.start for word in words])))
    return [dataclasses.replace(word, start=round(max(word.start, word.end - longest), 4)) for word in words]


def times_of(
    model: TextModel, written: Written, part: Part, text: Sequence[int], spelt: Sequence[str], seconds: float
) -> list[float]:
    """Seconds at which each token of ``text`` begins, and the last one ends."""
    if written.alignment is None:  # as if every byte took as long
        sizes = np.cumsum([0, *map(len, spelt)])
        return (part.start + (part.end - part.start) * sizes / sizes[-1]).tolist()
    after = text[-1] + 1  # the end, or a timestamp
    rows = [*text, after] if after < written.alignment.shape[1] else list(text)
    first = int(part.start / model.frame_seconds)
    last = max(first + 1, round(min(part.end, seconds) / model.frame_seconds))
    found = (begins_of(written.alignment[:, rows, first:], last - first) + first) * model.frame_seconds
    if len(rows) == len(text):
        found = np.append(found, min(part.end, seconds))
    return np.clip(found, part.start, max(part.start, part.end)).tolist()


def _within(start: float, end: float, seconds: float) -> tuple[float, float]:
    """Times of a file that nobody knows, in order and inside of the window."""
    start = min(max(0.0, start), seconds)
    return start, min(max(start, end), seconds)
