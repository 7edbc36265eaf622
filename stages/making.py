"""Make a model: train it, or take over what an earlier run trained, and write its files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from stages.context import StageContext

if TYPE_CHECKING:  # a stage that trains nothing must not wait seconds for torch
    from diminuendo.models.conformer.module import ConformerCTC
    from diminuendo.training.schedule import Schedule, Trained


def make(
    context: StageContext,
    schedule: Schedule | None,
    write: Callable[[Trained | None, Path], None],
    load: Callable[[Path], ConformerCTC],
) -> None:
    """Fill ``context.out``.

    Args:
        schedule: what is trained; None where nothing is.
        write: writes all files of what was trained.
        load: reads the trained model back from them.
    """
    if schedule is None:
        write(None, context.out)
        return
    from diminuendo.training.schedule import run

    trained = run(schedule, context.corpus, work=context.work, tracker=context.track, name=context.name)
    write(trained, context.out)
