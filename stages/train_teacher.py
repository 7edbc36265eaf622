"""Train the large model that every other member of the family comes from."""

from __future__ import annotations

from stages.context import stage_context


def main() -> None:
    with stage_context("train_teacher") as context:
        import torch

        from diminuendo.export.trained import deliver
        from diminuendo.models.registry import build, record_of
        from diminuendo.training.trainer import train

        corpus, params = context.corpus, context.params
        torch.manual_seed(params.seed)
        record = record_of(params.teacher.architecture, params.frontend, corpus.sample_rate, len(corpus.tokens))
        model = build(record)
        history = train(
            model,
            corpus,
            params.training_of("teacher"),
            params.teacher.losses,
            seed=params.seed,
            work=context.work,
            tracker=context.track,
            name="teacher",
        )
        deliver(
            context.out,
            model,
            name="teacher",
            tokens=corpus.tokens,
            lineage=context.lineage(),
            history=history,
            summary={},
        )


if __name__ == "__main__":
    main()
