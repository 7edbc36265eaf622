"""How much the page of errors may hold."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from diminuendo.config.base import PositiveInt, Section


class ErrorsPageConfig(Section):
    """Of ``reports/errors.html``. Figures are of all utterances, whatever is left out."""

    utterances: PositiveInt = 2000  # at most so many have their texts in it: those on which members differ most
    audio_megabytes: Annotated[float, Field(ge=0, le=200)] = 12.0  # of audio in the page, in the same order; 0: none
