"""How pruning is described to a reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diminuendo.compression.description import Description
from diminuendo.compression.pruning.config import PruneConfig, StructuredConfig


def in_words(settings: PruneConfig) -> str:
    if settings.magnitude:
        return f"sparse {100 * settings.magnitude.sparsity:g} %"
    return _structured(settings.structured)


def _structured(structured: StructuredConfig) -> str:
    """What is left, or that kinds have their own shares."""
    if structured.latency is not None:
        return f"prune to {100 * structured.latency:g} % of the time"
    match structured.parameters:
        case None:
            return "prune structure"
        case share if share < 1:
            return f"prune to {100 * share:g} %"
        case count:
            return f"prune to {count:,.0f} parameters"


def in_record(parameters: Mapping[str, Any]) -> str:
    return ", ".join(kind for kind in ("structured", "magnitude") if parameters.get(kind))


DESCRIPTION = Description("Pruning of", "pruned", "#009e73", "^", in_words, in_record)
