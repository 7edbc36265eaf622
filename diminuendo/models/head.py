"""What every head is: it turns the encoder's last states into tokens, is trained, and is decoded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from diminuendo.models.knowledge import Knowledge


class Head(Protocol):
    """Shapes: ``B`` batch, ``T`` frames, ``D`` width, ``V`` vocabulary.

    Attributes:
        gives: to a student.
        outputs: of its ONNX file.
        metadata: keys of its ONNX file beside those of every file, without their prefix.
        probe: inputs by which its ONNX file is compared with the model, beside the audio; arguments of ``forward``.
    """

    @property
    def gives(self) -> Knowledge: ...

    @property
    def outputs(self) -> tuple[str, ...]: ...

    @property
    def metadata(self) -> Mapping[str, str]: ...

    @property
    def probe(self) -> Mapping[str, int]: ...

    def __call__(self, states_BTD: Tensor) -> Tensor:
        """States ``[B, T, D]`` to log-probabilities ``[B, T, V]``."""

    def loss(self, log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
        """The loss per target token, a scalar; targets of all utterances stand one after the other."""

    def greedy(self, log_probs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens of the best path, concatenated, and their number per utterance ``[B]``."""
