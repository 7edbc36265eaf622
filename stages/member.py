"""``python -m stages.member prune slim``: make a member of the family with the technique of its section."""

from __future__ import annotations

import argparse
from functools import partial

from stages.context import stage_context
from stages.declared import declared
from stages.making import make
from stages.stage import StageContext


def main() -> None:
    parser = argparse.ArgumentParser(prog="stages.member", description=__doc__)
    parser.add_argument("section", help="of the parameter file, such as prune")
    parser.add_argument("member", help="its name there")
    arguments = parser.parse_args()
    with stage_context(arguments.section, arguments.member) as context:
        from diminuendo.compression.registry import technique_of, writing_of

        technique, writing = technique_of(context.stage), writing_of(context.stage)
        job = _job_of(context, technique)
        schedule = technique.schedule(job)
        make(context, schedule, partial(writing.write, job), partial(writing.load, job), lambda: job.corpus)


def _job_of(context: StageContext, technique):
    from diminuendo.compression.technique import Job

    settings, params = context.settings, context.params
    declared_sections = (key for key in declared(context.stage, context.name).params if "." not in key)
    return Job(
        name=context.name,
        settings=settings,
        training=params.training_of(context.name) if settings.trains else None,
        shared={key: getattr(params, key) for key in declared_sections},
        seed=params.seed,
        parent=context.parent,
        teacher=context.teacher,
        work=context.work,
        lineage=context.lineage(),
        track=context.track,
        open_corpus=lambda: _learned_from(context, technique),
    )


def _learned_from(context: StageContext, technique):
    """The corpus, with texts that another member wrote where the technique learns from such."""
    if context.labels is None:
        return context.corpus
    return technique.learned_from(context.corpus, context.labels, context.settings)


if __name__ == "__main__":
    main()
