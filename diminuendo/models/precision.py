"""The numbers that a training computes in.

In ``bfloat16`` matrix products and convolutions read their inputs with 8 significant bits, as mixed precision does
(Kalamkar et al. 2019); weights, sums, normalisation, features and losses stay in float32. Nothing is scaled: bfloat16
has float32's range.

Shapes: as in :mod:`diminuendo.models.model`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from diminuendo.data.batches import Batch
from diminuendo.models.model import SpeechModel

Precision = Literal["float32", "bfloat16"]


def respond_in(
    precision: Precision, model: SpeechModel, features_BMT: Tensor, frames: Tensor, batch: Batch
) -> tuple[Tensor, ...]:
    """What ``model.respond`` gives, computed in ``precision`` and returned in float32."""
    if precision == "float32":
        return model.respond(features_BMT, frames, batch)
    with torch.autocast(features_BMT.device.type, torch.bfloat16):
        log_probs, lengths, states, *others = model.respond(features_BMT, frames, batch)
    return log_probs, lengths, [state.float() for state in states], *others
