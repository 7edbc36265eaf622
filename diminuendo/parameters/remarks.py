"""What is valid in a parameter file, and most likely not what its author wants."""

from __future__ import annotations

from diminuendo.parameters.schema import Params


def unread_texts(params: Params) -> dict[str, str]:
    """The entries of ``label`` from which no member learns, each with a sentence about it."""
    read = {getattr(settings, "labels", None) for _, settings in params.members.values()}
    return {
        name: f"label.{name}: {settings.parent} hears the corpus to write these texts, and no member learns from them; "
        f"name them in one (labels: {name}, in distill_on_labels or prune_on_labels), or leave the entry out"
        for name, settings in params.label.items()
        if name not in read
    }
