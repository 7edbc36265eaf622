"""Remove weights, or heads and channels, of the member named ``from``, and fine-tune what is left."""

from __future__ import annotations

import sys

from stages.context import stage_context


def main() -> None:
    member = sys.argv[1]
    with stage_context("prune", member) as context:
        from diminuendo.artifact.onnx_file import MODEL
        from diminuendo.compression.pruning.gradual import Later, joined, last_of, prune_in_rounds
        from diminuendo.compression.pruning.magnitude import MagnitudePruner, stored_sparsity
        from diminuendo.core.files import write_json
        from diminuendo.export.trained import SUMMARY, deliver
        from diminuendo.models.store import load_model
        from diminuendo.training.trainer import Hooks, train

        corpus, seed, settings = context.corpus, context.params.seed, context.settings
        training = context.params.training_of(member)
        parent = model = load_model(context.parent).model
        teacher = load_model(context.teacher).model if settings.losses.needs_teacher else None
        if settings.structured:
            model, before, summary = prune_in_rounds(
                parent,
                corpus,
                training,
                settings.losses,
                settings.structured,
                seed=seed,
                work=context.work,
                teacher=teacher,
                tracker=context.track,
                name=member,
            )
            hooks, keep = Hooks(), "best"
        else:
            # Only the end of the schedule has the sparsity that was asked for.
            hooks, keep = MagnitudePruner(settings.magnitude, model).hooks, "last"
            before, summary = [], {"technique": "magnitude", "target": settings.magnitude.sparsity}
        after = train(
            model,
            corpus,
            training,
            settings.losses,
            seed=seed,
            work=context.work,
            teacher=teacher,
            tracker=Later(context.track, last_of(before)[0]),
            hooks=hooks,
            keep=keep,
            name=member,
        )
        history = joined(before, after)
        deliver(
            context.out,
            model,
            name=member,
            tokens=corpus.tokens,
            lineage=context.lineage(),
            history=history,
            summary=summary,
        )
        if settings.magnitude:
            write_json(context.out / SUMMARY, summary | stored_sparsity(context.out / MODEL))


if __name__ == "__main__":
    main()
