"""Masks over features (SpecAugment, Park et al. 2019)."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from diminuendo.config.training import AugmentationConfig


def spec_augment(features_BMT: Tensor, frames: Tensor, config: AugmentationConfig, rng: np.random.Generator) -> Tensor:
    """Mask stretches of time and of mel bands with zero, the features' mean.

    ``torchaudio.functional.mask_along_axis_iid`` would do the same with other draws: it takes them from PyTorch's
    generator and over the padded batch, so that what an utterance loses would depend on its neighbours' lengths and on
    the device. Here every bit of it comes from ``rng`` and the utterance's own frames.

    Args:
        features_BMT: ``[B, M, T]``, zero beyond each utterance's end.
        frames: valid frames ``[B]``, on the host: they decide what is drawn.
    """
    masked = features_BMT.clone()
    M = masked.shape[1]
    for b, T in enumerate(frames.tolist()):
        for _ in range(config.time_masks):
            width = int(rng.integers(0, max(1, int(T * config.time_mask_fraction)) + 1))
            start = int(rng.integers(0, T - width + 1))
            masked[b, :, start : start + width] = 0
        for _ in range(config.mel_masks):
            width = int(rng.integers(0, min(config.mel_mask_bands, M) + 1))
            start = int(rng.integers(0, M - width + 1))
            masked[b, start : start + width] = 0
    return masked
