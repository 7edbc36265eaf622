"""The head that writes a text token after token (Sutskever et al. 2014; Radford et al. 2022)."""

from __future__ import annotations

import json
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from diminuendo.artifact.formats import TEXT_FORMAT
from diminuendo.models.knowledge import TEXT_GIVES, Knowledge
from diminuendo.models.whisper.seq2seq.record import WhisperRecord

CHECKED_TOKENS = 16  # of a text by which the stored file is compared with the model


@dataclass(frozen=True)
class AttentionHead:
    """It holds no parameters of its own; shapes: ``B`` batch, ``L`` tokens, ``V`` vocabulary."""

    record: WhisperRecord
    outputs: tuple[str, str] = ("log_probs", "lengths")  # of its ONNX file, beside the tokens
    gives: Knowledge = TEXT_GIVES

    @property
    def metadata(self) -> dict[str, str]:
        """What a program needs to know of the file, beside what every file says."""
        record = self.record
        said = record.special.model_dump(exclude_none=True, exclude={"suppressed", "suppressed_first"})
        seconds = record.frontend.hop / record.sample_rate
        said |= {
            "longest_seconds": record.context.longest * seconds,
            "most_tokens": record.most_tokens,
            "positions": record.positions,
            "language": record.special.default_language,
        }
        return {"format": TEXT_FORMAT, "decoding": json.dumps(said, sort_keys=True)}

    @property
    def probe(self) -> dict[str, int]:
        """Inputs by which the stored file is compared with the model, beside the audio."""
        return {"max_tokens": CHECKED_TOKENS}

    def loss(self, log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
        """Cross-entropy per token of the texts and their ends, a scalar.

        ``log_probs`` ``[B, L, V]`` have a row for each target and one for the end after them.
        """
        counts = target_lengths.tolist()
        rows = torch.cat([row[: count + 1] for row, count in zip(log_probs, counts)])
        end = targets.new_tensor([self.record.special.end])
        expected = torch.cat([torch.cat([text, end]) for text in targets.split(counts)])
        return F.nll_loss(rows, expected.to(rows.device))

    def greedy(self, log_probs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens, concatenated, and their number per utterance ``[B]``."""
        lengths = lengths.cpu()
        tokens = [row[:count] for row, count in zip(log_probs.argmax(dim=-1).cpu(), lengths.tolist())]
        return torch.cat(tokens), lengths
