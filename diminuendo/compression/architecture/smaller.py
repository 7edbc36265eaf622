"""What is left of a model before it is trained, if it is: fewer layers, and factors of their linear layers."""

from __future__ import annotations

from typing import Any

from diminuendo.compression.architecture.config import CompressArchitectureConfig
from diminuendo.compression.architecture.low_rank import factorise
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.models.model import SpeechModel

MEASURED_BATCH_SECONDS = 30.0  # where no training says how much is heard at once


def compress(
    model: SpeechModel,
    corpus: PreparedCorpus,
    settings: CompressArchitectureConfig,
    *,
    batch_seconds: float = MEASURED_BATCH_SECONDS,
    seed: int,
) -> tuple[SpeechModel, dict[str, Any]]:
    """A smaller copy of ``model``, in evaluation mode, and the figures of each step by its key.

    Raises:
        UserError: it cannot be made so small.
    """
    measured, figures = {"batch_seconds": batch_seconds, "seed": seed}, {}
    if settings.remove_layers:
        from diminuendo.compression.architecture.layer_removal import remove_layers

        model, figures["remove_layers"] = remove_layers(model, corpus, settings.remove_layers, **measured)
    if settings.low_rank:
        model, figures["low_rank"] = factorise(model, corpus, settings.low_rank, **measured)
    return model, figures
