"""Remove layers of the member named ``from``, factorise its linear layers, and fine-tune what is left."""

from __future__ import annotations

import sys

from stages.room import room


def main() -> None:
    member = sys.argv[1]
    with room("compress_architecture", member) as r:
        from diminuendo.architecture_compression.layer_removal import remove_layers
        from diminuendo.architecture_compression.low_rank import factorise
        from diminuendo.export.trained import deliver
        from diminuendo.models.store import load_model
        from diminuendo.training.trainer import train

        corpus, seed, settings = r.corpus, r.params.seed, r.settings
        training = r.params.training_of(member)
        model = load_model(r.parent).model
        teacher = load_model(r.teacher).model if settings.losses.needs_teacher else None
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
            work=r.work,
            teacher=teacher,
            tracker=r.track,
            name=member,
        )
        deliver(r.out, model, name=member, tokens=corpus.tokens, lineage=r.lineage(), history=history, summary=summary)


if __name__ == "__main__":
    main()
