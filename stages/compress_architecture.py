"""Remove layers of the member named ``from``, factorise its linear layers, and fine-tune what is left."""

from __future__ import annotations

import sys

from stages.context import stage_context


def main() -> None:
    member = sys.argv[1]
    with stage_context("compress_architecture", member) as context:
        from diminuendo.compression.architecture.layer_removal import remove_layers
        from diminuendo.compression.architecture.low_rank import factorise
        from diminuendo.export.trained import deliver
        from diminuendo.models.store import load_model
        from diminuendo.training.trainer import train

        corpus, seed, settings = context.corpus, context.params.seed, context.settings
        training = context.params.training_of(member)
        model = load_model(context.parent).model
        teacher = load_model(context.teacher).model if settings.losses.needs_teacher else None
        measured = {"batch_seconds": training.batch_seconds, "seed": seed}
        summary = {}
        if settings.remove_layers:
            model, summary["remove_layers"] = remove_layers(model, corpus, settings.remove_layers, **measured)
        if settings.low_rank:
            model, summary["low_rank"] = factorise(model, corpus, settings.low_rank, **measured)
        history = train(
            model,
            corpus,
            training,
            settings.losses,
            seed=seed,
            work=context.work,
            teacher=teacher,
            tracker=context.track,
            name=member,
        )
        deliver(
            context.out,
            model,
            name=member,
            tokens=corpus.tokens,
            lineage=context.lineage(),
            history=history,
            summary=summary,
        )


if __name__ == "__main__":
    main()
