"""What is recognised: utterances of the test split, or several of one speaker as one recording."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from diminuendo.core.errors import UserError
from diminuendo.data.prepared import PreparedCorpus, Utterance

PAUSE = 0.5  # seconds of silence between two utterances


@dataclass(frozen=True)
class Clip:
    """Utterances that are heard one after the other, in one go."""

    parts: tuple[Utterance, ...]

    @property
    def text(self) -> str:
        return " ".join(part.text or "" for part in self.parts)

    @property
    def duration(self) -> float:
        """Seconds, pauses included."""
        return sum(part.duration for part in self.parts) + PAUSE * (len(self.parts) - 1)

    def waveform(self, corpus: PreparedCorpus) -> np.ndarray:
        """float32 [N]"""
        pause = np.zeros(round(PAUSE * corpus.sample_rate), dtype=np.float32)
        pieces = [piece for part in self.parts for piece in (pause, corpus.audio(part))]
        return np.concatenate(pieces[1:])


def clips_of(corpus: PreparedCorpus, seconds: tuple[float, float], joined: bool) -> list[Clip]:
    """Those of the test split that are as long as this.

    Args:
        seconds: the shortest and the longest.
        joined: utterances that a speaker has in a row are joined up to the longest.

    Raises:
        UserError: there are none.
    """
    least, most = seconds
    found = list(_joined(corpus.test, most)) if joined else [Clip((one,)) for one in corpus.test]
    fitting = [clip for clip in found if least <= clip.duration <= most]
    if not fitting:
        what = "utterances that one speaker has in a row are" if joined else "utterance of test is"
        raise UserError(f"--seconds: no {what} {least:g} to {most:g} s long")
    return fitting


def _joined(test: Sequence[Utterance], most: float) -> Iterator[Clip]:
    for _, own in groupby(test, key=lambda utterance: utterance.speaker):
        first, *others = own
        clip = Clip((first,))
        for utterance in others:
            longer = Clip((*clip.parts, utterance))
            if longer.duration > most:
                yield clip
                clip = Clip((utterance,))
            else:
                clip = longer
        yield clip
