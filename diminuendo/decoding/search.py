"""Beam search through the decoding graph, by the decoder of Kaldi (Povey et al. 2011) as a library.

The result is the best path, with one token for each frame like that of greedy decoding: words, times and confidence are
read from it in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diminuendo.core.errors import UserError
from diminuendo.decoding.extra import require
from diminuendo.decoding.graph import decoding_graph
from diminuendo.runtime.windows import Decode, Heard

LOWEST = -1000.0  # log-posterior: if all tokens that the graph allows had −inf, no path would be left
MOST = 100.0  # of a weight, by which nothing but the language model or the number of words would count
WIDEST = 10_000.0  # of a beam: no path of a recording is worse than the best by more, so all are kept


@dataclass(frozen=True)
class BeamSearch:
    """How to decode; the best path maximises ``log P(tokens | audio) + lm_weight × log P(words) + word_score × words``.

    Args:
        language_model: an ARPA file of words.
        lm_weight: factor of its natural-log probabilities.
        word_score: natural-log score of each word; above 0 favours many short words, below 0 few long ones.
        beam: paths that are worse than the best by more than this (natural log) are dropped.
        max_active: paths kept at most.
    """

    language_model: Path
    lm_weight: float = 0.5
    word_score: float = 0.0
    beam: float = 16.0
    max_active: int = 3000

    def __post_init__(self) -> None:
        if not 0 <= self.lm_weight <= MOST:
            raise UserError(f"lm_weight: {self.lm_weight:g}, expected a number from 0 to {MOST:g}, such as 0.5")
        if not abs(self.word_score) <= MOST:
            raise UserError(f"word_score: {self.word_score:g}, expected a number from {-MOST:g} to {MOST:g}")
        if not 0 < self.beam <= WIDEST:
            raise UserError(f"beam: {self.beam:g}, expected a number above 0, at most {WIDEST:g}, such as 16")
        if self.max_active < 1:
            raise UserError(f"max_active: {self.max_active}, expected 1 or more")

    def open(self, tokens: Sequence[str]) -> Decode:
        """A function from log-posteriors float32 [T, V] to the best path int32 [T] and its log-posteriors float32 [T].

        Raises:
            UserError: the extra ``decoding`` is not installed, or the language model does not fit ``tokens``.
        """
        kaldifst, kaldi_decoder = require("kaldifst"), require("kaldi_decoder")
        graph = decoding_graph(tokens, Path(self.language_model), self.lm_weight, self.word_score)
        options = kaldi_decoder.FasterDecoderOptions(beam=self.beam, max_active=self.max_active)

        def decode(log_probs: np.ndarray) -> Heard:
            if not len(log_probs):
                return np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32)
            # Made here because it only points to the graph: the closure keeps the graph alive.
            decoder = kaldi_decoder.FasterDecoder(graph, options)
            finite = np.maximum(log_probs, LOWEST, dtype=np.float32)
            decoder.decode(kaldi_decoder.DecodableCtc(np.ascontiguousarray(finite)))
            _, best = decoder.get_best_path()
            _, labels, _, _ = kaldifst.get_linear_symbol_sequence(best)
            path = np.array(labels, dtype=np.int32) - 1
            return path, log_probs[np.arange(len(log_probs)), path].astype(np.float32)

        return decode
