"""What every head is: it turns the encoder's last states into tokens, is trained, and is decoded."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from diminuendo.models.knowledge import Knowledge


class Head(Protocol):
    """Shapes: ``B`` batch, ``T`` frames, ``D`` width, ``V`` vocabulary.

    Attributes:
        gives: to a student.
        outputs: of its ONNX file.
    """

    @property
    def gives(self) -> Knowledge: ...

    @property
    def outputs(self) -> tuple[str, ...]: ...

    def __call__(self, states_BTD: Tensor) -> Tensor:
        """States ``[B, T, D]`` to log-probabilities ``[B, T, V]``."""

    def loss(self, log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
        """The loss per target token, a scalar; targets of all utterances stand one after the other."""

    def greedy(self, log_probs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens of the best path, concatenated, and their number per utterance ``[B]``."""
