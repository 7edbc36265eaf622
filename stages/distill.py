"""Train a student of its own architecture under the member named ``from``."""

from __future__ import annotations

import sys

from stages.context import stage_context


def main() -> None:
    member = sys.argv[1]
    with stage_context("distill", member) as context:
        import torch

        from diminuendo.compression.distillation.initialise import initialise_from_teacher
        from diminuendo.export.trained import deliver
        from diminuendo.models.registry import build, record_of
        from diminuendo.models.store import load_model
        from diminuendo.training.trainer import train

        corpus, params, settings = context.corpus, context.params, context.settings
        teacher = load_model(context.parent).model
        torch.manual_seed(params.seed)
        record = record_of(settings.architecture, params.frontend, corpus.sample_rate, len(corpus.tokens))
        student = build(record)
        filled = []
        if settings.initialise == "teacher":
            filled = initialise_from_teacher(student, teacher, settings.teacher_layers)
        history = train(
            student,
            corpus,
            params.training_of(member),
            settings.losses,
            seed=params.seed,
            work=context.work,
            teacher=teacher,
            layer_map=settings.teacher_layers,
            tracker=context.track,
            name=member,
        )
        summary = {"initialised_tensors": len(filled), "tensors": len(student.state_dict())}
        deliver(
            context.out,
            student,
            name=member,
            tokens=corpus.tokens,
            lineage=context.lineage(),
            history=history,
            summary=summary,
        )


if __name__ == "__main__":
    main()
