"""What the teacher says of a batch, heard through its own frontend, and kept on disk where the batch comes again.

A small student learns longer than it takes to ask its teacher once: with ``training.augmentation_copies`` several
epochs hear the same augmented batches (long, consistent schedules: Beyer et al. 2022), and the teacher is run for the
first alone.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from diminuendo.core.sealed import read_sealed, tell_unusable, write_sealed
from diminuendo.data.batches import Batch
from diminuendo.losses.term import TeacherOutput
from diminuendo.models.model import SpeechModel
from diminuendo.models.precision import Precision, respond_in

ASKED_AGAIN = "the teacher is asked again"


class Teaching:
    """Asks a teacher.

    Args:
        layers: whose states are wanted.
        student: whose features the teacher hears where they are its own, too.
        kept: folder for what was said of batches that have a ``key``; None: nothing is kept.
        precision: in which the teacher is computed.
    """

    def __init__(
        self,
        teacher: SpeechModel,
        layers: set[int],
        student: SpeechModel,
        kept: Path | None = None,
        precision: Precision = "float32",
    ):
        self.teacher, self.layers, self.kept, self.precision = teacher.eval(), sorted(layers), kept, precision
        learned = any(True for model in (teacher, student) for _ in model.frontend.parameters())
        alike = teacher.record.frontend == student.record.frontend and teacher.hears == student.hears
        self.same_features = not learned and alike

    @torch.no_grad()
    def __call__(self, batch: Batch, features_BMT: Tensor, frames: Tensor) -> TeacherOutput:
        """What the teacher says of a batch whose unmasked features and valid frames are the student's."""
        if self.kept is None or batch.key is None:
            return self._ask(batch, features_BMT, frames)
        path = self.kept / f"{batch.key}.safetensors"
        stored = self._read(path, len(batch.lengths))
        if stored is None:
            said = self._ask(batch, features_BMT, frames)
            # In half precision, and what is used at once is what is read later: a run that is killed hears the same.
            stored = {"log_probs": said.log_probs.half(), "lengths": said.lengths}
            stored |= {f"states.{layer}": state.half() for layer, state in said.states.items()}
            stored |= {"state_lengths": said.state_lengths} if said.state_lengths is not None else {}
            stored = {name: tensor.contiguous().cpu() for name, tensor in stored.items()}
            self.kept.mkdir(parents=True, exist_ok=True)
            write_sealed(path, save(stored))
        device = batch.waveform.device
        states = {layer: stored[f"states.{layer}"].to(device).float() for layer in self.layers}
        # The lengths stay on the host, where whoever brings the frames to another rate reads them.
        log_probs, lengths = stored["log_probs"].to(device).float(), stored["lengths"]
        return TeacherOutput(log_probs, lengths, states, stored.get("state_lengths"))

    def _read(self, path: Path, B: int) -> dict[str, Tensor] | None:
        """What was said of ``B`` utterances; None if it is not there, damaged or of something else."""
        content = read_sealed(path, ASKED_AGAIN)
        if content is None:
            return None
        try:
            stored = load(bytes(content))
        except SafetensorError as error:
            tell_unusable(path, f"cannot be read ({error})", ASKED_AGAIN)
            return None
        wanted = {"log_probs", "lengths", *(f"states.{layer}" for layer in self.layers)}
        if set(stored) - {"state_lengths"} != wanted or any(len(tensor) != B for tensor in stored.values()):
            tell_unusable(path, f"holds other outputs than those of {B} utterances that are wanted", ASKED_AGAIN)
            return None
        return stored

    def _ask(self, batch: Batch, features_BMT: Tensor, frames: Tensor) -> TeacherOutput:
        if not self.same_features:
            features_BMT, frames = self.teacher.frontend(batch.waveform, batch.lengths)
        log_probs, lengths, states, *others = respond_in(self.precision, self.teacher, features_BMT, frames, batch)
        return TeacherOutput(log_probs, lengths, {layer: states[layer] for layer in self.layers}, *others)
