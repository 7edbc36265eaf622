"""The weighted sum of loss terms that a ``losses`` section of ``params.yaml`` describes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor, nn

from diminuendo.core.errors import UserError
from diminuendo.data.batches import Batch
from diminuendo.losses.config import LossConfig
from diminuendo.losses.needs import Side, impossible
from diminuendo.losses.term import Pair, StudentOutput, Term, Vocabularies
from diminuendo.models.knowledge import Knowledge
from diminuendo.models.model import SpeechModel
from diminuendo.models.precision import Precision


# Imports stand in functions: what trains without a teacher loads nothing of distillation. They are import statements,
# and no names in strings, so that the digest of a stage's code finds them.
def _ctc() -> type[Term]:
    from diminuendo.losses.ctc import AgainstText

    return AgainstText


def _intermediate() -> type[Term]:
    from diminuendo.losses.ctc import IntermediateText

    return IntermediateText


def _kl() -> type[Term]:
    from diminuendo.losses.kl import FrameKL

    return FrameKL


def _hidden() -> type[Term]:
    from diminuendo.losses.hidden import HiddenStates

    return HiddenStates


def _sequence() -> type[Term]:
    from diminuendo.losses.sequence import SequenceTargets

    return SequenceTargets


# A new term is one line here, one in ``losses.needs``, a weight in ``LossConfig`` and its class.
TERMS: dict[str, Callable[[], type[Term]]] = {
    "ctc": _ctc,
    "intermediate": _intermediate,
    "kl": _kl,
    "hidden": _hidden,
    "sequence": _sequence,
}


class Objective(nn.Module):
    """Scores a student's outputs; holds the teacher and whatever a term has to learn.

    Args:
        kept: folder for what the teacher said of batches that come again.
        layer_map: the teacher's layer, from 0, for every layer of the student; None: evenly spread.
        vocabularies: None where student and teacher write the same tokens.
        precision: in which the teacher is computed.

    Raises:
        UserError: the student cannot learn one of the terms from this teacher, or a term needs one and there is none.
    """

    def __init__(
        self,
        config: LossConfig,
        student: SpeechModel,
        teacher: SpeechModel | None,
        *,
        kept: Path | None = None,
        layer_map: Sequence[int] | None = None,
        vocabularies: Vocabularies | None = None,
        precision: Precision = "float32",
    ):
        super().__init__()
        if problem := impossible(config.terms, *_sides(student, teacher, vocabularies), layer_map):
            raise UserError(f"losses: {problem}")
        pair = Pair(student, teacher if config.needs_teacher else None, layer_map, vocabularies)
        self.weights: dict[str, float] = {key: getattr(config, key) for key in config.terms}
        self._terms: dict[str, Term] = {key: TERMS[key]().between(pair, config) for key in config.terms}
        for key, term in self._terms.items():
            if isinstance(term, nn.Module):  # it has something to learn, and to store with the rest
                self.add_module(key, term)
        self._teaching = None
        if pair.teacher is not None:
            from diminuendo.losses.teacher import Teaching

            followed = {layer for term in self._terms.values() for layer in term.teacher_layers}
            self._teaching = Teaching(pair.teacher, followed, student, kept, precision)

    def forward(
        self, output: tuple[Tensor, Tensor, list[Tensor]], clean_BMT: Tensor, frames: Tensor, batch: Batch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, a scalar, and its terms before weighting, scalars.

        Args:
            output: the student's log-probabilities ``[B, T, V]``, lengths ``[B]`` and states ``[B, T, D]`` of every
                layer, on masked features.
            clean_BMT: the same features unmasked, which the teacher hears unless it has a frontend of its own.
            frames: valid feature frames ``[B]``.
        """
        student = StudentOutput(*output)
        teacher = self._teaching(batch, clean_BMT, frames) if self._teaching is not None else None
        terms = {key: term.of(student, batch, teacher) for key, term in self._terms.items()}
        return sum(self.weights[key] * value for key, value in terms.items()), terms

    @property
    def notes(self) -> list[str]:
        """What the user should know of the whole training, a sentence each."""
        return [note for term in self._terms.values() if (note := getattr(term, "note", None))]


def _sides(
    student: SpeechModel, teacher: SpeechModel | None, vocabularies: Vocabularies | None
) -> tuple[Side, Side | None]:
    ours, theirs = (vocabularies.student.tokens, vocabularies.teacher.tokens) if vocabularies else (None, None)
    return _side(student, ours), _side(teacher, theirs) if teacher is not None else None


def _side(model: SpeechModel, tokens: Sequence[str] | None) -> Side:
    gives = model.head.gives
    if tokens is None:  # those of both have the same names: numbers do, from which no text can be read
        gives, tokens = gives & ~Knowledge.TEXT, map(str, range(model.record.vocabulary))
    return Side(gives, tuple(tokens), len(model.structure().layers))
