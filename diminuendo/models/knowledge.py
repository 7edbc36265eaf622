"""What a model can tell a student that learns from it. Nothing here imports torch."""

from __future__ import annotations

from enum import Flag, auto


class Knowledge(Flag):
    """What a head says of an utterance, beside the text (Gou et al. 2021 sort distillation by it).

    A term of a loss needs some of it, a teacher's head gives some of it; a pair that does not match is refused before
    anything runs.
    """

    NOTHING = 0
    FRAME_POSTERIORS = auto()  # a distribution over tokens for every frame
    STATES = auto()  # the output of every layer of the encoder
    TOKENS = auto()  # its own transcription, in the tokens of its vocabulary
    TEXT = auto()  # its own transcription, in letters alone
    TOKEN_POSTERIORS = auto()  # a distribution over tokens for every token of a text that it is given

    def of_rows(self, student: Knowledge | None) -> Knowledge:
        """What takes its place for a student whose rows are tokens: posteriors of these."""
        if student is None or Knowledge.TOKEN_POSTERIORS not in student or Knowledge.FRAME_POSTERIORS not in self:
            return self
        return (self & ~Knowledge.FRAME_POSTERIORS) | Knowledge.TOKEN_POSTERIORS

    @property
    def across_vocabularies(self) -> Knowledge:
        """What takes its place for a student that has other tokens: a transcription is carried over as text."""
        return (self & ~Knowledge.TOKENS) | Knowledge.TEXT if self & Knowledge.TOKENS else self

    def __str__(self) -> str:
        return ", ".join(part.name.lower().replace("_", " ") for part in self) or "nothing"


# Of a decoder that writes token after token.
TEXT_GIVES = Knowledge.TOKEN_POSTERIORS | Knowledge.STATES | Knowledge.TOKENS | Knowledge.TEXT
CTC_GIVES = Knowledge.FRAME_POSTERIORS | Knowledge.STATES | Knowledge.TOKENS | Knowledge.TEXT
