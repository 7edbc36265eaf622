"""Audio that is longer than a model hears at once: its last words would be learned without being heard."""

from __future__ import annotations

from collections.abc import Sequence

from diminuendo.core.errors import UserError
from diminuendo.core.plain_text import one_line
from diminuendo.data.prepared import Utterance
from diminuendo.models.model import SpeechModel

SHOWN = 3  # utterances that are named


def longest_audio(*models: SpeechModel | None) -> int | None:
    """Samples of the longest audio that all of these hear to its end; None: any length."""
    limits = [model.longest_audio for model in models if model is not None and model.longest_audio is not None]
    return min(limits, default=None)


def check_audio(learned: Sequence[Utterance], sample_rate: int, longest: int | None) -> None:
    """
    Raises:
        UserError: utterances that are learned from have more than ``longest`` samples.
    """
    too_long = [] if longest is None else [one for one in learned if one.duration * sample_rate > longest]
    if too_long:
        shown = ", ".join(f"{one_line(one.id)} ({one.duration:.1f} s)" for one in too_long[:SHOWN])
        more = f" and {len(too_long) - SHOWN} more" if len(too_long) > SHOWN else ""
        seconds = longest / sample_rate
        raise UserError(
            f"{len(too_long)} of {len(learned)} utterances of train are longer than the {seconds:g} s that the model "
            f"or its teacher hears at once: {shown}{more}; set data.max_seconds: {seconds:g}, or split their recordings"
        )
