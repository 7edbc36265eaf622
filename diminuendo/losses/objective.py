"""The weighted sum of loss terms that a ``losses`` section of ``params.yaml`` describes."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from diminuendo.core.errors import UserError
from diminuendo.data.batches import Batch
from diminuendo.losses.alignment import align_peaks
from diminuendo.losses.config import LossConfig
from diminuendo.losses.ctc import CTCLoss, SequenceTargets
from diminuendo.losses.hidden import HiddenStates
from diminuendo.losses.kl import FrameKL
from diminuendo.losses.teacher import Teaching
from diminuendo.models.model import SpeechModel


class Objective(nn.Module):
    """Scores a student's outputs; holds the teacher and whatever a term has to learn.

    Raises:
        UserError: a term needs a teacher and there is none, or the teacher's tokens are not the student's.

    Args:
        kept: folder for what the teacher said of batches that come again.
    """

    def __init__(
        self, config: LossConfig, student: SpeechModel, teacher: SpeechModel | None, *, kept: Path | None = None
    ):
        super().__init__()
        self.config = config
        if config.needs_teacher and teacher is None:
            raise UserError(
                "losses: kl, hidden and sequence need a teacher; set them to 0 for a member trained from scratch"
            )
        if config.needs_teacher and teacher.record.vocabulary != student.record.vocabulary:
            raise UserError(
                "losses: teacher and student have different vocabularies; build both from one prepared corpus"
            )
        # In a list, so that it is no submodule: a checkpoint has the student already.
        self._head = [student.head]
        self.ctc, self.kl, self.sequence = CTCLoss(), FrameKL(config.temperature), SequenceTargets()
        self.hidden = None
        if config.hidden > 0:
            ours, theirs = student.structure(), teacher.structure()
            self.hidden = HiddenStates(ours.width, len(ours.layers), theirs.width, len(theirs.layers))
        followed = {theirs for _, theirs in self.hidden.pairs} if self.hidden is not None else set()
        self._teaching = Teaching(teacher, followed, student, kept) if config.needs_teacher else None

    def forward(
        self, output: tuple[Tensor, Tensor, list[Tensor]], clean_BMT: Tensor, frames: Tensor, batch: Batch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss and its terms before weighting.

        Args:
            output: the student's log-probabilities, lengths and states, on masked features.
            clean_BMT: the same features unmasked, which the teacher hears unless it has a frontend of its own.
            frames: valid feature frames ``[B]``.
        """
        log_probs, lengths, states = output
        terms: dict[str, Tensor] = {}
        if self.config.ctc > 0:
            terms["ctc"] = self._against_text(log_probs, lengths, batch)
        if self.config.intermediate > 0:
            middle = self._head[0](states[(len(states) - 1) // 2])
            terms["intermediate"] = self._against_text(middle, lengths, batch)
        if self._teaching is not None:
            taught = self._teaching(batch, clean_BMT, frames)
            if self.config.kl > 0:
                aligned = align_peaks(taught.log_probs, taught.lengths, lengths, log_probs.shape[1])
                terms["kl"] = self.kl(log_probs, aligned, lengths)
            if self.hidden is not None:
                terms["hidden"] = self.hidden(states, taught.states, taught.lengths, lengths)
            if self.config.sequence > 0:
                terms["sequence"] = self.sequence(log_probs, lengths, taught.log_probs, taught.lengths)
        loss = sum(getattr(self.config, name) * value for name, value in terms.items())
        return loss, terms

    def _against_text(self, log_probs: Tensor, lengths: Tensor, batch: Batch) -> Tensor:
        if len(batch.target_lengths) == len(lengths):  # all have a text: nothing to pick
            return self.ctc(log_probs, lengths, batch.targets, batch.target_lengths)
        known = batch.labelled
        return self.ctc(log_probs[known], lengths[known], batch.targets, batch.target_lengths)
