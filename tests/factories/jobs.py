"""Jobs over a corpus in memory, and members that are made of them through the doors of their techniques."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from diminuendo.compression.member import Member
from diminuendo.compression.registry import technique_of, writing_of
from diminuendo.compression.technique import Job
from diminuendo.training.schedule import Schedule, run
from tests.factories.models import FRONTEND, ToneCorpus, tiny_training


class SilentTrack:
    """A stage's track that records nothing."""

    def metrics(self, values: dict[str, float], step: int) -> None: ...

    def summary(self, values: dict[str, Any]) -> None: ...

    def artifact(self, path: Path) -> None: ...


def job_of(
    models: Path,
    name: str,
    settings: Member,
    *,
    seed: int = 0,
    open_corpus: Callable[[], ToneCorpus] = ToneCorpus,
    **training: Any,
) -> Job:
    """The job of a member whose parent and teacher are folders of ``models``, where its own is made as well."""
    work = models.parent / "work" / name
    work.mkdir(parents=True, exist_ok=True)
    (models / name).mkdir(parents=True, exist_ok=True)
    return Job(
        name=name,
        settings=settings,
        training=tiny_training(**training) if settings.trains else None,
        shared={"frontend": FRONTEND},
        seed=seed,
        parent=models / settings.parent,
        teacher=models / settings.taught_by if settings.taught_by else None,
        work=work,
        lineage={},
        track=SilentTrack(),
        open_corpus=open_corpus,
    )


def make_member(section: str, models: Path, name: str, settings: Member, **keys: Any) -> Schedule | None:
    """Train it and write its files, as a stage does; returns the schedule of the training."""
    job, writing = job_of(models, name, settings, **keys), writing_of(section)
    schedule = technique_of(section).schedule(job)
    trained = run(schedule, job.corpus, work=job.work, name=name) if schedule else None
    writing.write(job, trained, models / name)
    return schedule
