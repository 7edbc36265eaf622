"""The large model that every other member of the family comes from: trained from scratch, fine-tuned, or as it came."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from diminuendo.core.errors import UserError
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
        make(context, schedule, partial(_write, context), _load)


def starting_model(params: Params, corpus: PreparedCorpus) -> SpeechModel:
    """The teacher before its training: with random weights, or those of a checkpoint."""
    import torch

    from diminuendo.models.registry import build, record_of

    torch.manual_seed(params.seed)
    teacher, size = params.teacher, len(corpus.tokens)
    if teacher.architecture is not None:
        return build(record_of(teacher.architecture, params.frontend, corpus.sample_rate, size))
    teacher.checkpoint.check_sample_rate(corpus.sample_rate)
    lowercase = corpus.summary["parameters"]["text"]["lowercase"]
    own = teacher.checkpoint.vocabulary(lowercase) if teacher.head == "own" else None
    if own is not None and own.tokens != corpus.tokens:
        raise UserError(
            f"{teacher.checkpoint.folder.path}: its {len(own.tokens)} tokens are not the {size} of the corpus; run the "
            "prepare stage again"
        )
    return teacher.checkpoint.model(size, own.order if own else None)


def _schedule(context: StageContext):
    from diminuendo.training.schedule import Phase, Schedule

    params = context.params
    phase = Phase(params.training_of(context.name), params.seed)
    return Schedule(starting_model(params, context.corpus), (phase,), params.teacher.losses)


def _write(context: StageContext, trained: Trained | None, folder: Path) -> None:
    from diminuendo.export.trained import deliver

    deliver(
        folder,
        trained.model if trained else starting_model(context.params, context.corpus),
        name=context.name,
        tokens=context.corpus.tokens,
        lineage=context.lineage(),
        history=trained.history if trained else None,
        summary=trained.summary if trained else {},
    )


def _load(folder: Path):
    from diminuendo.models.store import load_model

    return load_model(folder).model


if __name__ == "__main__":
    main()
