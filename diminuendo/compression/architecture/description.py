"""How architecture compression is described to a reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diminuendo.compression.architecture.config import CompressArchitectureConfig
from diminuendo.compression.description import Description


def in_words(settings: CompressArchitectureConfig) -> str:
    parts = []
    if settings.remove_layers:
        parts.append(f"−{settings.remove_layers.count} layers")
    if settings.low_rank:
        rank = settings.low_rank
        kept = f"{rank.energy:.4g} energy" if rank.energy is not None else f"{100 * rank.budget:g} %"
        parts.append(f"low rank {kept}")
    return ", ".join(parts)


def in_record(parameters: Mapping[str, Any]) -> str:
    return ", ".join(kind.replace("_", " ") for kind in ("low_rank", "remove_layers") if parameters.get(kind))


DESCRIPTION = Description("A smaller architecture:", "architecture", "#d55e00", "s", in_words, in_record)
