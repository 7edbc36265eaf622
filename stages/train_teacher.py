"""Train the large model that every other member of the family comes from."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from stages.context import stage_context
from stages.making import make
from stages.stage import StageContext


def main() -> None:
    with stage_context("train_teacher") as context:
        make(context, _schedule(context), partial(_write, context), _load)


def _schedule(context: StageContext):
    import torch

    from diminuendo.models.registry import build, record_of
    from diminuendo.training.schedule import Phase, Schedule

    corpus, params = context.corpus, context.params
    torch.manual_seed(params.seed)
    record = record_of(params.teacher.architecture, params.frontend, corpus.sample_rate, len(corpus.tokens))
    phase = Phase(params.training_of(context.name), params.seed)
    return Schedule(build(record), (phase,), params.teacher.losses)


def _write(context: StageContext, trained, folder: Path) -> None:
    from diminuendo.export.trained import deliver

    deliver(
        folder,
        trained.model,
        name=context.name,
        tokens=context.corpus.tokens,
        lineage=context.lineage(),
        history=trained.history,
        summary=trained.summary,
    )


def _load(folder: Path):
    from diminuendo.models.store import load_model

    return load_model(folder).model


if __name__ == "__main__":
    main()
