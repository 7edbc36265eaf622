"""Make a model: train it, or take over what an earlier run trained, and write its files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from diminuendo.artifact.history import TRAINING
from diminuendo.core.files import write_json
from stages.stage import StageContext

if TYPE_CHECKING:  # a stage that trains nothing must not wait seconds for torch
    from diminuendo.data.prepared import PreparedCorpus
    from diminuendo.models.model import SpeechModel
    from diminuendo.training.schedule import Schedule, Trained

SAME = "training: the same as that of the stored model; its files are written anew (DIMINUENDO_TRAIN_ANEW=1 trains)"


def make(
    context: StageContext,
    schedule: Schedule | None,
    write: Callable[[Trained | None, Path], None],
    load: Callable[[Path], SpeechModel],
    open_corpus: Callable[[], PreparedCorpus],
) -> None:
    """Fill ``context.out``; of what is trained, the training's own figures are in ``training.json`` there.

    Args:
        schedule: what is trained; None where nothing is.
        write: writes all files of what was trained.
        load: reads the trained model back from them.
        open_corpus: opens the corpus in the tokens that the model writes.
    """
    if schedule is None:
        write(None, context.out)
        return
    from diminuendo.training.schedule import run

    trained = _taken_over(context, schedule, load)
    if trained is None:
        trained = run(schedule, open_corpus(), work=context.work, tracker=context.track, name=context.name)
    write(trained, context.out)
    write_json(context.out / TRAINING, trained.summary)


def _taken_over(context: StageContext, schedule: Schedule, load: Callable[[Path], SpeechModel]) -> Trained | None:
    from diminuendo.artifact.history import HISTORY, read_history
    from diminuendo.training.schedule import Trained
    from stages.stored import earlier_training

    earlier = earlier_training(context, schedule.decided)
    if earlier is None:
        return None
    print(SAME, flush=True)
    history = read_history(earlier.folder / HISTORY)
    for row in history:  # the curves belong to this run's record as well
        values = {key: value for key, value in row.items() if key not in ("step", "epoch")}
        context.track.metrics(values, step=row["step"])
    return Trained(load(earlier.folder), history, earlier.figures | schedule.decided | schedule.figures)
