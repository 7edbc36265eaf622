"""The audio that scales of activations and the sensitivity of weights are measured on."""

from __future__ import annotations

import numpy as np

from diminuendo.data.prepared import PreparedCorpus


def calibration_audio(corpus: PreparedCorpus, count: int, seed: int) -> list[np.ndarray]:
    """Waveforms float32 ``[N]`` of so many train utterances (or all there are), drawn by the seed alone."""
    utterances = corpus.train
    drawn = np.random.default_rng(seed).permutation(len(utterances))[:count]
    return [corpus.audio(utterances[index]) for index in sorted(drawn)]
