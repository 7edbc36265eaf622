"""Train the large model that every other member of the family comes from."""

from __future__ import annotations

from stages.room import room


def main() -> None:
    with room("train_teacher") as r:
        import torch

        from diminuendo.export.trained import deliver
        from diminuendo.models.conformer import ConformerCTC
        from diminuendo.models.record import record_of
        from diminuendo.training.trainer import train

        corpus, params = r.corpus, r.params
        torch.manual_seed(params.seed)
        record = record_of(params.teacher.architecture, params.frontend, corpus.sample_rate, len(corpus.tokens))
        model = ConformerCTC(record)
        history = train(
            model,
            corpus,
            params.training_of("teacher"),
            params.teacher.losses,
            seed=params.seed,
            work=r.work,
            tracker=r.track,
            name="teacher",
        )
        deliver(r.out, model, name="teacher", tokens=corpus.tokens, lineage=r.lineage(), history=history, summary={})


if __name__ == "__main__":
    main()
