"""A model that writes fewer tokens: rows of its table, which are a third of a small decoder, and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch

from diminuendo.models.model import SpeechModel
from diminuendo.models.registry import build
from diminuendo.models.surgery import keep_rows


def with_tokens(
    model: SpeechModel, kept: Sequence[int], languages: Collection[str] | None = None, never: Collection[int] = ()
) -> SpeechModel:
    """A copy of ``model`` with these tokens only, ascending, in evaluation mode.

    Scores of the tokens that are left are the same, bit for bit.

    Args:
        languages: codes of those that it can still be told to write; None: all.
        never: of those that are kept, by their old numbers: what it has and never writes from now on.
    Raises:
        UserError: models of its kind cannot be trimmed, or a token is missing that it cannot do without.
    """
    record = model.record.with_tokens(kept, languages, never)
    state = dict(model.state_dict())
    keep_rows(state, model.structure().output, torch.tensor(kept))
    trimmed = build(record)
    trimmed.load_state_dict(state)
    return trimmed.eval()
