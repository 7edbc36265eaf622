"""How architecture compression is described to a reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diminuendo.compression.architecture.config import CompressArchitectureConfig, VocabularyConfig
from diminuendo.compression.description import Description


def in_words(settings: CompressArchitectureConfig) -> str:
    parts = []
    if settings.remove_layers:
        removed = settings.remove_layers
        parts += [f"−{removed.count} layers"] if removed.count else []
        parts += [f"−{removed.decoder_count} layers of the decoder"] if removed.decoder_count else []
    if settings.low_rank:
        rank = settings.low_rank
        kept = f"{rank.energy:.4g} energy" if rank.energy is not None else f"{100 * rank.budget:g} %"
        parts.append(f"low rank {kept}{' with the decoder' if rank.decoder else ''}")
    if settings.vocabulary:
        parts.append(_vocabulary_in_words(settings.vocabulary))
    if settings.fine_tune is False:
        parts.append("not trained")
    return ", ".join(parts)


def _vocabulary_in_words(vocabulary: VocabularyConfig) -> str:
    """``20,000 latin tokens, en``."""
    script = [] if vocabulary.characters == "any" else [vocabulary.characters]
    most = [] if vocabulary.most is None else [f"{vocabulary.most:,}"]
    tokens = [" ".join([*most, *script, "tokens"])] if most or script else []
    figures = [] if vocabulary.figures is None else ["no figures"]
    return ", ".join([*tokens, *(vocabulary.languages or ()), *figures])


def in_record(parameters: Mapping[str, Any]) -> str:
    kinds = ("low_rank", "remove_layers", "vocabulary")
    return ", ".join(kind.replace("_", " ") for kind in kinds if parameters.get(kind))


DESCRIPTION = Description("A smaller architecture:", "architecture", "#d55e00", "s", in_words, in_record)
