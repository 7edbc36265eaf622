"""Score a model in memory on a split, to choose between checkpoints. What is reported comes from the stored file."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.nn.utils import parametrize

from diminuendo.data.batches import Batch
from diminuendo.data.text import Tokenizer
from diminuendo.metrics.error_rates import character_error_rate, word_error_rate
from diminuendo.metrics.unit import WORDS, Unit, unit_of
from diminuendo.models.model import SpeechModel


@torch.inference_mode()
def transcribe_batches(
    model: SpeechModel, batches: Iterable[Batch], tokenizer: Tokenizer
) -> tuple[list[str], list[str]]:
    """Reference and best-path hypothesis of every utterance."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    references, hypotheses = [], []
    with parametrize.cached():  # weights on a grid are rounded once, not for every batch
        for batch in batches:
            tokens, counts = model.transcribe(batch.waveform.to(device), batch.lengths.to(device))
            hypotheses += [tokenizer.decode(ids.tolist()) for ids in tokens.split(counts.tolist())]
            references += [tokenizer.decode(ids.tolist()) for ids in batch.targets.split(batch.target_lengths.tolist())]
    model.train(was_training)
    return references, hypotheses


def dev_error_rate(model: SpeechModel, batches: Iterable[Batch], tokenizer: Tokenizer) -> tuple[float, Unit]:
    """Errors over what the references hold, with the best path, counted as in the evaluation; and the unit: words, or
    characters in scripts without spaces.
    """
    references, hypotheses = transcribe_batches(model, batches, tokenizer)
    unit = unit_of("auto", references)
    error_rate = word_error_rate if unit is WORDS else character_error_rate
    return error_rate(references, hypotheses), unit
