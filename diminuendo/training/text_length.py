"""Texts that are too long for a model that reads what it learns to write: told before anything is trained."""

from __future__ import annotations

import sys

from diminuendo.core.errors import UserError
from diminuendo.core.plain_text import one_line
from diminuendo.data.batches import BatchSource
from diminuendo.models.model import SpeechModel

SHOWN = 3  # utterances that are named


def check_texts(
    model: SpeechModel, teacher: SpeechModel | None, learned: BatchSource, dev: BatchSource, epochs: int
) -> None:
    """Refuse texts of which no learning is possible, and note those of dev that cannot be written in full.

    Args:
        teacher: that is asked of the same texts; None: nobody is.
        learned: what ``epochs`` epochs learn from.
    Raises:
        UserError: texts that are learned from are too long for the model or its teacher.
    """
    limits = [one.longest_text for one in (model, teacher) if one is not None and one.longest_text is not None]
    if not limits:
        return
    most = min(limits)
    heard = {(index,) for index in range(len(learned.split))}
    if too_long := _beyond(learned, heard, most):
        raise UserError(
            f"{_told('train', len(heard), too_long, most)}; leave these utterances out of the corpus, or split their "
            "recordings, and prepare it again"
        )
    if learned.joined:
        heard = {pair for epoch in range(epochs) for batch in learned.plan(epoch) for pair in batch if len(pair) > 1}
        if too_long := _beyond(learned, heard, most):
            told = _told("train, of two utterances that are joined,", len(heard), too_long, most)
            raise UserError(f"{told}; set training.augmentation.joined: 0")
    if model.longest_text is not None:
        heard = {(index,) for index in range(len(dev.split))}
        if too_long := _beyond(dev, heard, model.longest_text):
            told = _told("dev", len(heard), too_long, model.longest_text)
            print(f"note: {told}; what it cannot write of them counts as errors", file=sys.stderr, flush=True)


def _beyond(source: BatchSource, heard: set[tuple[int, ...]], most: int) -> dict[str, int]:
    """Names of what is heard in one piece, in the order of the split, and tokens of its text, where those are more."""
    counted = {indices: len(source.target(indices) or ()) for indices in sorted(heard)}
    names = {indices: " + ".join(one_line(source.split[index].id) for index in indices) for indices in counted}
    return {names[indices]: count for indices, count in counted.items() if count > most}


def _told(where: str, total: int, too_long: dict[str, int], most: int) -> str:
    shown = ", ".join(f"{name} ({count} tokens)" for name, count in list(too_long.items())[:SHOWN])
    more = f" and {len(too_long) - SHOWN} more" if len(too_long) > SHOWN else ""
    limit = f"more tokens than the {most} of the longest text that the model reads"
    return f"{len(too_long)} of {total} texts of {where} have {limit}: {shown}{more}"
