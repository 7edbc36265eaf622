"""What the terms of a loss have in common, and what they are given.

Shapes: ``B`` batch, ``T`` frames, ``V`` vocabulary, ``D`` width of the student, ``W`` of the teacher.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol, Self

from torch import Tensor

from diminuendo.data.batches import Batch
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.data.text import Tokenizer
from diminuendo.losses.config import LossConfig
from diminuendo.models.knowledge import Knowledge
from diminuendo.models.model import SpeechModel


@dataclass(frozen=True)
class StudentOutput:
    """Log-probabilities ``[B, T, V]``, valid frames ``[B]`` and the output of every layer ``[B, T, D]``.

    Attributes:
        state_lengths: valid frames of the states where the log-probabilities are of tokens; None: the same.
    """

    log_probs: Tensor
    lengths: Tensor
    states: list[Tensor]
    state_lengths: Tensor | None = None

    @cached_property
    def frames(self) -> Tensor:
        """``lengths`` on the host; fetched from a GPU once for all terms, since that waits for the forward pass."""
        return self.lengths.cpu()

    @cached_property
    def state_frames(self) -> Tensor:
        """Valid frames of the states, on the host."""
        return self.frames if self.state_lengths is None else self.state_lengths.cpu()


@dataclass(frozen=True)
class TeacherOutput:
    """A teacher's log-probabilities ``[B, T, V]``, valid frames ``[B]`` and, by layer, encoder states ``[B, T, W]``.

    Attributes:
        state_lengths: as of a student.
    """

    log_probs: Tensor
    lengths: Tensor
    states: dict[int, Tensor]
    state_lengths: Tensor | None = None

    @cached_property
    def frames(self) -> Tensor:
        """``lengths`` on the host, fetched once."""
        return self.lengths.cpu()

    @cached_property
    def state_frames(self) -> Tensor:
        """Valid frames of the states, on the host."""
        return self.frames if self.state_lengths is None else self.state_lengths.cpu()


@dataclass(frozen=True)
class Vocabularies:
    """What the outputs of a student and of its teacher mean where they do not mean the same.

    Attributes:
        lowercase: whether the texts of their corpus are in lower case.
    """

    student: Tokenizer
    teacher: Tokenizer
    lowercase: bool

    @classmethod
    def of(cls, corpus: PreparedCorpus, teacher_tokens: Sequence[str] | None) -> Vocabularies | None:
        """Those of a student that writes the corpus' tokens; None: its teacher's are the same, or it has none.

        Raises:
            UserError: the corpus has no tokenizer of the teacher's tokens.
        """
        if teacher_tokens is None or list(teacher_tokens) == corpus.tokens:
            return None
        return cls(corpus.tokenizer, corpus.spelling(teacher_tokens).tokenizer, corpus.lowercase)


@dataclass(frozen=True)
class Pair:
    """Who learns from whom.

    Attributes:
        teacher: None where no term needs one.
        layers: the teacher's layer, from 0, for every layer of the student; None: evenly spread.
        vocabularies: None where both write the same tokens.
    """

    student: SpeechModel
    teacher: SpeechModel | None = None
    layers: Sequence[int] | None = None
    vocabularies: Vocabularies | None = None


class Term(Protocol):
    """One term of a loss. One that leaves something out says so in ``note``, a sentence about the whole training.

    Attributes:
        key: of its weight in ``losses``.
        needs: what it must hear of a teacher, as ``losses.needs`` says.
        paper: where it comes from.
        teacher_layers: the teacher's layers, from 0, whose states it wants; empty: none.
    """

    key: ClassVar[str]
    needs: ClassVar[Knowledge]
    paper: ClassVar[str]
    teacher_layers: tuple[int, ...]

    @classmethod
    def between(cls, pair: Pair, config: LossConfig) -> Self:
        """The term for these two models."""

    def of(self, student: StudentOutput, batch: Batch, teacher: TeacherOutput | None) -> Tensor:
        """Its value for a batch, a scalar. ``teacher`` is there if the term needs anything of it."""
