"""The large model that every other member of the family comes from: trained from scratch, fine-tuned, or as it came."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stages.context import stage_context
from stages.making import make
from stages.stage import StageContext

if TYPE_CHECKING:
    from diminuendo.data.prepared import PreparedCorpus
    from diminuendo.models.model import SpeechModel
    from diminuendo.parameters import Params
    from diminuendo.training.schedule import Trained


def main() -> None:
    with stage_context("train_teacher") as context:
        schedule = _schedule(context) if context.params.teacher.trains else None
        make(context, schedule, partial(_write, context), _load, lambda: corpus_of(context.params, context.corpus))


def corpus_of(params: Params, corpus: PreparedCorpus) -> PreparedCorpus:
    """The corpus in the tokens that the teacher writes.

    Raises:
        UserError: it was prepared for another checkpoint.
    """
    if not params.teacher.has_own_tokens:
        return corpus
    return corpus.spelling(params.teacher.checkpoint.vocabulary(corpus.lowercase).tokens)


def starting_model(params: Params, corpus: PreparedCorpus) -> SpeechModel:
    """The teacher before its training: with random weights, or those of a checkpoint.

    Args:
        corpus: as :func:`corpus_of` gives it.
    """
    import torch

    from diminuendo.models.registry import build, record_of

    torch.manual_seed(params.seed)
    teacher, size = params.teacher, len(corpus.tokens)
    if teacher.architecture is not None:
        return build(record_of(teacher.architecture, params.frontend, corpus.sample_rate, size))
    teacher.checkpoint.check_sample_rate(corpus.sample_rate)
    own = teacher.checkpoint.vocabulary(corpus.lowercase) if teacher.has_own_tokens else None
    return teacher.checkpoint.model(size, own.order if own else None)


def _schedule(context: StageContext):
    from diminuendo.training.schedule import Phase, Schedule

    params = context.params
    phase = Phase(params.training_of(context.name), params.seed)
    model = starting_model(params, corpus_of(params, context.corpus))
    return Schedule(model, (phase,), params.teacher.losses)


def _write(context: StageContext, trained: Trained | None, folder: Path) -> None:
    from diminuendo.export.trained import deliver

    corpus = corpus_of(context.params, context.corpus)
    deliver(
        folder,
        trained.model if trained else starting_model(context.params, corpus),
        name=context.name,
        tokens=corpus.tokens,
        lineage=context.lineage(),
        history=trained.history if trained else None,
        summary=trained.summary if trained else {},
    )


def _load(folder: Path):
    from diminuendo.models.store import load_model

    return load_model(folder).model


if __name__ == "__main__":
    main()
