"""Stage prepare: from the source that params.yaml names to data/prepared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diminuendo.data.settings import CorpusSettings
from stages.context import stage_context

if TYPE_CHECKING:
    from diminuendo.parameters import Params


def corpus_settings(params: Params) -> CorpusSettings:
    """What of the parameters ``prepare`` reads."""
    teacher, foreign = params.teacher, None
    if teacher.pretrained is not None:
        teacher.checkpoint.check_sample_rate(params.data.sample_rate)
        if teacher.has_own_tokens:
            foreign = teacher.checkpoint.vocabulary(params.text.lowercase).tokenizer
    frame_seconds = teacher.frame_seconds(params.frontend)
    return CorpusSettings(params.seed, params.data, params.text, params.synthesis, frame_seconds, foreign)


def main() -> None:
    with stage_context("prepare") as context:
        from diminuendo.data.prepare import prepare
        from diminuendo.synthesis.source import synthesize

        prepare(corpus_settings(context.params), context.out, synthesize)


if __name__ == "__main__":
    main()
