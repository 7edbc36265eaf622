"""Remove weights, or heads and channels, of the member named ``from``, and fine-tune what is left."""

from __future__ import annotations

import sys

from stages.room import room


def main() -> None:
    member = sys.argv[1]
    with room("prune", member) as r:
        from diminuendo.export.onnx_file import MODEL
        from diminuendo.export.trained import SUMMARY, deliver
        from diminuendo.files import write_json
        from diminuendo.models.store import load_model
        from diminuendo.pruning.gradual import Later, joined, last_of, prune_in_rounds
        from diminuendo.pruning.magnitude import MagnitudePruner, stored_sparsity
        from diminuendo.training.trainer import Hooks, train

        corpus, seed, settings = r.corpus, r.params.seed, r.settings
        training = r.params.training_of(member)
        parent = model = load_model(r.parent).model
        teacher = load_model(r.teacher).model if settings.losses.needs_teacher else None
        if settings.structured:
            model, before, summary = prune_in_rounds(
                parent,
                corpus,
                training,
                settings.losses,
                settings.structured,
                seed=seed,
                work=r.work,
                teacher=teacher,
                tracker=r.track,
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
            work=r.work,
            teacher=teacher,
            tracker=Later(r.track, last_of(before)[0]),
            hooks=hooks,
            keep=keep,
            name=member,
        )
        history = joined(before, after)
        deliver(r.out, model, name=member, tokens=corpus.tokens, lineage=r.lineage(), history=history, summary=summary)
        if settings.magnitude:
            write_json(r.out / SUMMARY, summary | stored_sparsity(r.out / MODEL))


if __name__ == "__main__":
    main()
