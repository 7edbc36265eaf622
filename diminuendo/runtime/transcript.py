"""What was said in a recording."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from diminuendo.data.reading.remark import Remark
from diminuendo.runtime.ctc import Word, text_of
from diminuendo.runtime.segment import Segment


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said in ``seconds`` of audio, and what is to say of the recording, such as that it was cut.

    Attributes:
        segments: the words again, in stretches; none from a file with CTC.
        language: code; None from a file that knows no languages.
    """

    words: tuple[Word, ...]
    seconds: float
    remarks: tuple[Remark, ...] = ()
    segments: tuple[Segment, ...] = ()
    language: str | None = None

    @property
    def text(self) -> str:
        return text_of(self.words)

    def as_dict(self) -> dict:
        """Its content as it is written in JSON; of the last three attributes those that there are."""
        found = {"text": self.text, "seconds": self.seconds, "words": [word.as_dict() for word in self.words]}
        found |= {"language": self.language} if self.language else {}
        found |= {"segments": [segment.as_dict() for segment in self.segments]} if self.segments else {}
        return found | ({"remarks": [dataclasses.asdict(remark) for remark in self.remarks]} if self.remarks else {})


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What the likeliest tokens of a waveform say, and how many there were.

    Attributes:
        frames, blank_frames: of the output of a file with CTC; None from others.
        tokens: that a file wrote which writes tokens itself; None from others.
    """

    text: str
    frames: int | None = None
    blank_frames: int | None = None
    tokens: int | None = None
