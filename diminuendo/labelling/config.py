"""Which texts a member of the family writes for students to learn from."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from diminuendo.config.base import Positive, PositiveInt, Section


class LabelConfig(Section):
    """Which of the texts are good enough to learn from; None: this is not asked.

    An utterance whose text is not is left out of the training of those who learn from these texts.
    """

    parent: str = Field(alias="from")
    utterances: PositiveInt | None = None  # of train, spread evenly over it; None: all
    # Mean over the tokens of a text; of a file with CTC, over its frames that are not blank.
    min_log_prob: Annotated[float, Field(le=0)] | None = -1.0
    max_compression: Positive | None = 2.4  # bytes over those that zlib makes of them: what repeats itself is above
    # Against what the corpus says was said, without punctuation; of characters in scripts without spaces.
    max_wer: Annotated[float, Field(ge=0)] | None = None
