"""What an earlier run of a stage trained, where only the writing of its files has changed since.

DVC removes a stage's output before it runs the stage. What the last run left is still in DVC's cache, under the name
that ``dvc.lock`` has of it; and in place, where the stage was run without DVC.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diminuendo.artifact import lineage
from diminuendo.artifact.history import TRAINING
from diminuendo.core.errors import UserError
from diminuendo.core.files import fresh_folder
from diminuendo.core.plain_text import echo
from diminuendo.provenance.dvc_cache import WHOLE, Cache
from stages.stage import StageContext

ANEW = "DIMINUENDO_TRAIN_ANEW"  # set: earlier weights are not taken over, as when a model is to be proved
FOLDER = "earlier"  # in the stage's work folder


@dataclass(frozen=True)
class Earlier:
    """A whole output of an earlier run, every file checked against its lineage."""

    folder: Path
    figures: dict[str, Any]  # of the training alone


def earlier_training(context: StageContext, decided: dict[str, Any]) -> Earlier | None:
    """The output of the last run, if it has weights that a training now would give again.

    There is none for ``dvc repro --force`` and ``make repro ARGS=--force``, nor with ``DIMINUENDO_TRAIN_ANEW=1``: these
    train.

    Args:
        decided: figures that the training follows, which the earlier figures must have, see ``Schedule``.
    """
    if context.training is None or os.environ.get(ANEW, "0") not in ("", "0") or is_forced():
        return None
    for folder in _outputs(context):
        try:
            record = lineage.verified_record(folder)
            figures = json.loads((folder / TRAINING).read_text(encoding="utf-8"))
        except (UserError, OSError, ValueError) as error:
            echo(f"note: what an earlier run left of {context.name} cannot be used: {error}")
            continue
        if record.get("training") != context.training:
            continue
        if all(key in figures and figures[key] == value for key, value in decided.items()):
            return Earlier(folder, figures)
    return None


def is_forced() -> bool:
    """Whether the DVC that runs this stage was told to run it though nothing changed."""
    import psutil

    for ancestor in psutil.Process().parents():
        try:
            words = ancestor.cmdline()
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue
        if any(Path(word).name == "dvc" for word in words[:3]) and {"repro", "exp"} & set(words):
            return any(w == "--force" or (w.startswith("-") and not w.startswith("--") and "f" in w) for w in words)
    return False


def _outputs(context: StageContext) -> Iterator[Path]:
    if (context.output / lineage.RECORD).is_file():
        yield context.output
    cache = Cache(Path.cwd())
    path = context.output.relative_to(context.family.home).as_posix()
    home = "" if context.family.name is None else context.family.home.as_posix()
    for entry in cache.outputs(path, history=False):
        if entry.home == home and (listing := cache.listing(entry.md5)) is not None:
            yield from _copied(cache, listing, context.work / FOLDER)


def _copied(cache: Cache, listing: dict[str, str], place: Path) -> Iterator[Path]:
    """The files of a cached folder; nothing where the cache lacks one or has it damaged."""
    try:
        with fresh_folder(place) as folder:
            for name, md5 in listing.items():
                if (state := cache.state(md5)) != WHOLE:
                    raise UserError(f"{cache.object(md5)}: {state}")
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(cache.object(md5), folder / name)
    except (UserError, OSError) as error:
        echo(f"note: what DVC's cache had of an earlier run cannot be used: {error}")
        return
    yield place
