"""Connectionist temporal classification (Graves et al. 2006): the head of a frame-synchronous model.

Shapes: ``B`` batch, ``T`` frames, ``D`` width, ``V`` vocabulary; index 0 of the vocabulary is the blank.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diminuendo.models.knowledge import CTC_GIVES, Knowledge

BLANK = 0


def ctc_loss(log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
    """The loss per target token, a scalar.

    PyTorch reads both lengths on the host: from a GPU they would be fetched, which waits for all that it was told.

    Args:
        log_probs: ``[B, T, V]``, with ``lengths`` ``[B]`` valid frames.
        targets: tokens of all utterances, one after the other, ``target_lengths`` ``[B]`` of each.
    """
    if not len(target_lengths):  # nothing has a text
        return log_probs.sum() * 0
    frames_first = log_probs.transpose(0, 1)
    targets = targets.to(log_probs.device)
    total = F.ctc_loss(frames_first, targets, lengths, target_lengths, blank=BLANK, reduction="sum", zero_infinity=True)
    return total / target_lengths.sum().clamp(min=1)


def greedy_tokens(log_probs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens of the best path through ``[B, T, V]``, concatenated, and their number per utterance ``[B]``.

    Both are on the host, to which the paths come in one transfer: how many tokens they have decides the shapes.
    """
    sequences = []
    for row, length in zip(log_probs.argmax(dim=-1).cpu(), lengths.tolist()):
        collapsed = torch.unique_consecutive(row[:length])
        sequences.append(collapsed[collapsed != BLANK])
    return torch.cat(sequences), torch.tensor([len(s) for s in sequences])


@dataclass(frozen=True)
class CTCHead:
    """Projects states to tokens, and is trained and decoded by CTC. It holds no parameters of its own."""

    projection: nn.Module  # the model's output layer
    outputs: tuple[str, str] = ("log_probs", "lengths")  # of its ONNX file
    gives: Knowledge = CTC_GIVES
    metadata: Mapping[str, str] = field(default_factory=dict)
    probe: Mapping[str, int] = field(default_factory=dict)

    def __call__(self, states_BTD: Tensor) -> Tensor:
        """States ``[B, T, D]`` to log-probabilities ``[B, T, V]``."""
        return self.projection(states_BTD).float().log_softmax(dim=-1)  # in mixed precision, too

    def loss(self, log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
        """See :func:`ctc_loss`."""
        return ctc_loss(log_probs, lengths, targets, target_lengths)

    def greedy(self, log_probs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """See :func:`greedy_tokens`."""
        return greedy_tokens(log_probs, lengths)
