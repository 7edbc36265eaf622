"""Which tokens a model expects in texts such as the corpus': what it would write next, word after word of these texts.

A tokenizer's own order tells how frequent tokens are in all that it was learned from, which may be a hundred languages.
The model knows more: along texts of a language it expects tokens of that language. Nothing is heard meanwhile, so that
it guesses among all words that could follow, and not among those that sound like the right one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from diminuendo.compression.architecture.threads import one_thread
from diminuendo.data.batches import collate
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.models.model import SpeechModel

TEXTS = 16  # as long as the model can write: the order hardly changes with more
SILENCE = 0.1  # seconds


@torch.no_grad()
def expected_tokens(model: SpeechModel, corpus: PreparedCorpus, seed: int) -> np.ndarray:
    """How many times the model expects each of its tokens in a part of the texts of train, float64 ``[V]``.

    Args:
        model: in evaluation mode, of a kind that reads the text that it writes.
        corpus: in the tokens that the model writes.
    """
    silence = np.zeros(round(SILENCE * corpus.sample_rate), dtype=np.float32)
    total = torch.zeros(model.record.vocabulary, dtype=torch.float64)
    with one_thread():
        for tokens in _long_texts(corpus, model.record.most_tokens - 1, seed):
            batch = collate([silence], [tokens], corpus.sample_rate)
            features = model.frontend(batch.waveform, batch.lengths)
            log_probs, rows, *_ = model.respond(*features, batch)
            total += log_probs[0, : int(rows[0])].double().exp().sum(0)
    return total.numpy()


def _long_texts(corpus: PreparedCorpus, most: int, seed: int) -> Iterator[list[int]]:
    """Tokens of texts one after the other, as sentences, up to ``most``."""
    sentences = [f"{u.text[:1].upper()}{u.text[1:]}." for u in corpus.train if u.text]
    order = np.random.default_rng(seed).permutation(len(sentences))
    text, found = [], 0
    for index in order:
        tokens = corpus.tokenizer.encode(sentences[index])[:most]
        if text and len(text) + len(tokens) > most:
            yield text
            text, found = [], found + 1
            if found == TEXTS:
                return
        text = text + tokens
    if text:
        yield text
