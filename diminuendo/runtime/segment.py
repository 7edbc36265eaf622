"""A stretch of a recording and what was said in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from diminuendo.runtime.ctc import Word, text_of


@dataclass(frozen=True, slots=True)
class Segment:
    """What was written between two timestamps, or for one window.

    Attributes:
        start, end: seconds.
        no_speech: probability that nobody speaks in its window; None: the file does not say.
    """

    start: float
    end: float
    words: tuple[Word, ...]
    no_speech: float | None = None

    @property
    def text(self) -> str:
        return text_of(self.words)

    def as_dict(self) -> dict[str, Any]:
        found = {"start": self.start, "end": self.end, "text": self.text}
        return found | ({} if self.no_speech is None else {"no_speech": round(self.no_speech, 4)})
