"""What a model that writes token after token reads and hears while it is measured: texts that it wrote itself.

A corpus may have its texts in lower case and without punctuation, which such a model neither writes nor expects. Each
utterance stands alone: in a batch of several, what fills up the shorter texts would be measured as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from diminuendo.data.batches import Batch, collate
from diminuendo.data.prepared import PreparedCorpus, Utterance
from diminuendo.models.knowledge import Knowledge
from diminuendo.models.model import SpeechModel


def writes_text(model: SpeechModel) -> bool:
    """Whether it reads the text that it writes."""
    return Knowledge.TOKEN_POSTERIORS in model.head.gives


@torch.no_grad()
def written_batches(
    model: SpeechModel, corpus: PreparedCorpus, utterances: Sequence[Utterance], *, reads: bool
) -> list[Batch]:
    """A batch of each utterance, with the text that the model writes of it.

    One whose text does not end, as where a model repeats itself, is left out, unless there is no other.

    Args:
        model: in evaluation mode.
        reads: False: the texts are empty, for what does not depend on them.
    """
    ended, others = [], []
    for utterance in utterances:
        waveform, tokens = corpus.audio(utterance), []
        if reads:
            tokens = model.transcribe(torch.from_numpy(waveform)[None], torch.tensor([len(waveform)]))[0].tolist()
        # A text stops where it has so many tokens, whether it has come to its end or not.
        (ended if len(tokens) < model.record.most_tokens else others).append(
            collate([waveform], [tokens], corpus.sample_rate)
        )
    return ended or others
