"""What is recognised: utterances of the test split, or several in a row as one recording."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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


def clips_of(
    corpus: PreparedCorpus, seconds: tuple[float, float], joined: bool, where: tuple[str, str] | None = None
) -> list[Clip]:
    """Those of the test split that are as long as this.

    Args:
        seconds: the shortest and the longest.
        joined: utterances that follow on each other, of whichever speakers, are joined up to the longest.
        where: a key of the manifest and the value that it has in the utterances that are taken.

    Raises:
        UserError: there are none.
    """
    least, most = seconds
    test = corpus.test if where is None else [one for one in corpus.test if one.group(where[0]) == where[1]]
    found = list(_joined(test, most)) if joined else [Clip((one,)) for one in test]
    fitting = [clip for clip in found if least <= clip.duration <= most]
    if not fitting:
        of = "" if where is None else f" with {where[0]} {where[1]}"
        what = "utterances that follow on each other are" if joined else "utterance is"
        raise UserError(f"--seconds: in test{of} no {what} {least:g} to {most:g} s long")
    return fitting


def _joined(test: Sequence[Utterance], most: float) -> Iterator[Clip]:
    parts: tuple[Utterance, ...] = ()
    for utterance in test:
        if parts and Clip((*parts, utterance)).duration > most:
            yield Clip(parts)
            parts = ()
        parts = (*parts, utterance)
    if parts:
        yield Clip(parts)
