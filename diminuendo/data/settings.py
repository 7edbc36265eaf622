"""The settings of a prepared corpus."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass

from diminuendo.config.corpus import DataConfig, SynthesisConfig, TextConfig
from diminuendo.data.text import Tokenizer, train_tokenizer

REFRESH_SECONDS = 1.0 if sys.stderr.isatty() else 10.0  # of progress bars: a log file keeps every line


@dataclass(frozen=True)
class CorpusSettings:
    """The sections of ``params.yaml`` that ``prepare`` reads.

    Attributes:
        synthesis: None where ``data.source`` is not ``synthetic``, or the section is missing.
        frame_seconds: length of the teacher's output frames. CTC needs at least one frame for each token, so a train
            utterance with fewer is left out.
        foreign: the tokenizer of a pretrained teacher's own head, which is the corpus' own as well where
            ``text.units`` is ``checkpoint``; None: the teacher writes the corpus' own tokens.
    """

    seed: int
    data: DataConfig
    text: TextConfig
    synthesis: SynthesisConfig | None
    frame_seconds: float
    foreign: Tokenizer | None = None

    def tokenizer_of(self, texts: Iterable[str]) -> Tokenizer:
        """The corpus' own: the checkpoint's, or one that is learned from these texts of train."""
        if self.text.units == "checkpoint":
            return self.foreign
        return train_tokenizer(self.text.units, texts, self.text.vocab_size)

    @property
    def teachers(self) -> Tokenizer | None:
        """The teacher's, where it is another than the corpus' own."""
        return None if self.text.units == "checkpoint" else self.foreign
